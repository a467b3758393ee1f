"""Several sources in a recipe: how they lie over a base, how they are named, and what is refused."""

from pathlib import Path

import pytest
import yaml

from udaseg.config.load import change_recipe, load_recipe, parse_change
from udaseg.config.rules import contradictions
from udaseg.errors import UdasegError

from ..hints import assert_understood

TWO = "[{dataset: gta5, size: [64, 128]}, {dataset: synthia, size: [64, 128]}]"


def with_sources(text=TWO, **changes):
    return load_recipe("demo", changes=dict([parse_change(f"sources={text}")]) | changes)


def test_several_sources_replace_the_source_of_a_base_with_all_its_settings(tmp_path):
    (tmp_path / "two.yaml").write_text(f"base: daformer-gta2city\nsources: {TWO}\ntoy: {{sources: {TWO}}}\n")
    for scale in ("full", "toy"):
        recipe = load_recipe(str(tmp_path / "two.yaml"), scale=scale)
        assert list(recipe.all_sources) == ["gta5", "synthia"]
        assert {one.size for one in recipe.all_sources.values()} == {(64, 128)}
    (tmp_path / "one.yaml").write_text("base: two.yaml\nsources: null\nsource: {dataset: synthia}\n")
    one = load_recipe(str(tmp_path / "one.yaml"))
    # The size is again that of the geometry.
    assert (one.sources, list(one.all_sources), one.source.size) == (None, ["synthia"], (720, 1280))
    variant = change_recipe(with_sources(), {"sources": None, "source": {"dataset": "synthia"}}, "variant")
    assert list(variant.all_sources) == ["synthia"]
    assert list(load_recipe("demo").all_sources) == ["gta5"]


def test_the_order_of_sources_counts_for_nothing_and_datasets_of_one_name_are_numbered():
    swapped = with_sources("[{dataset: synthia, size: [64, 128]}, {dataset: gta5, size: [64, 128]}]")
    assert [*with_sources().all_sources.items()] == [*swapped.all_sources.items()]
    several = with_sources("[{dataset: folder, root: a}, {dataset: gta5}, {dataset: folder, root: b}]")
    assert {name: one.root for name, one in several.all_sources.items()} == {
        "folder-1": "a",
        "folder-3": "b",
        "gta5": None,
    }


def test_what_is_shown_of_a_recipe_can_be_loaded_again(tmp_path):
    for recipe in (with_sources(), load_recipe("demo")):
        Path(tmp_path / "again.yaml").write_text(yaml.safe_dump(recipe.read_settings("json")))
        assert load_recipe(str(tmp_path / "again.yaml")) == recipe


@pytest.mark.parametrize(
    ("sources", "message", "hint"),
    [
        ("[{dataset: gta5}]", "sources: expected two sources or more, found 1", "one source is written as source"),
        ("[]", "found none", "without sources"),
        ("3", "sources: Input should be a valid list", "--set 'sources=[{dataset: gta5, share: 2}"),
        ("[{dataset: gta5, share: 0}, {dataset: synthia, share: 1}]", "sources.0.share: Input should be greater", ""),
        ("[{dataset: gta5, share: 1}, {dataset: synthia}]", "synthia has no share, and others have one", "or none"),
        ("[{dataset: gta5, shar: 1}, {dataset: synthia}]", "setting 'sources.0.shar'", "did you mean 'share'?"),
        ("[{dataset: gta5}, {dataset: synthia, labels: {sufix: _x}}]", "'sources.1.labels.sufix'", "'suffix'?"),
        ("[{dataset: gta5}, {dataset: synthia, size: [9, 9, 9]}]", "sources.1.size: List should have", "in sources"),
        ("[{dataset: gta5}, {dataset: synthia, missing: [trian]}]", "no class 'trian'", "did you mean 'train'?"),
        ("[{dataset: gta5}, {dataset: gta5, root: gta5}]", "gta5-1 and gta5-2 are the same images", "larger share"),
        (
            "[{dataset: gta5, missing: [train]}, {dataset: synthia, missing: [truck, train]}]",
            "no source can label train", "out of `space`",
        ),
    ],
)  # fmt: skip
def test_sources_that_do_not_fit_are_one_clear_error(sources, message, hint):
    with pytest.raises(UdasegError) as caught:
        with_sources(sources)
    assert caught.value.message.startswith("recipe demo: ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert_understood(caught.value.hint)


def test_a_source_without_any_class_is_refused():
    with pytest.raises(UdasegError, match="all classes of the space are missing"):
        with_sources("[{dataset: gta5}, {dataset: synthia, missing: [road, car]}]", space=["road", "car"])


def test_source_and_sources_at_once_are_refused_wherever_they_stand(tmp_path):
    with pytest.raises(UdasegError, match="source and sources are both given") as caught:
        with_sources(**{"source.limit": 3})
    assert_understood(caught.value.hint)
    (tmp_path / "both.yaml").write_text(f"base: demo\nsources: {TWO}\nsource: {{dataset: gta5}}\n")
    with pytest.raises(UdasegError, match="both given"):
        load_recipe(str(tmp_path / "both.yaml"))


def broken(recipe, stage):
    return [error.message for error in contradictions(recipe, stage)]


def test_sources_of_two_sizes_need_a_crop():
    other = "[{dataset: gta5, size: [64, 128]}, {dataset: synthia, size: [64, 96]}]"
    for stage in ("warmup", "retrain"):
        without = with_sources(other, **{f"{stage}.augment.crop": None, f"{stage}.augment.scale": [1, 1]})
        assert any(f"a batch of {stage} holds images of all sources" in text for text in broken(without, stage))
        assert broken(with_sources(other), stage) == []
        alike = with_sources(**{f"{stage}.augment.crop": None, f"{stage}.augment.scale": [1, 1]})
        # The target has 128x256: in retraining both domains need one size.
        [*texts] = broken(alike, stage)
        assert [("the size of gta5 in `sources` is (64, 128)" in text) for text in texts] == [True] * (
            stage == "retrain"
        )


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("warmup", {"model.heads": ["depth"]}, "learn the depth of one source"),
        ("retrain", {"retrain.draw": "joint"}, "drawn by their shares"),
    ],
)
def test_what_takes_one_source_is_refused(stage, changes, message):
    assert any(message in text for text in broken(with_sources(**changes), stage))
    assert not any(message in text for text in broken(load_recipe("demo", changes=changes), stage))


def test_a_regulariser_of_all_classes_does_not_go_with_pasted_pixels_that_lack_some():
    changes = {"retrain.classmix": True, "retrain.source": "source", "retrain.regulariser": "mrkld"}
    lacks = "[{dataset: gta5}, {dataset: synthia, missing: [train]}]"
    assert any(
        "regulariser mrkld is of all classes" in text for text in broken(with_sources(lacks, **changes), "retrain")
    )
    assert broken(with_sources(**changes), "retrain") == []
    assert broken(with_sources(lacks, **changes | {"retrain.classmix": False}), "retrain") == []
