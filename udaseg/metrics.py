"""Exact scores from integer counts: confusion matrix, intersection over union, the means over 16 and 13 classes."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit

from udaseg.errors import UdasegError
from udaseg.labels import IGNORE, SPACES

SYNTHIA16, SYNTHIA13 = (SPACES[name].classes for name in ("syn16", "syn13"))
# Metres. Pixels with a true depth beyond FARTHEST are left out.
NEAREST, FARTHEST = 0.01, 80.0
DEPTH_RATIO = 1.25
DEPTH_ERRORS = ("rel", "rel2", "rms", "lrms", "delta1", "delta2", "delta3")
DEPTH_CONVENTION = (
    f"metres, over all pixels with a true depth of at most {FARTHEST:g} m; "
    f"an estimate is brought into {NEAREST:g} to {FARTHEST:g} m"
)
_EVERY_BYTE = np.uint64(0x0101010101010101)


@njit(cache=True, nogil=True)
def _count_pairs(truth_words, prediction_words, truth, prediction, counts):
    """Add 1 to counts[truth, prediction] for every pixel; the words are the same bytes, eight at a time.

    Images are mostly long runs of one pair, and eight equal pixels are counted at once. One by one they take twice as
    long.
    """
    for i in range(truth_words.size):
        t, p = truth[8 * i], prediction[8 * i]
        if truth_words[i] == np.uint64(t) * _EVERY_BYTE and prediction_words[i] == np.uint64(p) * _EVERY_BYTE:
            counts[t, p] += 8
        else:
            for x in range(8 * i, 8 * i + 8):
                counts[truth[x], prediction[x]] += 1
    for x in range(8 * truth_words.size, truth.size):
        counts[truth[x], prediction[x]] += 1


def count_pairs(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Count the pixels of every pair of ids of two label maps, uint8 of one shape: int64 [256, 256].

    Raises UdasegError where their shapes differ.
    """
    if truth.shape != prediction.shape:
        shapes = f"{list(truth.shape)} and the other {list(prediction.shape)}"
        raise UdasegError(f"one label map is {shapes}, expected one shape", "resize one of the two, nearest")
    counts = np.zeros((256, 256), np.int64)
    truth, prediction = np.ascontiguousarray(truth).reshape(-1), np.ascontiguousarray(prediction).reshape(-1)
    whole = truth.size // 8 * 8
    _count_pairs(truth[:whole].view(np.uint64), prediction[:whole].view(np.uint64), truth, prediction, counts)
    return counts


def _names(ids, limit):
    listed = ", ".join(str(i) for i in ids[:5])
    return f"{listed}{', ...' if len(ids) > 5 else ''} (the classes are 0 to {limit - 1})"


def confusion(truth: np.ndarray, prediction: np.ndarray, classes: int, out: np.ndarray | None = None) -> np.ndarray:
    """Return the confusion matrix of one image, int64 [C, C]: pixels by true class (rows) and predicted class.

    truth and prediction are uint8 of one shape; pixels with truth 255 are skipped. With `out` the counts are added to
    it: the matrix of a data set is the sum over its images. Raises UdasegError where the shapes differ, where the
    truth holds another id, and where a pixel with truth has no predicted class, 255 included. A network decides
    everywhere; an evaluation that leaves pixels out would be too good.
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise UdasegError(
            f"truth is {list(truth.shape)} and prediction {list(prediction.shape)}",
            "upsample the logits to the size of the truth; never resize one of the two to hide the difference",
        )
    if truth.dtype != np.uint8 or prediction.dtype != np.uint8:
        raise UdasegError(
            f"truth is {truth.dtype} and prediction {prediction.dtype}, expected uint8 class ids",
            "convert both to uint8; 255 is ignored",
        )
    counts = count_pairs(truth, prediction)
    counts[IGNORE] = 0
    if counts[classes:].any():
        ids = np.flatnonzero(counts.any(1))
        raise UdasegError(
            f"truth holds the ids {_names(ids[ids >= classes], classes)}", "map the labels to train ids; 255 is ignored"
        )
    if counts[:, classes:].any():
        ids = np.flatnonzero(counts.any(0))
        raise UdasegError(
            f"prediction holds the ids {_names(ids[ids >= classes], classes)}",
            "evaluate a network with as many outputs as there are classes; to score a partial labelling, "
            "set the truth to 255 where it has none",
        )
    out = np.zeros((classes, classes), np.int64) if out is None else out
    out += counts[:classes, :classes]
    return out


@njit(cache=True, nogil=True)
def _count_ids(values, counts_4V):
    """Count each value in one of four tables by turns: an addition need not wait for the one before."""
    end = values.size // 4 * 4
    for i in range(0, end, 4):
        counts_4V[0, values[i]] += 1
        counts_4V[1, values[i + 1]] += 1
        counts_4V[2, values[i + 2]] += 1
        counts_4V[3, values[i + 3]] += 1
    for i in range(end, values.size):
        counts_4V[0, values[i]] += 1


def count_ids(values: np.ndarray) -> np.ndarray:
    """Count how often each value occurs in a uint8 array of any shape: int64 [256]."""
    counts_4V = np.zeros((4, 256), np.uint32)
    _count_ids(np.ascontiguousarray(values).reshape(-1), counts_4V)
    return counts_4V.sum(0, dtype=np.int64)


def count_classes(label: np.ndarray, classes: int) -> np.ndarray:
    """Count the pixels of every class of a label map, uint8: int64 [C]. 255 is skipped.

    Raises UdasegError for any other id.
    """
    counts = count_ids(label)
    wrong = np.flatnonzero(counts[classes:IGNORE]) + classes
    if len(wrong):
        raise UdasegError(
            f"the label holds the ids {_names(wrong, classes)}", "map the labels to train ids; 255 is ignored"
        )
    return counts[:classes]


@dataclass(frozen=True)
class Scores:
    """The scores of one confusion matrix, in 0 to 1.

    An absent class, without a true or predicted pixel, has the iou None and is in no mean. miou16 and miou13 are the
    means over the classes of SYNTHIA, None where the class space lacks one of them. `convention` tells in words how
    they were counted.
    """

    classes: tuple[str, ...]
    iou: tuple[float | None, ...]
    miou: float | None
    miou16: float | None
    miou13: float | None
    pixel_accuracy: float | None
    absent: tuple[str, ...]
    convention: str

    def document(self, confusion: np.ndarray, images: int) -> dict[str, Any]:
        """Return the content of metrics.json: these scores, the confusion matrix [C][C] and the number of images."""
        return {
            "classes": list(self.classes),
            "iou": list(self.iou),
            "miou": self.miou,
            "miou16": self.miou16,
            "miou13": self.miou13,
            "pixel_accuracy": self.pixel_accuracy,
            "absent": list(self.absent),
            "confusion": confusion.tolist(),
            "images": images,
            "convention": self.convention,
        }


def _convention(classes):
    """Return in words how the means over the 16 and 13 classes of SYNTHIA are counted with these classes."""
    missing = [name for name in SYNTHIA16 if name not in classes]
    extra = [name for name in classes if name not in SYNTHIA16]
    if missing:
        return f"mean over the {len(classes)} classes"
    if not extra:
        return "A: the network has the 16 classes; truth of any other class is ignored and charges nobody"
    return (
        f"B: the network has {len(classes)} classes; a pixel given to {', '.join(extra)} is missed by its true class, "
        "and their own pixels charge the class that takes them; the means are over the rows of the 16 and the 13"
    )


def _mean(values):
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def scores(confusion: np.ndarray, classes: Sequence[str]) -> Scores:
    """Return the scores of an int64 confusion matrix [C, C] (rows: truth) over the named classes.

    IoU = n_cc / (row + column - n_cc), from the summed counts of all images, never a mean over images. A class with a
    union of 0 is absent. Raises UdasegError where the matrix does not fit the names.
    """
    classes = tuple(classes)
    if confusion.shape != (len(classes), len(classes)):
        raise UdasegError(
            f"confusion is {list(confusion.shape)} for {len(classes)} classes, expected [C, C]",
            "name the classes that the confusion matrix was counted with",
        )
    right = np.diagonal(confusion)
    union = confusion.sum(1) + confusion.sum(0) - right
    iou = tuple(int(r) / int(u) if u else None for r, u in zip(right, union, strict=True))
    iou_of = dict(zip(classes, iou, strict=True))
    pixels = int(confusion.sum())
    return Scores(
        classes=classes,
        iou=iou,
        miou=_mean(iou),
        miou16=_mean([iou_of[name] for name in SYNTHIA16]) if set(SYNTHIA16) <= set(classes) else None,
        miou13=_mean([iou_of[name] for name in SYNTHIA13]) if set(SYNTHIA13) <= set(classes) else None,
        pixel_accuracy=int(right.sum()) / pixels if pixels else None,
        absent=tuple(name for name in classes if iou_of[name] is None),
        convention=_convention(classes),
    )


class DepthErrors:
    """Sums of the errors of depth over images; the sums of two parts of a data set add up."""

    def __init__(self):
        self.pixels, self.sums = 0, np.zeros(len(DEPTH_ERRORS))

    def add(self, truth: np.ndarray, estimate: np.ndarray) -> None:
        """Add one image: float metres [H, W] each, the truth 0 or infinite where it is unknown."""
        is_valid = (truth > 0) & (truth <= FARTHEST)
        z = truth[is_valid].astype(np.float64)
        z_estimate = np.clip(estimate[is_valid].astype(np.float64), NEAREST, FARTHEST)
        e, log_ratio = z_estimate - z, np.abs(np.log(z_estimate / z))
        within = [(log_ratio < k * np.log(DEPTH_RATIO)).sum() for k in (1, 2, 3)]
        self.pixels += z.size
        self.sums += [(np.abs(e) / z).sum(), (e**2 / z).sum(), (e**2).sum(), (log_ratio**2).sum(), *within]

    def document(self) -> dict[str, Any]:
        """Return the errors by name, the number of pixels, and the convention in words; without a pixel, None for each.

        rel is the mean of |e| / z, rel2 of e^2 / z; rms is the root of the mean of e^2, lrms of the squared difference
        of the natural logarithms. delta1 to delta3 are the shares of pixels within a factor of 1.25, 1.25^2, 1.25^3.
        """
        means = self.sums / max(self.pixels, 1)
        means[2:4] = np.sqrt(means[2:4])
        values = means.tolist() if self.pixels else [None] * len(DEPTH_ERRORS)
        return {**dict(zip(DEPTH_ERRORS, values, strict=True)), "pixels": self.pixels, "convention": DEPTH_CONVENTION}
