"""Where the model of a recipe lies."""

import pytest

from udaseg.config.load import change_recipe, load_recipe
from udaseg.pipeline.common_inputs import latest_model
from udaseg.pipeline.stage import StageFile

ONLINE = {"retrain.init": "weights", "retrain.labels": "none", "retrain.online": {}, "retrain.teacher": 0.9}
ALONE = {"chain": ["retrain", "predict", "evaluate"], **ONLINE}


@pytest.mark.parametrize(
    ("changes", "first"),
    [
        ({}, StageFile("warmup", "model.pt")),
        (ONLINE, StageFile("warmup", "model.pt")),  # the chain trains one first
        (ALONE, StageFile("retrain", "model.pt", 1)),
        (ALONE | {"retrain.init": "warmup"}, StageFile("warmup", "model.pt")),
        (ALONE | {"retrain.labels": "refine", "retrain.online": None}, StageFile("warmup", "model.pt")),
    ],
)
def test_a_recipe_without_a_warm_up_predicts_with_the_model_of_its_retraining(changes, first):
    recipe = change_recipe(load_recipe("demo"), changes, "test")
    assert latest_model(recipe, 1) == first
