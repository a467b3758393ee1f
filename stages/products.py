"""Find what a stage reads of other stages: scores, pseudo-labels, priors, prototypes, class counts, models.

Everything that needs NumPy is imported where it is used: the help of every command imports this module.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import Input

from . import inputs
from .session import Session

if TYPE_CHECKING:
    import numpy as np

    from udaseg.data.image_sets import ImageSet
    from udaseg.statistics.prototypes import Prototypes


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
    from udaseg.statistics.prototypes import read

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
    """Give a reader of the pseudo-labels in a folder, after a look whether every image has one."""
    from udaseg.data import read_train_ids

    classes = inputs.space(session)
    require_labels(session, folder, classes.classes, [record.stem for record in target.records])
    return lambda stem: read_train_ids(folder / f"{stem}.png", classes)


def require_labels(session: Session, folder: Path, classes: Sequence[str], stems: Sequence[str]) -> None:
    """Raise UdasegError where a folder lacks the pseudo-label of an image, or its labels are known to be of others."""
    from udaseg.pseudo.label_files import classes_of, require_same

    missing = [stem for stem in stems if not (folder / f"{stem}.png").is_file()]
    if missing:
        raise UdasegError(
            f"{folder} holds no pseudo-label for {len(missing)} of {len(stems)} images, the first is {missing[0]}",
            "run udaseg pseudolabel (and refine) for this target again",
        )
    require_same(folder, classes_of(folder), classes, _made_for(session))


def require_scores(session: Session, path: Path, classes: Sequence[str]) -> None:
    """Raise UdasegError where stored scores are of other classes than the recipe, in whose run they are to be used."""
    from udaseg.pseudo.label_files import require_same

    if session.out is None:  # elsewhere they are on their own
        require_same(path, classes, inputs.space(session).classes, _made_for(session))


def _made_for(session: Session) -> str:
    return f"name what it was made with in the place of {session.recipe.name}: --recipe, or --set space=..."


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
