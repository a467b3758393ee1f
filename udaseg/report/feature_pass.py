"""Run a network over sampled images of a domain: the features of sampled cells, class means, and reliability."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from udaseg.config import Evaluate, HxW
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import View
from udaseg.inference.confidence import argmax_label
from udaseg.inference.runner import Runner
from udaseg.labels import IGNORE
from udaseg.report.calibration import Reliability, add_predictions, sample_label, sample_probabilities
from udaseg.report.image_panels import sample_evenly
from udaseg.statistics.prototypes import Centroids

CELLS = 24  # of each class in an image


@dataclass(frozen=True)
class Domain:
    """The images of a domain: one view of them or, of several sources, several; and whether they have labels."""

    views: tuple[View, ...]
    is_labelled: bool

    @property
    def images(self) -> int:
        return sum(len(view.images) for view in self.views)

    def sample(self, images: int) -> "Domain":
        """Return so many images at even distances, of each view as many or one more."""
        counts = [images // len(self.views) + (i < images % len(self.views)) for i in range(len(self.views))]
        chosen = [
            replace(view, images=view.images.choose(sample_evenly([one.stem for one in view.images.records], count)))
            for view, count in zip(self.views, counts, strict=True)
        ]
        return replace(self, views=tuple(view for view in chosen if len(view.images)))


@dataclass(frozen=True)
class SampledImage:
    """Cells of the feature map of an image, and its predicted label, uint8 [h, w], where it has no true one.

    `places` float64 [n, 2] are the centres of the cells, (row, column) from 0 to 1, and `classes` uint8 [n] their
    labels. A true label is read again in each pass: those of all images take much memory.
    """

    predicted: np.ndarray | None
    places: np.ndarray
    classes: np.ndarray

    def cells(self, size: HxW) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and the columns of the cells in a map of a size."""
        rows, columns = (self.places * size).astype(np.int64).T
        return rows, columns


@dataclass(frozen=True)
class DomainFeatures:
    """What a network computes for a domain: float32 [N, D] of the sampled cells, sums over all cells, reliability."""

    features: np.ndarray
    centroids: Centroids
    reliability: Reliability


def see_domain(
    runner: Runner,
    domain: Domain,
    sample: list[SampledImage],
    settings: Evaluate,
    rng: np.random.Generator,
    step: Callable[[int], None],
) -> DomainFeatures:
    """Run a network over the images of a domain and return what it computes for the cells of the sample.

    An empty sample is filled, an image at a time: with cells drawn by `rng`, of true labels, or of predicted ones
    where the domain has none. `step` gets the number of images after each batch.
    """
    is_new, features, reliability, done = not sample, [], Reliability(), 0
    centroids = Centroids(len(runner.classes), runner.model.feature_channels)
    align_corners = runner.model.align_corners
    for view in domain.views:
        label = view.images.label if domain.is_labelled else None
        for batch in runner.run(view, range(len(view.images)), settings.batch, label=label):
            maps = zip(batch.labels, batch.output.features, batch.output.logits, strict=True)
            for label_HW, features_DHW, logits_CHW in maps:
                features_HWD = np.ascontiguousarray(features_DHW.float().cpu().numpy().transpose(1, 2, 0))
                logits_CHW, size = logits_CHW.cpu().numpy(), features_HWD.shape[:2]
                if is_new:
                    predicted = argmax_label(logits_CHW, *size, align_corners) if label_HW is None else None
                    sample.append(_draw(label_HW if predicted is None else predicted, size, rng, predicted))
                one = sample[done]
                centroids.add(features_HWD, resize_label(label_HW if one.predicted is None else one.predicted, size))
                features.append(features_HWD[one.cells(size)])
                if domain.is_labelled:
                    probabilities_CRX = sample_probabilities(logits_CHW, *label_HW.shape, align_corners)
                    add_predictions(reliability, probabilities_CRX, sample_label(label_HW))
                done += 1
            step(len(batch.indices))
    return DomainFeatures(np.concatenate(features), centroids, reliability)


def _draw(label_HW: np.ndarray, size: HxW, rng: np.random.Generator, predicted: np.ndarray | None) -> SampledImage:
    """Draw cells of each class in an image whose feature map has a size."""
    label_hw = resize_label(label_HW, size)
    cells = [_some(np.flatnonzero(label_hw == c), CELLS, rng) for c in np.unique(label_hw) if c != IGNORE]
    chosen = np.concatenate([np.empty(0, np.int64), *cells])
    places = (np.stack(np.unravel_index(chosen, size), axis=1) + 0.5) / size
    return SampledImage(predicted, places, label_hw.ravel()[chosen])


def balance(classes: np.ndarray, total: int, rng: np.random.Generator) -> np.ndarray:
    """Return the sorted indices of at most `total` cells: of each class as many, or all where it has fewer."""
    present = np.unique(classes)
    most = max(1, total // max(1, len(present)))
    parts = [_some(np.flatnonzero(classes == c), most, rng) for c in present]
    return np.sort(np.concatenate([np.empty(0, np.int64), *parts]))


def _some(indices: Sequence[int] | np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    return np.asarray(indices) if len(indices) <= most else np.sort(rng.choice(indices, most, replace=False))
