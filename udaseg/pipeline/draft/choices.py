"""Choose the settings of a recipe for two domains and a machine, each with its reason."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.config import HxW, Recipe
from udaseg.config.load import load_recipe, nest
from udaseg.config.sections.feature_distance import THINGS
from udaseg.data.common_classes import Classes
from udaseg.data.locate import Place
from udaseg.data.survey import Domain, Labels
from udaseg.pipeline.draft.machine import ON_CPU, Fit, Machine
from udaseg.pipeline.draft.sizes import Fitted, fit_crop

# The images at whose size the shipped `rare.pixels` were chosen: of GTA5, and of toytown.
_PIXELS_AT = {"full": 1052 * 1914, "toy": 256 * 512}
_RARE = 0.001  # the share of a class below which it is named as rare


class Choice(NamedTuple):
    """The value of a setting, the reason, and lines that stand below it as comments."""

    value: Any
    why: str = ""
    below: tuple[str, ...] = ()


@dataclass(frozen=True)
class Draft:
    """Everything that a recipe is written from.

    `scored` is the labelled split of the target and its labels, None where there is none. `changes` are settings that
    the user gave, by dotted key.
    """

    source: Domain
    target: Domain
    scored: tuple[Place, Labels] | None
    classes: Classes
    fitted: tuple[Fitted, Fitted]
    machine: Machine
    fit: Fit
    changes: dict[str, Any]


def choose_settings(draft: Draft) -> dict[str, Any]:
    """Choose all settings: sections of Choice, in the order of a recipe."""
    plan, base = draft.fit.plan, load_recipe(draft.fit.plan.base, scale=draft.fit.plan.scale)
    data = _common_folder(draft.source.place.root, draft.target.place.root)
    settings: dict[str, Any] = {"base": Choice(plan.base, plan.why)}
    settings["scale"] = Choice(plan.scale, "small images, a small network, few steps" if plan.scale == "toy" else "")
    settings["chain"] = _chain(draft)
    settings["data"] = Choice(str(data), "the roots below lie in it; --data names another place")
    if plan.scale == "toy":
        settings["toytown"] = Choice(None, "nothing is rendered in the place of your data")
    settings["space"] = _space(draft.classes)
    settings["source"] = _side(draft.source, draft.fitted[0], data, draft.source.labels)
    settings["target"] = _side(draft.target, draft.fitted[1], data, draft.scored[1] if draft.scored else None)
    if draft.scored is not None:
        val = Choice(draft.scored[0].split, f"{draft.scored[1].total} labelled images; evaluate alone reads them")
        settings["target"] = {"dataset": settings["target"].pop("dataset"), "root": settings["target"].pop("root"),
                              "split": settings["target"].pop("split"), "val": val, **settings["target"]}  # fmt: skip
    settings["model"] = _model(base, draft)
    settings["retrain"] = _training(base, draft)
    return _with_changes(settings, draft.changes)


def _chain(draft: Draft) -> Choice:
    if draft.scored is not None:
        return Choice(["retrain", "evaluate", "report"], "one training, its score, a page")
    return Choice(
        ["retrain", "report"],
        "one training and a page; nothing can be scored: no target image has a label",
        ("where you have labels of some target images, name their directory with --val",),
    )


def _space(classes: Classes) -> Choice:
    rare = [f"{name} {share:.3%}" for name, share in classes.share.items() if share < _RARE]
    below = []
    if rare:
        below.append(f"rare in the source, of its pixels: {', '.join(rare)}")
    if classes.source_only:
        below.append(f"of the source alone, ignored in training: {', '.join(classes.source_only)}")
    if classes.target_only:
        below.append(f"of the target alone, never predicted and not scored: {', '.join(classes.target_only)}")
    if classes.unseen:
        below.append(f"left out, as no label of the source that was read shows them: {', '.join(classes.unseen)}")
    if classes.unscored:
        below.append(f"in no label to score on, so without a score: {', '.join(classes.unscored)}")
    return Choice(classes.setting, f"{len(classes.space)} classes that the source teaches", tuple(below))


def _side(domain: Domain, fitted: Fitted, data: Path, labels: Labels | None) -> dict[str, Choice]:
    place = domain.place
    root = Path(os.path.relpath(place.root.resolve(), data)).as_posix()
    split = "" if place.split != "." else "the whole folder"
    section = {"dataset": Choice(place.dataset), "root": Choice(root), "split": Choice(place.split, split)}
    if labels is not None and labels.coding is not None:
        guess = labels.guess
        below = tuple(f"fits as well: {name}" for name in guess.others) if guess else ()
        section["coding"] = Choice(labels.coding, f"found by looking at labels: {guess.reason}" if guess else "", below)
    own, size = fitted.own, list(fitted.size)
    kept = f"the aspect of {own[0]}x{own[1]}" if fitted.size != own else "as the images are"
    section["size"] = Choice(size, f"height, width; {kept}")
    if fitted.pad:
        section["pad"] = Choice(True, f"images have several aspects, which are kept: {fitted.others} of "
                                f"{sum(domain.sizes.values())} have another size")  # fmt: skip
    return section


def _model(base: Recipe, draft: Draft) -> dict[str, Choice]:
    model, fit = base.model, draft.fit
    memory = f"; about {fit.bytes / 1e9:.0f} GB in training, by arithmetic"
    if model.encoder is None:
        network = {"name": Choice(model.name, fit.plan.network + memory), "backbone": Choice(model.backbone)}
    else:
        network = {"encoder": Choice(model.encoder, fit.plan.network + memory), "decoder": Choice(model.decoder)}
    missing = fit.missing_weights
    return {**network, "weights": Choice(model.weights, "" if missing is None else missing.message)}


def _training(base: Recipe, draft: Draft) -> dict[str, Any]:
    retrain, scale = base.retrain, draft.fit.plan.scale
    sizes: tuple[HxW, HxW] = (draft.fitted[0].size, draft.fitted[1].size)
    crop = fit_crop(sizes, draft.fit.plan.crop)
    steps = Choice(3000, "the number whose scores are in docs/results.md") if scale == "toy" else Choice(
        retrain.steps, "as published")  # fmt: skip
    settings: dict[str, Any] = {"steps": steps, "batch": Choice(retrain.batch, "images of each domain in a step")}
    if draft.fit.accumulate > 1:
        settings["accumulate"] = Choice(draft.fit.accumulate, "the batch in parts, as the memory takes no more")
    settings["augment"] = {"crop": Choice(list(crop), "fits the images of both sides")}
    if draft.fit.plan == ON_CPU:
        settings["adabn"] = Choice("after", "the statistics of the target; with labels to score on, try false too")
    if retrain.rare is not None:
        own = draft.fitted[0].own
        pixels = max(1, round(retrain.rare.pixels * own[0] * own[1] / _PIXELS_AT[scale]))
        why = f"an image is drawn for a class with more pixels of it, in {own[0]}x{own[1]}"
        settings["rare"] = {"pixels": Choice(pixels, why)}
    if retrain.online is not None and retrain.online.has_margins and draft.target.place.dataset != "cityscapes":
        why = "where your camera shows its own bonnet: [0, 0.2, 0, 0] leaves out the lowest fifth"
        settings["online"] = {"margins": Choice([0, 0, 0, 0], why)}
    if retrain.masked is not None and (block := min(retrain.masked.block, max(1, min(crop) // 4))):
        settings["masked"] = {"block": Choice(block, "the side of hidden blocks; a crop has four or more in a row")}
    if retrain.feature_distance is not None and not THINGS.intersection(draft.classes.space):
        settings["feature_distance"] = Choice(None, "a loss on things such as cars, and no class is known as one")
    return settings


def _with_changes(settings: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay the user's settings over the chosen ones."""

    def lay(under: Any, over: Any) -> Any:
        if not isinstance(over, dict) or not over:
            return Choice(over, "given by --set")
        under = dict(under) if isinstance(under, dict) else {}
        return under | {key: lay(under.get(key), value) for key, value in over.items()}

    return lay(settings, nest(changes)) if changes else settings


def _common_folder(*roots: Path) -> Path:
    return Path(os.path.commonpath([root.resolve() for root in roots]))
