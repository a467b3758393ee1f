"""Open the datasets of a recipe, or the toytown that stands in for missing ones.

Everything that needs NumPy is imported where it is used: the help of every command imports this module.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config import LONGEST, Source, Target
from udaseg.config.load import shipped_recipes
from udaseg.errors import UdasegError
from udaseg.io.files import fingerprint
from udaseg.pipeline.artifacts import Input

from .session import Session

if TYPE_CHECKING:
    from udaseg.data.image_sets import ImageSet, LabelledSet
    from udaseg.labels import ClassSpace

EVERYTHING = ("source", "target images", "target val")


def chosen(side: Source | Target) -> dict[str, Any]:
    """Give the settings that choose the images of a side, for the manifest of a stage that reads them."""
    return side.model_dump(include={"dataset", "split", "list", "limit"})


def seen(side: Source | Target) -> dict[str, Any]:
    """Give the settings that choose the images of a side and say at which size they are seen."""
    return chosen(side) | side.model_dump(include={"size", "pad"})


def space(session: Session) -> ClassSpace:
    """Give the class space of the recipe."""
    from udaseg.labels import class_space

    chosen = session.recipe.space
    return class_space(chosen if isinstance(chosen, str) else list(chosen))


def require(session: Session) -> None:
    """Raise UdasegError, listing all that is wrong, unless the recipe's data can be opened."""
    for what in EVERYTHING:
        _opened(session, what)


def source(session: Session) -> LabelledSet:
    """Open the labelled source."""
    return _opened(session, "source")


def target_images(session: Session) -> ImageSet:
    """Open the images of the target's training split, which come without labels."""
    return _opened(session, "target images")


def target_val(session: Session) -> LabelledSet:
    """Open the labelled split of the target on which models are scored."""
    return _opened(session, "target val")


def at_hand(session: Session, what: str) -> ImageSet | LabelledSet | None:
    """Open one of the recipe's sets, or the labels of the target's training images (`target truth`), for a look.

    None where it is not there: nothing is rendered for it, and nothing is wrong with that.
    """
    try:
        return _open(session, what)
    except UdasegError:
        return None


def styled_source(session: Session, stage: str) -> LabelledSet:
    """Open the images to train on: the source, or the source in the style of the target.

    Raises UdasegError where their labels have nothing to teach.
    """
    from udaseg.data.datasets.registry import require_labelled

    plain = source(session)
    require_labelled(plain)
    if stage == "source":
        return plain
    from udaseg.data.style.dataset import styled

    return styled(plain, session.finished("stylize", "udaseg stylize"))


def training_source(session: Session, stage: str) -> dict[str, Input]:
    """Name the source as an input of a training stage, and its stylised images where the recipe wants them."""
    given = {"source": fingerprinted(source(session))}
    if stage == "stylize":
        given["stylize"] = session.input(session.finished("stylize", "udaseg stylize"))
    return given


def target_size(session: Session) -> tuple[int, int]:
    """Give the (height, width) of the target's images, that of the first for all."""
    from udaseg.data.images.read import image_size

    return image_size(target_images(session).records[0].image)


def fingerprinted(images: ImageSet | LabelledSet) -> Input:
    """Name a dataset as an input: its files by name, size and time, and what the ids in them mean."""
    parts = ("image", "label", "depth")
    files = [getattr(record, part, None) for part in parts for record in images.records]
    paths = [path for path in files if path is not None]
    table = getattr(images, "table", None)  # an ImageSet has no labels, and so no table of their ids
    return Input(str(images.root), fingerprint(paths, images.root, b"" if table is None else table.tobytes()))


def height_width(text: str) -> list[int]:
    """Read HxW; raises UdasegError for anything else."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdecimal() and 1 <= int(part) <= LONGEST for part in parts):
        raise UdasegError(f"--size {text}: expected HEIGHTxWIDTH, up to {LONGEST} each", "for example --size 256x512")
    return [int(part) for part in parts]


def _open(session: Session, what: str) -> ImageSet | LabelledSet:
    from udaseg.data import open_images, open_labelled

    recipe = session.recipe
    side = recipe.source if what == "source" else recipe.target
    place = Path(recipe.data, side.root or side.dataset)
    listed = None if side.list is None else Path(side.list)
    some = {} if what == "target val" else {"limit": side.limit, "list_file": listed}
    if what == "target images":
        return open_images(side.dataset, place, side.split, **some)
    split = side.val if what == "target val" else side.split
    return open_labelled(side.dataset, place, split, space(session), coding=side.coding, **some)


def _opened(session: Session, what: str) -> ImageSet | LabelledSet:
    from . import made  # which opens its own inputs through this module

    if what in session.opened:
        return session.opened[what]
    if not session.opened:
        _require_names(session)
        made.ensure_toytown(session)
    try:
        found = _open(session, what)
        if session.sample is not None:
            side = session.recipe.source if what == "source" else session.recipe.target
            found = session.sample.opened(found, side.size)
        session.opened[what] = found
    except UdasegError as error:
        _report_all(session, error)
        raise
    return session.opened[what]


def _require_names(session: Session) -> None:
    """Raise UdasegError for a class space or a dataset that there is not, before anything is rendered."""
    from udaseg.data.datasets.registry import require_known

    space(session)
    for side in (session.recipe.source, session.recipe.target):
        require_known(side.dataset)


def lacking(session: Session, known: Collection[str] = ()) -> dict[str, UdasegError]:
    """Say what is wrong with a recipe's data, by message, but for `known` roots; nothing is rendered for it."""
    found: dict[str, UdasegError] = {}
    for what in EVERYTHING:
        side = session.recipe.source if what == "source" else session.recipe.target
        if (side.root or side.dataset) in known:
            continue
        try:
            _open(session, what)
        except UdasegError as problem:
            found.setdefault(problem.message, problem)
    return found


def _report_all(session: Session, error: UdasegError) -> None:
    """Say at once what is wrong with all of a recipe's data, so that a user mends it in one go."""
    from udaseg.data.datasets.layout import AbsentError

    found = lacking(session)
    if len(found) < 2 and not isinstance(error, AbsentError):
        return
    hints = list(dict.fromkeys(problem.hint for problem in found.values() if problem.hint))
    name = session.origin["recipe"]
    ways = ("udaseg warmup", "make demo")
    if name in shipped_recipes() and session.recipe.scale == "full":
        ways = (f"udaseg warmup --recipe {name} --scale toy", f"make {name} SCALE=toy")
    hints.append(f"or try the same on the embedded world, without any data: {' or '.join(ways)}")
    raise UdasegError("the data cannot be used:\n  " + "\n  ".join(found), "\n       ".join(hints)) from error
