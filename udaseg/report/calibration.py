"""How far confidences can be trusted: reliability over bins of confidence, and the expected calibration error."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from udaseg.inference.predictions import LOGITS, Predictions
from udaseg.inference.upsampling import Taps, prepare
from udaseg.labels import IGNORE
from udaseg.report.denoising import MAX_COUNTED, Truth, list_stems, read_ids, read_truth
from udaseg.report.image_panels import sample_evenly

BINS = 15  # of equal width, as in Guo et al.
GRID = 128  # rows and columns, at even distances, whose pixels are counted in an image


class Reliability:
    """Counts over bins of confidence: of pixels, of the right ones, and the sum of their confidences, each [15].

    Bin b, from 0, has the confidences in (b / 15, (b + 1) / 15].
    """

    def __init__(self) -> None:
        self.counts, self.right = np.zeros((2, BINS), np.int64)
        self.confidence = np.zeros(BINS)

    def add(self, confidence: np.ndarray, is_right: np.ndarray) -> None:
        """Add pixels: their confidence from 0 to 1, and whether the label is right, bool; both of one shape."""
        confidence = confidence.ravel().astype(np.float64)
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        self.counts += np.bincount(bins, minlength=BINS)
        self.right += np.bincount(bins[is_right.ravel()], minlength=BINS)
        self.confidence += np.bincount(bins, confidence, BINS)

    @property
    def pixels(self) -> int:
        return int(self.counts.sum())

    @property
    def bins(self) -> list[tuple[int, float | None, float | None]]:
        """Return for each bin the number of its pixels, their mean confidence and their accuracy; None without any."""
        rows = zip(self.counts.tolist(), self.confidence.tolist(), self.right.tolist(), strict=True)
        return [(n, total / n if n else None, right / n if n else None) for n, total, right in rows]

    @property
    def accuracy(self) -> float | None:
        return int(self.right.sum()) / self.pixels if self.pixels else None

    @property
    def error(self) -> float | None:
        """Return the expected calibration error, sum_b n_b / n |accuracy_b - confidence_b|; None without pixels.

        Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
        """
        if not self.pixels:
            return None
        return sum(n / self.pixels * abs(right - confidence) for n, confidence, right in self.bins if n)


def sample_positions(side: int) -> np.ndarray:
    """Return the rows, or columns, of an image side that are counted: GRID at even distances, or all of fewer."""
    return np.arange(side) if side <= GRID else (2 * np.arange(GRID) + 1) * side // (2 * GRID)


def sample_probabilities(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return the class probabilities of the counted pixels of an image: float32 [C, rows, columns].

    The logits, at the stride of the network, are upsampled bilinearly to (height, width) before the softmax, at the
    counted pixels alone. Raises UdasegError as `prepare` does.
    """
    logits_CHW, rows, columns = prepare(logits_CHW, height, width, align_corners)
    rows, columns = _choose(rows, sample_positions(height)), _choose(columns, sample_positions(width))
    logits_CRw = (
        logits_CHW[:, rows.low] * rows.low_weight[:, None] + logits_CHW[:, rows.high] * rows.high_weight[:, None]
    )
    logits_CRX = logits_CRw[..., columns.low] * columns.low_weight + logits_CRw[..., columns.high] * columns.high_weight
    exponentials_CRX = np.exp(logits_CRX - logits_CRX.max(axis=0))
    return exponentials_CRX / exponentials_CRX.sum(axis=0)


def _choose(taps: Taps, positions: np.ndarray) -> Taps:
    return Taps(*(values[positions] for values in taps))


def sample_label(label_HW: np.ndarray) -> np.ndarray:
    """Return the label of the counted pixels: uint8 [rows, columns]."""
    height, width = label_HW.shape
    return label_HW[np.ix_(sample_positions(height), sample_positions(width))]


def add_predictions(reliability: Reliability, probabilities_CRX: np.ndarray, truth_RX: np.ndarray) -> None:
    """Count the most probable class of every pixel that has a true label."""
    known_RX = truth_RX != IGNORE
    confidence_RX, predicted_RX = probabilities_CRX.max(axis=0), probabilities_CRX.argmax(axis=0)
    reliability.add(confidence_RX[known_RX], predicted_RX[known_RX] == truth_RX[known_RX])


def pseudo_label_reliability(
    labels: Path | None, predictions: Path | None, truth: Truth | None
) -> tuple[Reliability, Reliability] | None:
    """Return the reliability of all predictions and of the pseudo-labels chosen from them, on a sample of images.

    `labels` is the folder of the pseudo-labels and `predictions` the predictions.h5 that they were chosen from. The
    confidence of a pseudo-label is the probability of its class, which a policy with class-balanced scores may choose
    though another is more probable. None without these files, without the logits of all classes in them, or without
    true labels of these images.
    """
    if labels is None or truth is None or predictions is None or not predictions.is_file():
        return None
    everything, chosen = Reliability(), Reliability()
    with Predictions(predictions) as stored:
        if stored.store != LOGITS:
            return None
        for stem in sample_evenly(_stems_of_both(labels, stored.stems), MAX_COUNTED):
            label_HW = read_ids(labels / f"{stem}.png")
            truth_HW = read_truth(truth, stem, label_HW)
            if truth_HW is None:
                continue
            label_RX, truth_RX = sample_label(label_HW), sample_label(truth_HW)
            probabilities_CRX = sample_probabilities(stored.logits(stem), *label_HW.shape, stored.align_corners)
            add_predictions(everything, probabilities_CRX, truth_RX)
            counted_RX = (truth_RX != IGNORE) & (label_RX < len(probabilities_CRX))
            index_1RX = np.where(counted_RX, label_RX, 0)[None].astype(np.int64)
            confidence_RX = np.take_along_axis(probabilities_CRX, index_1RX, axis=0)[0]
            chosen.add(confidence_RX[counted_RX], label_RX[counted_RX] == truth_RX[counted_RX])
    return (everything, chosen) if everything.pixels else None


def _stems_of_both(labels: Path, predicted: Sequence[str]) -> list[str]:
    known = frozenset(predicted)
    return [stem for stem in list_stems([labels]) if stem in known]
