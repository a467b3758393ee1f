"""Open what stages read: the datasets of a recipe, the toytown that stands in for missing ones, models.

Everything that needs NumPy is imported where it is used: the help of every command imports this module.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.artifacts import Input
from udaseg.errors import UdasegError
from udaseg.files import fingerprint
from udaseg.recipe import Source, Target
from udaseg.recipes import shipped

from .session import Session

if TYPE_CHECKING:
    import numpy as np

    from udaseg.data.records import ImageSet, LabelledSet
    from udaseg.labels import ClassSpace
    from udaseg.prototypes import Prototypes

EVERYTHING = ("source", "target images", "target val")


def chosen(side: Source | Target) -> dict[str, Any]:
    """Give the settings that choose the pictures of a side, for the manifest of a stage that reads them."""
    return side.model_dump(include={"dataset", "split", "list", "limit"})


def seen(side: Source | Target) -> dict[str, Any]:
    """Give the settings that choose the pictures of a side and say at which size they are seen."""
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
    """Open one of the recipe's sets, or the labels of the target's training pictures (`target truth`), for a look.

    None where it is not there: nothing is rendered for it, and nothing is wrong with that.
    """
    try:
        return _open(session, what)
    except UdasegError:
        return None


def styled_source(session: Session, stage: str) -> LabelledSet:
    """Open the pictures to train on: the source, or the source in the style of the target."""
    plain = source(session)
    if stage == "source":
        return plain
    from udaseg.stylize import styled

    return styled(plain, session.finished("stylize", "udaseg stylize"))


def training_source(session: Session, stage: str) -> dict[str, Input]:
    """Name the source as an input of a training stage, and its stylised pictures where the recipe wants them."""
    given = {"source": fingerprinted(source(session))}
    if stage == "stylize":
        given["stylize"] = session.input(session.finished("stylize", "udaseg stylize"))
    return given


def target_size(session: Session) -> tuple[int, int]:
    """Give the (height, width) of the target's pictures, that of the first for all."""
    from udaseg.data.pictures import picture_size

    return picture_size(target_images(session).records[0].image)


def class_counts_file(session: Session) -> Path:
    """Find the pixel counts of the source classes: where --class-counts says, else in the run's stats."""
    return session.given("class_counts") or session.folder("stats") / "stats.json"


def prior_file(session: Session) -> Path:
    """Find the spatial prior: where --prior says, else in the run."""
    return session.given("prior") or session.finished("prior", "udaseg prior") / "prior.h5"


def predictions_file(session: Session) -> Path:
    """Find the stored scores: where --predictions says, else in the run."""
    return few(session, given_predictions(session) or session.finished("predict", "udaseg predict") / "predictions.h5")


def given_predictions(session: Session) -> Path | None:
    """Find the stored scores that --predictions names: a predictions.h5, or the directory that holds one."""
    given = session.given("predictions")
    return given / "predictions.h5" if given is not None and given.is_dir() else given


def few(session: Session, path: Path) -> Path:
    """Give the scores that a session works on: those in a file, or a copy of a sample of them."""
    return path if session.sample is None else session.sample.predictions(path)


def label_folder(session: Session, stage: str | None = None) -> Path:
    """Find the pseudo-labels: where --labels says, else in the stage, by default that which the recipe names."""
    given = session.given("labels")
    if given is not None:
        return given
    stage = stage or session.recipe.retrain.labels
    flag = " --spatial-prior" if stage == "refine" else ""
    return session.finished(stage, f"udaseg {stage}{flag}") / "labels"


def prototypes_file(session: Session) -> Path:
    """Find the prototypes: where --prototypes-file says, else in the run."""
    command = shlex.join(["udaseg", "prototypes", *(f"--model={path}" for path in (session.given("model"),) if path)])
    return session.given("prototypes") or session.finished("prototypes", command) / "prototypes.h5"


def prototypes_of(model: Input, file: Input) -> Prototypes:
    """Read prototypes, and raise UdasegError where they are those of another model."""
    from udaseg.prototypes import read

    found = read(Path(file.path))
    if found.model != model.digest:
        raise UdasegError(
            f"{file.path} holds the prototypes of another model than {model.path}",
            f"udaseg prototypes --model {shlex.quote(model.path)} --out DIR computes its own, "
            "--prototypes-file DIR/prototypes.h5 names them",
        )
    return found


def thresholds_file(session: Session) -> Path:
    """Find the thresholds.json of the pseudo-labels: where --thresholds says, beside --labels, else in the run."""
    given = session.given("thresholds")
    if given is not None:
        return given
    labels = session.given("labels")
    folder = session.finished("pseudolabel", "udaseg pseudolabel") if labels is None else labels.resolve().parent
    path = folder / "thresholds.json"
    if not path.is_file():
        raise UdasegError(f"{path} does not exist", "name the one of the pseudo-labels with --thresholds")
    return path


def pseudo_labels(session: Session, folder: Path, target: ImageSet) -> Callable[[str], np.ndarray]:
    """Give a reader of the pseudo-labels in a folder, after a look whether every picture has one."""
    from udaseg.data import read_train_ids

    missing = [record.stem for record in target.records if not (folder / f"{record.stem}.png").is_file()]
    if missing:
        raise UdasegError(
            f"{folder} holds no pseudo-label for {len(missing)} of {len(target)} pictures, the first is {missing[0]}",
            "run udaseg pseudolabel (and refine) for this target again",
        )
    classes = space(session)
    return lambda stem: read_train_ids(folder / f"{stem}.png", classes)


def fingerprinted(pictures: ImageSet | LabelledSet) -> Input:
    """Name a dataset as an input: its files by name, size and time, and what the ids in them mean."""
    parts = ("image", "label", "depth")
    files = [getattr(record, part, None) for part in parts for record in pictures.records]
    paths = [path for path in files if path is not None]
    table = getattr(pictures, "table", None)  # an ImageSet has no labels, and so no table of their ids
    return Input(str(pictures.root), fingerprint(paths, pictures.root, b"" if table is None else table.tobytes()))


def model_file(session: Session, default: str, command: str) -> Path:
    """Find a model: where --model says (a file, a stage directory or a stage of this run), else in stage `default`."""
    given = session.given("model")
    if given is None:
        return session.finished(default, command) / "model.pt"
    stage = session.folder(str(given))
    for path in (stage / "model.pt", given, given / "model.pt"):
        if path.is_file():
            return path
    raise UdasegError(
        f"--model {given}: there is no such file, and neither {given} nor {stage} holds a model.pt",
        "name a model.pt or a stage that has one; udaseg status says which stages of the run are done",
    )


def last_model(session: Session) -> Path:
    """Find the model that this round of self-training starts from: the warm-up's, then that of the round before."""
    if session.round == 1:
        return model_file(session, "warmup", "udaseg warmup")
    return model_file(session.of_round(session.round - 1), "retrain", "udaseg retrain")


def adapted(session: Session) -> str:
    """Name the stage whose model is the result of the recipe: the last of its trainings."""
    return "distill" if "distill" in session.recipe.chain else "retrain"


def height_width(text: str) -> list[int]:
    """Read HxW; raises UdasegError for anything else."""
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise UdasegError(f"--size {text}: expected HEIGHTxWIDTH", "for example --size 256x512")
    return [int(part) for part in parts]


def _open(session: Session, what: str) -> ImageSet | LabelledSet:
    from udaseg.data import open_images, open_labelled

    recipe = session.recipe
    side = recipe.source if what == "source" else recipe.target
    place = Path(recipe.data, side.root or side.dataset)
    listed = None if side.list is None else Path(side.list)
    some = {} if what == "target val" else {"limit": side.limit, "listed": listed}
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
    from udaseg.data.sets import require_known

    space(session)
    for side in (session.recipe.source, session.recipe.target):
        require_known(side.dataset)


def lacking(session: Session) -> dict[str, UdasegError]:
    """Say what is wrong with a recipe's data, by message; nothing is rendered for it."""
    found: dict[str, UdasegError] = {}
    for what in EVERYTHING:
        try:
            _open(session, what)
        except UdasegError as problem:
            found.setdefault(problem.message, problem)
    return found


def _report_all(session: Session, error: UdasegError) -> None:
    """Say at once what is wrong with all of a recipe's data, so that a user mends it in one go."""
    from udaseg.data.layout import AbsentError

    found = lacking(session)
    if len(found) < 2 and not isinstance(error, AbsentError):
        return
    hints = list(dict.fromkeys(problem.hint for problem in found.values() if problem.hint))
    name = session.origin["recipe"]
    ways = ("udaseg warmup", "make demo")
    if name in shipped() and session.recipe.scale == "full":
        ways = (f"udaseg warmup --recipe {name} --scale toy", f"make {name} SCALE=toy")
    hints.append(f"or try the same on the embedded world, without any data: {' or '.join(ways)}")
    raise UdasegError("the data cannot be used:\n  " + "\n  ".join(found), "\n       ".join(hints)) from error
