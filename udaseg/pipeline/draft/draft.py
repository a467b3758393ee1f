"""Draft a recipe for two directories: look at both, and choose what suits them and the machine."""

import shutil
from pathlib import Path
from typing import Any

from udaseg.config.load import load_recipe
from udaseg.data.common_classes import find_common_classes
from udaseg.data.locate import Place, find_places, find_scored, find_scored_folder, join_places, labelled_target_error
from udaseg.data.survey import Domain, Labels, survey_labels, survey_source, survey_target
from udaseg.errors import UdasegError, join_names
from udaseg.pipeline.draft.choices import Draft
from udaseg.pipeline.draft.machine import Machine, checkpoint_bytes, choose_plan
from udaseg.pipeline.draft.sizes import WILD, Fitted, fit_size
from udaseg.pipeline.format import size as size_text
from udaseg.pipeline.run import ShowProgress

ROOM = 200e6  # bytes for logs, the page and the pictures of a run


def draft_recipe(
    source: Path,
    target: Path,
    val: Path | None,
    changes: dict[str, Any],
    machine: Machine,
    show_progress: ShowProgress,
) -> Draft:
    """Look at two directories and choose everything that a recipe for them says.

    `val` is a directory of labelled target images, None where the target has its own or none. `changes` are settings
    that the user gives. Raises UdasegError for whatever keeps the two from an adaptation.
    """
    _require_two(source, target)
    with show_progress("source labels", "files") as show:
        coding, suffix = changes.get("source.coding"), changes.get("source.labels.suffix")
        source_side = survey_source(source, coding, suffix, show)
    place, scored_place = _find_target(target, val)
    target_side = survey_target(place)
    _require_apart(source_side.place, place)
    scored = None
    if scored_place is not None:
        with show_progress("labels to score on", "files") as show:
            coding, suffix = changes.get("target.coding"), changes.get("target.labels.suffix")
            scored = scored_place, survey_labels(scored_place, "target", coding, suffix, show)
    classes = find_common_classes(source_side, scored[1] if scored else None)
    fit = choose_plan(machine, len(classes.space))
    areas = fit.plan.source_area, fit.plan.target_area
    fitted = _fit(source_side, areas[0], "source", changes), _fit(target_side, areas[1], "target", changes)
    _require_room(checkpoint_bytes(fit.parameters, load_recipe(fit.plan.base, scale=fit.plan.scale).retrain))
    return Draft(source_side, target_side, scored, classes, fitted, machine, fit, changes)


def _find_target(target: Path, val: Path | None) -> tuple[Place, Place | None]:
    """Return the place of the target's images, and that of the labelled ones, where there are any."""
    places = find_places(target)
    if not places:
        raise labelled_target_error(target)
    # The layout of GTA5 is that of any folder of images and labels, and nobody adapts to a game.
    place = next((one for one in places if one.dataset != "gta5"), places[0])
    if val is not None and val.resolve() != target.resolve():
        place, split = join_places(place, find_scored_folder(val))
        return place, place._replace(split=split)
    split = find_scored(place)
    if val is not None and split is None:
        raise UdasegError(
            f"--val {val}: expected labelled images apart from those of the target, found no split val or test with "
            "labels",
            "name another directory with --val, or leave it out: then nothing is scored",
        )
    return place, None if split is None else place._replace(split=split)


def _require_two(source: Path, target: Path) -> None:
    if source.resolve() == target.resolve():
        raise UdasegError(
            f"the source and the target are the same directory, {source}",
            "name the labelled images first and the images to adapt to second: `udaseg init data/synthetic data/real`",
        )


def _require_apart(source: Place, target: Place) -> None:
    """Raise UdasegError where images of the source are images of the target too."""
    roots = source.folder.resolve(), target.folder.resolve()
    if not (roots[0].is_relative_to(roots[1]) or roots[1].is_relative_to(roots[0])):
        return
    ours = {path.resolve() for path in source.list_images().values()}
    shared = sum(path.resolve() in ours for path in target.list_images().values())
    if shared:
        raise UdasegError(
            f"{shared} images are in both: {source.folder} is the source, {target.folder} the target",
            "name two directories of which none holds the other, such as `udaseg init data/synthetic data/real`",
        )


def _fit(domain: Domain, area: int, side: str, changes: dict[str, Any]) -> Fitted:
    """Fit the size of a side; raise UdasegError where its images are of wildly different sizes."""
    fitted = fit_size(domain.sizes, area, str(domain.place.folder))
    if fitted.ratio >= WILD**2 and f"{side}.pad" not in changes:
        sizes = sorted(domain.sizes, key=lambda one: one[0] * one[1])
        smallest, largest = (f"{one[0]}x{one[1]}" for one in (sizes[0], sizes[-1]))
        raise UdasegError(
            f"{domain.place.folder}: the sizes of images differ wildly, from {smallest} to {largest}; most have "
            f"{fitted.own[0]}x{fitted.own[1]}",
            f"move those apart that are no frames of a camera, or train on all: add --set {side}.pad=true",
        )
    return fitted


def _require_room(needed: int) -> None:
    free = shutil.disk_usage(Path.cwd()).free
    if free < needed + ROOM:
        raise UdasegError(
            f"{Path.cwd()}: a run takes about {size_text(needed + ROOM)} of disk there, and {size_text(free)} are free",
            "free some space, or work in a directory on another disk",
        )


def describe(draft: Draft) -> list[str]:
    """Describe what was found and chosen, a line for each subject."""
    source, target = draft.fitted
    lines = [
        f"source:  {_describe_side(draft.source, draft.source.labels)}",
        f"target:  {_describe_side(draft.target, None)}",
    ]
    if draft.scored is not None:
        lines.append(f"scored:  {draft.scored[1].total} labelled images in {draft.scored[0].folder}")
    else:
        lines.append("scored:  nothing, as no target image has a label")
    lines.append(f"classes: {len(draft.classes.space)}: {', '.join(draft.classes.space)}")
    for name, classes in (
        ("of the source alone, ignored", draft.classes.source_only),
        ("of the target alone, never predicted", draft.classes.target_only),
        ("in no label of the source, left out", draft.classes.unseen),
        ("in no label to score on, without a score", draft.classes.unscored),
    ):
        lines += [f"         {name}: {', '.join(classes)}"] if classes else []
    lines.append(f"machine: {draft.machine.text}")
    lines.append(f"method:  {draft.fit.plan.base}: {draft.fit.plan.why}")
    lines.append(f"network: {draft.fit.plan.network}; about {size_text(draft.fit.bytes)} of memory, by arithmetic")
    lines.append(f"sizes:   source {_size(source)}, target {_size(target)}")
    return lines


def _describe_side(domain: Domain, labels: Labels | None) -> str:
    place = domain.place
    sizes = sorted(domain.sizes, key=lambda size: -domain.sizes[size])
    shown = ", ".join(f"{height}x{width}" for height, width in sizes[:2]) + (", ..." if sizes[2:] else "")
    kind = "a folder" if place.dataset == "folder" else f"the layout of {place.dataset}"
    parts = [f"{domain.images} images of {shown}"]
    if domain.folders:
        parts.append("in " + join_names([f"{name}/ ({count})" for name, count in domain.folders.items()], 4))
    if labels is not None:
        parts.append(labels.notes[0] + (f" (found: {labels.guess.text})" if labels.guess else ""))
    return f"{place.folder}, {kind}: {', '.join(parts)}"


def _size(fitted: Fitted) -> str:
    pad = ", padded, as others have another aspect" if fitted.pad else ""
    return f"{fitted.size[0]}x{fitted.size[1]} of {fitted.own[0]}x{fitted.own[1]}{pad}"
