"""Pseudo-labels and the frame before: keep what it agrees with, and carry its labels on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udaseg.data.images.read import read_train_ids
from udaseg.data.video.flows import Flows
from udaseg.data.video.warp import warp_labels
from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions
from udaseg.labels import IGNORE, ClassSpace


@dataclass(frozen=True)
class FrameBefore:
    """What the frame before each image was predicted and labelled as, at the places to which the flow leads.

    `labels` are the files of the pseudo-labels by stem.
    """

    flows: Flows
    predictions: Predictions
    labels: Mapping[str, Path]
    space: ClassSpace

    def keep_agreeing(self, label_HW: np.ndarray, stem: str) -> np.ndarray:
        """Return a label, uint8 [H, W], without the pixels whose class is not the most probable one a frame before.

        Where no valid flow leads to the frame before, a label stays: nothing speaks against it.
        """
        predicted_HW = self._warp(stem, label_HW.shape, self._predicted)
        if predicted_HW is None:
            return label_HW
        contradicted_HW = (predicted_HW != IGNORE) & (predicted_HW != label_HW)
        return np.where(contradicted_HW, np.uint8(IGNORE), label_HW)

    def carry(self, label_HW: np.ndarray, stem: str) -> np.ndarray:
        """Return a label, uint8 [H, W], whose ignored pixels have the pseudo-label of the frame before.

        They do where that is their own most probable class: what is sure in one frame, and likely in both.
        """
        carried_HW = self._warp(stem, label_HW.shape, self._labelled)
        if carried_HW is None:
            return label_HW
        is_carried_HW = (label_HW == IGNORE) & (carried_HW == self._predicted(stem))
        return np.where(is_carried_HW, carried_HW, label_HW)

    def _warp(self, stem: str, size: tuple[int, int], read: Callable[[str], np.ndarray | None]) -> np.ndarray | None:
        before = self.flows.previous.get(stem)
        other_HW = None if before is None else read(before)
        if other_HW is None:
            return None
        if other_HW.shape != size:
            raise UdasegError(
                f"{stem} is {size[0]}x{size[1]}, and {before}, the frame before it, {other_HW.shape[0]}x"
                f"{other_HW.shape[1]}",
                "leave out the frames of another size: `list` in the recipe names a text file of the images to use",
            )
        return warp_labels(other_HW, *self.flows.read(stem, size))

    def _predicted(self, stem: str) -> np.ndarray | None:
        return self.predictions.label(stem) if stem in self.predictions else None

    def _labelled(self, stem: str) -> np.ndarray | None:
        return read_train_ids(self.labels[stem], self.space) if stem in self.labels else None
