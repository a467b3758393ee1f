import pytest
import yaml

from udaseg.config.load import load_recipe
from udaseg.config.presets import PRESETS
from udaseg.errors import UdasegError


def load(tmp_path, values):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(values))
    return load_recipe(str(path))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_recipe(tmp_path, name):
    recipe = load(tmp_path, {"geometry": name})
    assert recipe.source.size is not None
    assert recipe.target.size is not None
    assert recipe.warmup.augment == recipe.retrain.augment


@pytest.mark.parametrize(
    ("name", "source", "target", "crop", "color", "test"),
    [
        ("advent", (720, 1280), (512, 1024), None, "bgr-mean", None),
        ("fda", (720, 1280), (512, 1024), (512, 1024), "bgr-mean", (576, 1344)),
        ("crst", (1052, 1914), (1024, 2048), (512, 1024), "rgb-imagenet", None),
        ("depth-distribution-small", (320, 640), (320, 640), None, "bgr-mean", None),
        ("proda", (1209, 2200), (1100, 2200), (512, 896), "rgb", (1024, 2048)),
    ],
)
def test_presets_are_what_was_published(tmp_path, name, source, target, crop, color, test):
    recipe = load(tmp_path, {"geometry": name})
    assert (recipe.source.size, recipe.target.size) == (source, target)
    assert (recipe.warmup.augment.crop, recipe.model.color, recipe.evaluate.size) == (crop, color, test)


def test_what_a_recipe_says_lies_over_its_preset(tmp_path):
    recipe = load(tmp_path, {"geometry": "advent", "source": {"size": [760, 1280]}})
    assert recipe.source.size == (760, 1280)
    assert recipe.model.color == "bgr-mean"


def test_a_base_may_be_given_another_geometry(tmp_path):
    recipe = load(tmp_path, {"base": "gta2city", "geometry": "crst"})
    assert recipe.warmup.augment.scale == (0.5, 1.5)


def test_an_unknown_preset_lists_the_known_ones(tmp_path):
    with pytest.raises(UdasegError, match="no preset 'advant'") as caught:
        load(tmp_path, {"geometry": "advant"})
    assert "advent" in caught.value.hint
