"""Where the scores come from that pseudo-labels are chosen by: a predictions.h5, or the network itself."""

from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from udaseg.config import Predict
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.inference import confidence, stored_confidence
from udaseg.inference.predict import compute_logits, whole_batches
from udaseg.inference.predictions import CONFIDENCE, Predictions
from udaseg.inference.runner import Runner
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress
from udaseg.pseudo.label_files import pseudo_label


class Logits(NamedTuple):
    """The logits of an image, float16 [C, h, w], and how they are resized to its labels: arguments of kernels."""

    values: np.ndarray
    height: int
    width: int
    align_corners: bool

    def label_and_confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of every pixel, uint8 [H, W], and its confidence, float32 [H, W]."""
        return confidence.label_and_confidence(*self)

    def select(self, thresholds: np.ndarray) -> np.ndarray:
        """Return the class of the highest probability / threshold where it is at least 1, and 255 elsewhere (CBST)."""
        return pseudo_label(*self, thresholds)

    def select_argmax(self, thresholds: np.ndarray) -> np.ndarray:
        """Return the most likely class where its probability reaches its threshold, and 255 elsewhere."""
        return confidence.thresholded_label(*self, np.zeros_like(thresholds), thresholds)


class Confidences(NamedTuple):
    """The labels and confidences of an image on a finer grid, uint8 [2, h, w], as `stored_confidence` has them.

    No other class is known than the most likely one, so `select` is `select_argmax`.
    """

    values: np.ndarray
    height: int
    width: int
    align_corners: bool
    classes: int

    def label_and_confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the label of every pixel, uint8 [H, W], and its confidence, float32 [H, W]."""
        return stored_confidence.expand(*self)

    def select_argmax(self, thresholds: np.ndarray) -> np.ndarray:
        """Return the most likely class where its probability reaches its threshold, and 255 elsewhere."""
        return confidence.where_confident(*self.label_and_confidence(), thresholds)

    select = select_argmax


Scores = Logits | Confidences


class ScoredImage(NamedTuple):
    """An image by its stem; `read` gives its scores, in any thread. It is None of an image that has its label."""

    stem: str
    read: Callable[[], Scores] | None


class Source(Protocol):
    """Where scores come from: its name, the stems of all images, sorted, and whether all classes have a score."""

    name: str
    stems: tuple[str, ...]
    has_all_classes: bool

    def shard(self, stems: Sequence[str]) -> list[str]:
        """Return those of these images that this process is to read."""
        ...

    def scan(self, stems: Sequence[str]) -> Iterator[ScoredImage]:
        """Yield these images, in the order of `stems`, which is that of all stems."""
        ...


class StoredScores:
    """The scores in a predictions.h5. Raises UdasegError for one without an image."""

    def __init__(self, predictions: Predictions):
        if not predictions.stems:
            raise UdasegError(f"{predictions.path} holds no image", "write it again: udaseg predict --force")
        self.name, self.stems = str(predictions.path), predictions.stems
        self.has_all_classes = predictions.store != CONFIDENCE
        self._predictions = predictions

    def shard(self, stems: Sequence[str]) -> list[str]:
        """Return every n-th image, where n processes share the work."""
        return processes.shard(stems)

    def scan(self, stems: Sequence[str]) -> Iterator[ScoredImage]:
        """Yield images that are read when they are asked for."""
        return (ScoredImage(stem, lambda stem=stem: self._read(stem)) for stem in stems)

    def _read(self, stem: str) -> Scores:
        predictions = self._predictions
        scores = Logits(predictions.values(stem), *predictions.size(stem), predictions.align_corners)
        return scores if self.has_all_classes else Confidences(*scores, len(predictions.classes))


class NetworkScores:
    """The logits of a network, computed when they are asked for: those that `predict` would have stored.

    The statistics of AdaBN are estimated first, from all images (`progress`). `environment` describes the device.
    Raises UdasegError where the model was trained on other classes.
    """

    def __init__(
        self,
        model: Path,
        classes: Sequence[str],
        target: View,
        settings: Predict,
        progress: Progress | None = None,
    ):
        self._runner, self._target, self._settings = Runner(model, classes, settings.precision), target, settings
        self.name, self.stems = str(model), tuple(record.stem for record in target.images.records)
        self.has_all_classes = True
        self.environment: dict[str, Any] = self._runner.environment
        if settings.adabn:
            is_stem = settings.adabn == "stem"
            self._runner.adapt_statistics(target, settings.batch, progress, stem=is_stem, windows=settings)

    def shard(self, stems: Sequence[str]) -> list[str]:
        """Return the images of every n-th batch, where n processes share the work."""
        wanted = frozenset(stems)
        shard = processes.shard(self._batches(wanted), self._settings.batch)
        return [self.stems[i] for i in shard if self.stems[i] in wanted]

    def scan(self, stems: Sequence[str]) -> Iterator[ScoredImage]:
        """Yield images whose logits have just been computed, in the batches in which `predict` computes them."""
        wanted, align_corners = frozenset(stems), self._runner.model.align_corners
        for part in compute_logits(self._runner, self._target, self._batches(wanted), self._settings):
            for i, image, logits_CHW in zip(part.indices, part.images, part.output, strict=True):
                if self.stems[i] in wanted:
                    scores = Logits(logits_CHW, *image.shape[:2], align_corners)
                    yield ScoredImage(self.stems[i], lambda scores=scores: scores)

    def _batches(self, wanted: Collection[str]) -> list[int]:
        indices = {i for i, stem in enumerate(self.stems) if stem in wanted}
        return whole_batches(indices, len(self.stems), self._settings.batch)
