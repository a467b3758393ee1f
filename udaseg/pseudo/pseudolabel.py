"""Pseudo-labels for every picture of a predictions.h5: thresholds over the whole set, then the labels."""

from pathlib import Path
from typing import Any

import numpy as np

from udaseg.data.pictures import read_train_ids, write_label
from udaseg.errors import UdasegError
from udaseg.files import write_json
from udaseg.labels import ClassSpace, flat_palette
from udaseg.metrics import class_counts
from udaseg.models.confidence import label_and_confidence
from udaseg.parallel import Progress, ordered
from udaseg.predictions import Predictions
from udaseg.pseudo.labelling import pseudo_label, thresholds_document
from udaseg.pseudo.thresholds import ConfidenceHistogram, cbst_thresholds, st_thresholds
from udaseg.recipe import Pseudolabel

POLICIES = {"st": st_thresholds, "cbst": cbst_thresholds}


def pseudolabel(
    predictions: Predictions, space: ClassSpace, settings: Pseudolabel, out: Path, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Write `labels/<stem>.png` and `thresholds.json`; return the latter's content.

    The thresholds come from all pictures before the first label is written. Labels that are there already are kept:
    they were written in one piece, for the same settings and predictions.
    """
    if not predictions.stems:
        raise UdasegError(f"{predictions.path} holds no picture", "run udaseg predict again")
    total = 2 * len(predictions.stems)
    histogram = ConfidenceHistogram(len(space))

    def confident(stem: str) -> tuple[np.ndarray, np.ndarray]:
        return label_and_confidence(predictions.logits(stem), *predictions.size(stem), predictions.align_corners)

    seen = 0
    for label_HW, confidence_HW in ordered(confident, predictions.stems):
        histogram.add(label_HW, confidence_HW)
        seen += 1
        if progress is not None:
            progress(seen, total)
    thresholds = POLICIES[settings.policy](histogram, settings.p)
    palette = flat_palette(space)

    def written(stem: str) -> np.ndarray:
        path = out / "labels" / f"{stem}.png"
        if path.exists():
            return class_counts(read_train_ids(path, space), len(space))
        size, corners = predictions.size(stem), predictions.align_corners
        label_HW = pseudo_label(predictions.logits(stem), *size, corners, thresholds)
        write_label(path, label_HW, palette)
        return class_counts(label_HW, len(space))

    (out / "labels").mkdir(parents=True, exist_ok=True)
    kept = np.zeros(len(space), np.int64)
    for counts in ordered(written, predictions.stems):
        kept += counts
        seen += 1
        if progress is not None:
            progress(seen, total)
    document = thresholds_document(
        settings.policy, settings.p, space.classes, thresholds, histogram.predicted, kept
    )
    write_json(out / "thresholds.json", document)
    return document
