"""Two recipes of full scale to their reports, on files in the encodings of the real datasets; `make fullscale`: all."""

import pytest

from udaseg.config.load import load_recipe, shipped_recipes

from . import chain
from .shrink import LIMITS, shrink
from .worlds import WRITERS


@pytest.mark.parametrize("name", ["realtime-fda01-gta2city", "cbst-vgg16-synthia2city"])
def test_a_recipe_of_full_scale_comes_to_its_report(tmp_path, narrow, name):
    chain.write_data(tmp_path / "data", [name])
    assert chain.run_to_report(name, tmp_path) == ""


@pytest.mark.parametrize("name", [name for name in shipped_recipes() if name != "demo"])
def test_every_recipe_can_be_made_small(name):
    recipe = load_recipe(name)
    small = load_recipe(name, changes=shrink(recipe))
    sides = (*recipe.all_sources.values(), recipe.target)
    assert {side.dataset for side in sides} <= WRITERS.keys()
    assert small.rounds <= LIMITS["rounds"]
    assert max(max(side.size) for side in (*small.all_sources.values(), small.target)) <= 3150 // 8
    assert small.model.weights == "none"
