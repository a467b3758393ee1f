"""Pseudo-labels from probabilities and class-wise thresholds (CBST, eq. 8)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from udaseg.data.datasets.label_folder import LabelFiles, match_label_files
from udaseg.data.images.read import read_train_ids
from udaseg.errors import UdasegError, join_names
from udaseg.inference.confidence import thresholded_label
from udaseg.io.documents.read import read_document
from udaseg.io.documents.refinement import Refinement
from udaseg.io.documents.thresholds import Thresholds
from udaseg.labels import IGNORE, ClassSpace
from udaseg.pipeline.common_inputs import LABEL_SUFFIX
from udaseg.pipeline.inputs import refuse_flags
from udaseg.pipeline.log import log
from udaseg.pipeline.run import Run, command_of
from udaseg.pipeline.work import Work


def _checked(thresholds, classes):
    thresholds = np.asarray(thresholds, np.float32)
    if thresholds.shape != (classes,):
        raise UdasegError(
            f"{thresholds.size} thresholds for {classes} classes",
            "estimate the thresholds from the predictions that are to be labelled",
        )
    if not (np.isfinite(thresholds).all() and (thresholds > 0).all()):
        raise UdasegError(
            f"thresholds are {thresholds.tolist()}, expected finite numbers above 0",
            "estimate them again: udaseg pseudolabel --force",
        )
    return thresholds


def select(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the class of the highest probability / threshold where it is at least 1, and 255 elsewhere.

    probabilities is [C, ...], thresholds [C] (1 for a class that is not to be chosen); returns uint8 [...]. The winner
    is not the plain argmax: with thresholds 0.95 and 0.3, probabilities 0.6 and 0.35 give the second class. Equality
    keeps, as in the authors' code, so that the pixel which defines a threshold is labelled.
    """
    thresholds = _checked(thresholds, len(probabilities))
    scores = probabilities / thresholds.reshape(-1, *[1] * (probabilities.ndim - 1))
    return np.where(scores.max(0) >= 1, scores.argmax(0), IGNORE).astype(np.uint8)


def argmax_decides(thresholds: np.ndarray) -> bool:
    """Tell whether plain argmax, kept where its confidence reaches its threshold, is the rule of `select`.

    A class that is not the argmax has a probability of at most 1/2. So it can win only with a threshold of at most 1/2
    that is also lower than the threshold of the argmax: never where all thresholds exceed 1/2, or all are equal.
    """
    return bool(np.min(thresholds) > 0.5 or np.all(thresholds == thresholds[0]))


def pseudo_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, thresholds: np.ndarray
) -> np.ndarray:
    """Return the pseudo-label of one image, uint8 [H, W], 255 where no class reaches its threshold.

    logits_CHW is float16 or float32 [C, h, w], upsampled bilinearly to (height, width) before the softmax; thresholds
    is [C]. The rule is that of `select`; the division becomes a difference of logarithms, so the probabilities of all
    classes are never held. Raises UdasegError for logits or thresholds that are not finite or do not fit together.
    """
    thresholds = _checked(thresholds, len(logits_CHW))
    bias = np.zeros_like(thresholds) if argmax_decides(thresholds) else -np.log(thresholds)
    return thresholded_label(logits_CHW, height, width, align_corners, bias, thresholds)


def read_thresholds(path: Path, classes: Sequence[str]) -> Thresholds:
    """Read thresholds.json. Raises UdasegError where it is missing, damaged, or has other classes."""
    thresholds = read_document(path, Thresholds, "write it again: udaseg pseudolabel --force")
    if thresholds is None:
        raise UdasegError(f"{path} does not exist", "`udaseg pseudolabel` writes it beside its labels")
    if thresholds.classes != list(classes):
        raise UdasegError(
            f"{path}: expected thresholds of {', '.join(classes)}; found those of {', '.join(thresholds.classes)}",
            "make the pseudo-labels with a model of these classes",
        )
    return thresholds


def open_labels(files: Mapping[str, Path], space: ClassSpace) -> Callable[[str], np.ndarray]:
    """Return a reader of pseudo-labels by stem: a stem to uint8 train ids [H, W], 255 ignored."""
    return lambda stem: read_train_ids(files[stem], space)


def find_labels(work: Work, stems: Sequence[str], classes: Sequence[str]) -> dict[str, Path]:
    """Return the pseudo-label of each stem in the input `labels` of a stage; a warning counts those without one.

    A folder that a flag names may hold the labels of a part of the images, in sub-folders, and with a suffix in their
    names. Raises UdasegError where none has one, where one of the run's own labels is missing, or where the labels are
    known to be of other classes.
    """
    folder, is_named = work.require_path("labels"), "labels" in work.run.paths
    found = match_labels(work.run, folder, stems)
    files = found.files
    if (missing := len(stems) - len(files)) and (not files or not is_named):
        first = next(stem for stem in stems if stem not in files)
        again = command_of(work.run, "udaseg pseudolabel", work.round if work.recipe.rounds > 1 else None)
        others = f"; {len(found.others)} files are no label files: {join_names(found.others)}" if found.others else ""
        raise UdasegError(
            f"{folder} holds no pseudo-label for {missing} of {len(stems)} images, the first is {first}{others}",
            found.hint or f"name a folder that holds {first}.png and so on with --labels, or make the labels: {again}",
        )
    if missing and work.is_first:
        work.warn(f"{missing} of {len(stems)} images have no pseudo-label in {folder} and are left out")
    if is_named and found.suffix:
        log(f"labels: the names in {folder} add {found.suffix} to those of the images")
    if is_named and found.surplus:
        log(f"labels: {found.surplus} label files in {folder} belong to none of the {len(stems)} images")
    require_same(folder, classes_of(folder), classes, work.other_classes_hint())
    return files


def match_labels(run: Run, folder: Path, stems: Sequence[str]) -> LabelFiles:
    """Match the files in the input `labels` with stems: exactly for the run's own, by their names for a flag's."""
    setting, option = LABEL_SUFFIX
    suffix = run.recipe.target.labels.predicted_suffix
    if "labels" in run.paths:
        return match_label_files(folder, stems, suffix, option)
    because = f"the pseudo-labels are those of the run, and {setting} is for those that --labels names"
    refuse_flags({option: suffix}, because, "leave it out, or name a folder with --labels")
    paths = {stem: folder / f"{stem}.png" for stem in stems}
    return LabelFiles({stem: path for stem, path in paths.items() if path.is_file()})


def require_same(what: Path, found: Sequence[str] | None, classes: Sequence[str], hint: str) -> None:
    """Raise UdasegError where something is not of these classes, in their order; None is not known to be of others."""
    if found is None or list(found) == list(classes):
        return
    missing = [name for name in classes if name not in found]
    more = [name for name in found if name not in classes]
    unlike = [f"without {', '.join(missing)}"] * bool(missing) + [f"with {', '.join(more)}"] * bool(more)
    differ = " and ".join(unlike) or "in another order"
    raise UdasegError(f"{what} is of {len(found)} classes, expected {len(classes)}: it is {differ}", hint)


def classes_of(labels: Path) -> list[str] | None:
    """Read the classes of the pseudo-labels in a folder; None where their stage's result is not beside them.

    Raises UdasegError where that result is damaged.
    """
    for model in (Refinement, Thresholds):
        document = read_document(labels.resolve().parent / model.file, model, "make the labels again with --force")
        if document is not None:
            return document.classes
    return None
