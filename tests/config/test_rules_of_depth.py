"""Rules of depth in self-training: what it needs, and the settings that would be read by nothing."""

import pytest

from udaseg.config import SharedSource
from udaseg.config.load import load_recipe
from udaseg.config.rules import contradictions, require_consistent, require_read
from udaseg.errors import UdasegError

from .test_rules import changed

HEADS = {"model__heads": ["depth", "target_depth"]}
DEPTH = {"retrain__depth": {}, "retrain__classmix": True, **HEADS}


@pytest.mark.parametrize(
    ("settings", "message", "hint"),
    [
        ({**DEPTH, "model__heads": []}, "model.heads is empty", "model.heads=[depth,target_depth]"),
        ({**DEPTH, "model__heads": ["depth"]}, "target=0.001 is a loss of the head target_depth", "depth.target=0"),
        ({**DEPTH, "retrain__source": "none"}, "retrain.depth is a loss on the source's depth", "source=source"),
        ({**DEPTH, "retrain__classmix": False}, "no source is pasted on them", "target.depth to disparity"),
        ({"retrain__depth_agreement": True}, "the second one learns nothing", "set retrain.depth={}"),
        (
            {**DEPTH, "retrain__depth": {"target": 0.0}, "retrain__depth_agreement": True},
            "the second one learns nothing",
            "retrain.depth_agreement=false",
        ),
        (
            {**DEPTH, "retrain__depth_agreement": True, "retrain__classmix": False, "retrain__regulariser": "lrent",
             "target__depth": "metric"},
            "lrent has a loss of its own",
            "retrain.regulariser=mrkld",
        ),
        ({**DEPTH, "retrain__draw": "joint", "retrain__classmix": False, "target__depth": "metric"}, "depth", "draw="),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_together(settings, message, hint):
    with pytest.raises(UdasegError, match=message) as caught:
        require_consistent(changed(**settings), "retrain")
    assert hint in caught.value.hint


def test_several_sources_teach_no_depth():
    recipe = changed(**DEPTH)
    several = tuple(SharedSource(dataset=dataset) for dataset in ("synthia", "gta5"))
    messages = [error.message for error in contradictions(recipe.model_copy(update={"sources": several}), "retrain")]
    assert any("retrain.depth learns the depth of one source" in message for message in messages)


def test_each_part_is_a_setting_of_its_own():
    for settings in ({}, {"retrain__depth_agreement": True}, {"target__depth": "relative"}):
        assert not contradictions(changed(**DEPTH, **settings), "retrain")
        assert not contradictions(changed(**DEPTH, **settings, retrain__labels="none", retrain__teacher=0.9,
                                          retrain__online={}), "retrain")  # fmt: skip
    assert not contradictions(changed(retrain__depth={"target": 0}, model__heads=["depth"]), "retrain")


def test_settings_that_nothing_would_read():
    recipe = load_recipe("corda-synthia2city")
    require_read({"target.depth": "--set target.depth"}, [recipe])
    with pytest.raises(UdasegError, match="no head learns the depth of the target"):
        require_read({"target.depth": "--set target.depth"}, [load_recipe("dacs-synthia2city")])
    with pytest.raises(UdasegError, match="they are of the warm-up, which the chain does not have"):
        require_read({"depth.regression": "--set depth.regression"}, [recipe])
    require_read({"depth.regression": "--set depth.regression"}, [recipe], "warmup")
    require_read({"depth.regression": "--set depth.regression"}, [load_recipe("synthia2city")])


def test_the_recipe_has_the_numbers_of_the_code_of_corda():
    """Those of its configuration and of its training script."""
    recipe, base = load_recipe("corda-synthia2city"), load_recipe("dacs-synthia2city")
    retrain = recipe.retrain
    assert (retrain.depth.source, retrain.depth.target, retrain.depth_agreement) == (0.01, 0.001, True)
    assert (retrain.steps, retrain.batch, retrain.lr, retrain.teacher) == (250_000, 2, 2.5e-4, 0.999)
    assert (retrain.online.confidence, retrain.augment.crop, recipe.source.size) == (0.968, (512, 512), (720, 1280))
    assert (recipe.model.heads, recipe.target.depth) == (("depth", "target_depth"), "disparity")
    assert (retrain.strong, retrain.classmix, recipe.space) == (base.retrain.strong, True, "syn16")
