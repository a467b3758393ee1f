"""What a recipe is drafted from: sizes that keep an aspect, the network that fits a machine, the text with reasons."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from udaseg.config.load import load_recipe
from udaseg.config.rules import contradictions
from udaseg.data.common_classes import Classes, find_common_classes
from udaseg.data.locate import Place
from udaseg.data.survey import Domain, Labels
from udaseg.errors import UdasegError
from udaseg.pipeline.draft import draft as drafting
from udaseg.pipeline.draft import machine as machines
from udaseg.pipeline.draft.choices import Draft, choose_settings
from udaseg.pipeline.draft.machine import ON_CPU, ON_GPU, Fit, Machine, choose_plan
from udaseg.pipeline.draft.sizes import fit_crop, fit_size
from udaseg.pipeline.draft.text import recipe_text

SMALL, LARGE = 128 * 256, 512 * 1024
CPU = Machine("cpu", 16 * 10**9, "2 cores")
NAMES = ("sky", "road", "car", "tree")


@pytest.mark.parametrize(
    ("own", "area", "size"),
    [
        ((1024, 2048), SMALL, (128, 256)),  # the sizes that docs/results.md was measured with
        ((288, 512), SMALL, (144, 256)),
        ((360, 480), SMALL, (144, 192)),
        ((1024, 2048), LARGE, (512, 1024)),
        ((1080, 1920), SMALL, (144, 256)),
        ((1920, 1080), SMALL, (256, 144)),
        ((70, 130), SMALL, (70, 130)),  # never enlarged
    ],
)
def test_a_size_keeps_the_aspect(own, area, size):
    fitted = fit_size({own: 3}, area, "there")
    assert (fitted.size, fitted.pad, fitted.others, fitted.ratio) == (size, False, 0, 1.0)


def test_the_commonest_aspect_counts_and_others_are_padded():
    fitted = fit_size({(100, 200): 3, (50, 100): 4, (200, 100): 5}, SMALL, "there")
    assert (fitted.own, fitted.pad, fitted.others, fitted.ratio) == ((50, 100), True, 8, 4.0)
    assert not fit_size({(1052, 1914): 3, (1046, 1914): 1}, SMALL, "there").pad  # as in GTA5
    with pytest.raises(UdasegError, match="there: expected images of 32x32 pixels or more, found 16x40"):
        fit_size({(16, 40): 1}, SMALL, "there")


def test_a_crop_fits_both_sides():
    assert fit_crop(((128, 256), (128, 256))) == (96, 192)
    assert fit_crop(((144, 256), (144, 192))) == (96, 192)
    assert fit_crop(((256, 144), (256, 144))) == (192, 128)
    assert fit_crop(((40, 60), (128, 256))) == (32, 32)
    assert fit_crop(((704, 1280), (512, 1024)), (512, 512)) == (512, 512)
    assert fit_crop(((288, 512), (360, 480)), (512, 512)) == (288, 480)


def labels(names=NAMES, shown=NAMES, own=True) -> Labels:
    return Labels(None, None, own, Path("classes.yaml"), names, dict.fromkeys(shown, 5), 3, 3, ("labels: ids",))


def domain(size=(600, 800), **found) -> Domain:
    return Domain(Place("folder", Path("/data/synthetic"), "train"), 3, {size: 3}, {}, labels(**found))


def test_classes_in_common_and_what_becomes_of_the_others():
    scored = labels(("road", "sky", "train", "tree"), ("road",))
    found = find_common_classes(domain(shown=("sky", "road", "car")), scored)
    assert found.space == ("road", "sky")  # those of Cityscapes in their order
    assert (found.source_only, found.target_only) == (("car",), ("train",))
    assert (found.unseen, found.unscored) == (("tree",), ("sky",))
    assert found.share == {"road": 0.5, "sky": 0.5}
    assert find_common_classes(domain(), None).space == ("road", "sky", "car", "tree")


@pytest.mark.parametrize(
    ("scored", "message", "hint"),
    [
        (("a", "b"), "no class in common: the source has road, sky, car, tree", "one name"),
        (("road", "b"), "two or more of road, found road alone", "such as background"),
        (("Road", "b", "sky"), "the classes 'road', those to score on 'Road'", "classes.yaml"),
    ],
)
def test_too_few_classes_in_common(scored, message, hint):
    with pytest.raises(UdasegError, match=message) as caught:
        find_common_classes(domain(), labels(scored, scored))
    assert hint in caught.value.hint


def make_draft(fit: Fit, target="folder", size=(600, 800), scored=True, names=NAMES, **changes) -> Draft:
    plan = fit.plan
    sides = [domain(size), replace(domain(size), place=Place(target, Path("/data/real"), "."), labels=None)]
    fitted = (fit_size({size: 3}, plan.source_area, "a"), fit_size({size: 3}, plan.target_area, "b"))
    val = (Place(target, Path("/data/real"), "val"), labels()) if scored else None
    return Draft(*sides, val, Classes(names, share=dict.fromkeys(names, 0.5)), fitted, CPU, fit, changes)


def load(draft: Draft, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(recipe_text(["head"], choose_settings(draft)))
    recipe = load_recipe(str(path))
    assert [error.message for stage in recipe.chain for error in contradictions(recipe, stage)] == []
    return recipe, path.read_text()


@pytest.mark.parametrize("plan", [ON_CPU, *ON_GPU], ids=lambda plan: f"{plan.base} {plan.scale}")
@pytest.mark.parametrize("size", [(600, 800), (1052, 1914), (40, 70), (800, 600)])
def test_every_plan_is_a_recipe_without_contradictions(tmp_path, plan, size):
    recipe, text = load(make_draft(Fit(plan, 2, 10**9, 10**6, None), size=size), tmp_path)
    assert (recipe.scale, recipe.retrain.accumulate, recipe.space) == (plan.scale, 2, NAMES)
    assert (recipe.data, recipe.source.root, recipe.target.root) == ("/data", "synthetic", "real")
    assert recipe.toytown is None
    assert all(crop <= side for crop, side in zip(recipe.retrain.augment.crop, recipe.target.size, strict=True))
    assert max(map(len, text.splitlines())) <= 120
    settings = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    assert sum("#" in line for line in settings) > 8
    assert yaml.safe_load(text)["base"] == plan.base


def test_without_labels_nothing_is_scored(tmp_path):
    recipe, text = load(make_draft(Fit(ON_CPU, 1, 10**9, 10**6, None), scored=False), tmp_path)
    assert recipe.chain == ("retrain", "report")
    assert "nothing can be scored" in text


def test_classes_without_things_and_cars_with_a_bonnet(tmp_path):
    recipe, _ = load(make_draft(Fit(ON_CPU, 1, 0, 0, None), names=("sky", "road")), tmp_path)
    assert recipe.retrain.feature_distance is None
    own, _ = load(make_draft(Fit(ON_GPU[0], 1, 0, 0, None)), tmp_path)
    cityscapes, _ = load(make_draft(Fit(ON_GPU[0], 1, 0, 0, None), target="cityscapes"), tmp_path)
    assert not own.retrain.online.has_margins
    assert cityscapes.retrain.online.has_margins


def test_changes_lie_over_the_choices(tmp_path):
    changes = {"retrain.steps": 7, "source.labels.suffix": "_m", "retrain.strong": {}, "seed": 3}
    recipe, text = load(make_draft(Fit(ON_CPU, 1, 0, 0, None), **changes), tmp_path)
    assert (recipe.retrain.steps, recipe.source.labels.suffix, recipe.seed) == (7, "_m", 3)
    assert text.count("given by --set") == 4


@pytest.fixture
def weights(monkeypatch):
    """Let the ImageNet weights of these encoders be on the machine, and no others."""
    there: set[str] = set()
    missing = lambda recipe: None if recipe.model.encoder_name in there else UdasegError("no weights", "get them")  # noqa: E731
    monkeypatch.setattr(machines, "find_missing_weights", missing)
    return there


def test_the_memory_and_the_weights_decide_the_network(weights, monkeypatch):
    needed = {ON_GPU[0]: 8e9, ON_GPU[1]: 10e9, ON_CPU: 2e9}

    def fits(plan, machine, classes):
        lacks = machines.find_missing_weights(load_recipe(plan.base, scale=plan.scale))
        return Fit(plan, 1, int(needed[plan]), 1, lacks) if needed[plan] <= machine.bytes else None

    monkeypatch.setattr(machines, "_fit", fits)
    large, medium, small = (Machine("cuda", int(size), f"{size:.0f}") for size in (24e9, 9e9, 4e9))
    assert choose_plan(large, 19).plan == ON_GPU[0]
    assert choose_plan(large, 19).missing_weights is not None
    weights.add("resnet101")
    assert choose_plan(large, 19) == Fit(ON_GPU[1], 1, int(10e9), 1, None)
    assert choose_plan(medium, 19).plan == ON_GPU[0]
    weights.add("mit_b5")
    assert choose_plan(large, 19) == Fit(ON_GPU[0], 1, int(8e9), 1, None)
    assert choose_plan(small, 19).plan == choose_plan(CPU, 19).plan == ON_CPU
    with pytest.raises(UdasegError, match="too little memory") as caught:
        choose_plan(Machine("cuda", 10**9, "a GPU"), 19)
    assert "CUDA_VISIBLE_DEVICES" in caught.value.hint


def test_a_batch_in_parts_takes_less_memory(weights):
    whole = machines._fit(ON_CPU, CPU, 4)
    parts = machines._fit(ON_CPU, Machine("cpu", int(whole.bytes / machines.ROOM) - 10**6, ""), 4)
    assert whole.accumulate == 1 < parts.accumulate
    assert parts.bytes < whole.bytes
    assert machines._fit(ON_CPU, Machine("cpu", 10**9, ""), 4) is None
    assert 3 * 10**6 < whole.parameters < 4 * 10**6


def test_a_full_disk_is_an_error(monkeypatch):
    monkeypatch.setattr(drafting.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**6))
    with pytest.raises(UdasegError, match=r"a run takes about .* of disk there, and .* are free"):
        drafting._require_room(10**6)
