"""Pseudo-labels for every image of a predictions.h5: thresholds over the whole set, then the labels."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from udaseg.config import Pseudolabel
from udaseg.config.rounds import share_of_round
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.errors import UdasegError
from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.predictions import Predictions
from udaseg.io.documents.results import Thresholds
from udaseg.io.files import write_json
from udaseg.labels import ClassSpace, flat_palette
from udaseg.metrics import count_classes
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress
from udaseg.pseudo.label_files import pseudo_label
from udaseg.pseudo.policies import cbst_sp, iast
from udaseg.pseudo.thresholds import ConfidenceHistogram, cbst_thresholds, st_thresholds
from udaseg.statistics.spatial_prior import Prior

Scored = tuple[np.ndarray, np.ndarray]  # label uint8 [H, W] and confidence float32 [H, W]


class Policy(NamedTuple):
    """What a policy with thresholds over all images does with one image, by stem, and with the whole."""

    scored: Callable[[str], Scored]  # for the pools
    thresholds: Callable[[ConfidenceHistogram, float], np.ndarray]
    labelled: Callable[[str, np.ndarray], np.ndarray]  # stem, thresholds -> label


def pseudolabel(
    predictions: Predictions,
    space: ClassSpace,
    settings: Pseudolabel,
    out: Path,
    *,
    prior: Prior | None = None,
    round: int = 1,
    progress: Progress | None = None,
) -> Thresholds:
    """Write `labels/<stem>.png` and `thresholds.json`; return the latter's content.

    The thresholds come from all images before the first label is written, but for `iast`, which takes image after
    image by name. `prior` is for cbst-sp; round, from 1, sets the share p. Labels that are there already are kept:
    they were written in one piece, for the same settings and predictions.
    """
    if not predictions.stems:
        raise UdasegError(f"{predictions.path} holds no image", "run udaseg predict again")
    labels = _Labels(out / "labels", space)
    if settings.policy == "iast":
        # Each image's thresholds are made of those of the one before.
        values = processes.broadcast(lambda: _adaptive(predictions, space, settings, labels, progress))
    else:
        policy = _policy(predictions, settings.policy, prior)
        values = _pooled(predictions, space, settings, share_of_round(settings, round), policy, labels, progress)
    if settings.policy == "cbst-sp":
        values["prior_peak"] = [float(peak) for peak in prior.relative()[1]]
    document = Thresholds(policy=settings.policy, classes=list(space.classes), round=round, **values)
    if processes.is_first():
        write_json(out / document.file, document.content())
    return document


def _policy(predictions: Predictions, name: str, prior: Prior | None) -> Policy:
    """Give the steps of a policy; the confidence of cbst-sp is probability times prior (see `cbst_sp`)."""

    def logits(stem: str) -> tuple[np.ndarray, int, int, bool]:
        return predictions.logits(stem), *predictions.size(stem), predictions.align_corners

    if name == "cbst-sp":
        if prior is None:
            raise UdasegError("policy cbst-sp needs a spatial prior", "udaseg prior makes it from the source's labels")
        maps_CHW, peaks = prior.relative()
        return Policy(
            lambda stem: cbst_sp.label_and_confidence(*logits(stem), maps_CHW, peaks / peaks.max()),
            cbst_thresholds,
            lambda stem, thresholds: cbst_sp.thresholded_label(*logits(stem), maps_CHW, thresholds),
        )
    return Policy(
        lambda stem: label_and_confidence(*logits(stem)),
        {"st": st_thresholds, "cbst": cbst_thresholds}[name],
        lambda stem, thresholds: pseudo_label(*logits(stem), thresholds),
    )


class _Labels:
    """The pseudo-labels of a stage, written where they are not there yet."""

    def __init__(self, folder: Path, space: ClassSpace):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._space, self._palette = folder, space, flat_palette(space)

    def write_and_count(self, stem: str, label: Callable[[], np.ndarray]) -> np.ndarray:
        """Write a label, made when it is needed, and count its classes, int64 [C]."""
        path = self._folder / f"{stem}.png"
        if path.exists():
            return count_classes(read_train_ids(path, self._space), len(self._space))
        label_HW = label()
        write_label(path, label_HW, self._palette)
        return count_classes(label_HW, len(self._space))


def _pooled(
    predictions: Predictions,
    space: ClassSpace,
    settings: Pseudolabel,
    p: float,
    policy: Policy,
    labels: _Labels,
    progress: Progress | None,
) -> dict[str, Any]:
    """Label by thresholds over all images, in two passes."""
    stems = processes.shard(predictions.stems)

    def step(done: int, total: int) -> None:
        if progress is not None:
            progress(done, 2 * total)

    histogram = ConfidenceHistogram(len(space))
    for label_HW, confidence_HW in with_progress(map_in_order(policy.scored, stems), len(stems), step):
        histogram.add(label_HW, confidence_HW, settings.stride)
    histogram = histogram.sum_of_all()
    thresholds = policy.thresholds(histogram, p)
    kept = np.zeros(len(space), np.int64)

    def written(stem: str) -> np.ndarray:
        return labels.write_and_count(stem, lambda: policy.labelled(stem, thresholds))

    # Keeping what the first pass computed would save a third of it, for as many images as memory holds: 48 of
    # 1024x2048 in 512 MB, where predicting them took minutes.
    for counts in with_progress(
        map_in_order(written, stems), len(stems), lambda done, total: step(total + done, total)
    ):
        kept += counts
    kept = processes.sum_of_all(kept)
    values = _counted(p, thresholds, histogram.predicted, kept)
    return values | settings.model_dump(include={"p_step", "p_max", "stride"})


def _adaptive(
    predictions: Predictions, space: ClassSpace, settings: Pseudolabel, labels: _Labels, progress: Progress | None
) -> dict[str, Any]:
    """Label by thresholds that move with every image, in one pass."""
    stems, adaptation = predictions.stems, settings.iast
    thresholds = np.full(len(space), adaptation.start)
    predicted, kept = np.zeros((2, len(space)), np.int64)

    def scored(stem: str) -> tuple[str, np.ndarray, np.ndarray, list[np.ndarray]]:
        pixels = label_and_confidence(predictions.logits(stem), *predictions.size(stem), predictions.align_corners)
        return stem, *pixels, iast.sorted_by_class(*pixels, len(space))

    def in_turn() -> Iterator[tuple[str, np.ndarray, np.ndarray, np.ndarray]]:
        nonlocal thresholds, predicted
        for stem, label_HW, confidence_HW, confidences in map_in_order(scored, stems):
            thresholds = iast.adapted(thresholds, confidences, adaptation)
            predicted += [len(own) for own in confidences]
            yield stem, label_HW, confidence_HW, thresholds

    def written(turn: tuple[str, np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
        stem, *pixels = turn
        return labels.write_and_count(stem, lambda: iast.selected(*pixels))

    for counts in with_progress(map_in_order(written, in_turn()), len(stems), progress):
        kept += counts
    return _counted(None, thresholds, predicted, kept) | {"iast": adaptation.model_dump()}


def _counted(p: float | None, thresholds: np.ndarray, predicted: np.ndarray, kept: np.ndarray) -> dict[str, Any]:
    """Return the values of thresholds.json that every policy has, as plain numbers; thresholds and counts are [C]."""
    share = None if p is None else float(p)
    return {"p": share, "threshold": thresholds.tolist(), "predicted": predicted.tolist(), "kept": kept.tolist()}
