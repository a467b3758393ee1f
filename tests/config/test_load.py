import pytest
import yaml

from udaseg.config.load import load_recipe, parse_change, shipped_recipes
from udaseg.errors import UdasegError


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load(name):
    assert load_recipe(name).name == name


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_have_a_toy_twin_on_toytown(name):
    toy = load_recipe(name, scale="toy")
    assert toy.scale == "toy"
    assert toy.toytown is not None
    assert toy.model.weights == "none"


def write(tmp_path, values, name="mine.yaml"):
    path = tmp_path / name
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_precedence_is_change_over_toy_over_recipe_over_default(tmp_path):
    path = write(tmp_path, {"warmup": {"steps": 7, "batch": 3, "lr": 0.5}, "toy": {"warmup": {"steps": 5, "batch": 4}}})
    assert load_recipe(path).warmup.steps == 7
    toy = load_recipe(path, scale="toy", changes={"warmup.steps": 2})
    assert (toy.warmup.steps, toy.warmup.batch, toy.warmup.lr, toy.warmup.momentum) == (2, 4, 0.5, 0.9)


def test_a_recipe_takes_its_name_from_the_file_and_inherits_from_a_base(tmp_path):
    path = write(tmp_path, {"base": "gta2city", "pseudolabel": {"p": 0.5}}, "half.yaml")
    mine, base = load_recipe(path), load_recipe("gta2city")
    assert (mine.name, mine.pseudolabel.p) == ("half", 0.5)
    assert mine.warmup == base.warmup


def test_a_base_may_be_a_file_beside(tmp_path):
    write(tmp_path, {"warmup": {"steps": 11}}, "first.yaml")
    assert load_recipe(write(tmp_path, {"base": "first.yaml"}, "second.yaml")).warmup.steps == 11


def test_recipes_that_are_their_own_base_are_refused(tmp_path):
    path = write(tmp_path, {"base": str(tmp_path / "mine.yaml")})
    with pytest.raises(UdasegError, match="base"):
        load_recipe(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"warmup.stepz": 1}, r"unknown setting 'warmup.stepz'"),
        ({"warmup.steps": -1}, r"warmup.steps: .*greater than or equal to 0 \(found -1\)"),
        ({"pseudolabel.policy": "best"}, r"pseudolabel.policy: .*'st'.*found 'best'"),
        ({"pseudolabel.p": 0}, r"pseudolabel.p"),
        ({"nothing": 1}, r"unknown setting 'nothing'"),
    ],
)
def test_wrong_settings_name_the_key(changes, message):
    with pytest.raises(UdasegError, match=message):
        load_recipe("demo", changes=changes)


def test_unknown_setting_lists_the_known_ones():
    with pytest.raises(UdasegError) as caught:
        load_recipe("demo", changes={"warmup.stepz": 1})
    assert "steps" in caught.value.hint


@pytest.mark.parametrize("scale", ["full", "toy"])
def test_a_renamed_setting_names_its_new_name(tmp_path, scale):
    with pytest.raises(UdasegError, match=r"unknown setting 'refine\.spatial_prior'") as caught:
        load_recipe(write(tmp_path, {"base": "demo", "refine": {"spatial_prior": True}}), scale=scale)
    assert caught.value.hint.startswith("did you mean refine.aggregate? known here: aggregate, prototypes")


def test_unknown_recipe_lists_the_shipped_ones():
    with pytest.raises(UdasegError) as caught:
        load_recipe("gta2nowhere")
    assert "gta2city" in caught.value.hint


@pytest.mark.parametrize("text", ["[1, 2]", "a: [", "!!python/object/apply:os.system ['true']", "\x00", "1: 2"])
def test_files_that_are_no_recipe_are_refused(tmp_path, text):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(UdasegError, match=r"bad\.yaml"):
        load_recipe(str(path))


def test_toy_scale_of_a_recipe_without_one_says_where_there_is_one(tmp_path):
    with pytest.raises(UdasegError, match="no toy scale") as caught:
        load_recipe(write(tmp_path, {"warmup": {"steps": 1}}), scale="toy")
    assert "gta2city" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"), [("a.b=3", ("a.b", 3)), ("a=[1, 2]", ("a", [1, 2])), ("a=x=y", ("a", "x=y"))]
)
def test_changes_are_yaml(text, expected):
    assert parse_change(text) == expected


@pytest.mark.parametrize("text", ["steps", "=3", "a=["])
def test_changes_that_are_none_are_refused(text):
    with pytest.raises(UdasegError, match="--set"):
        parse_change(text)
