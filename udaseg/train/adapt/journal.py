"""What happened frame by frame: the records and counts of adapt.json, which a stopped adaptation goes on with."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from udaseg.io.documents.adaptation import Adaptation
from udaseg.metrics import scores
from udaseg.train.adapt.predictions import Prediction

TENTH = 10
DEVIATIONS = 3.0  # a drop of the confidence by so many standard deviations is another scene
FEWEST = 10  # frames before a drop can be told
LEAST_DEVIATION = 0.005  # of the confidence: frames of one scene can be nearly equal
COLLAPSED = 0.5  # of the first model's marginal entropy


class Journal(nn.Module):
    """Records by frame, and the counts of labels; as the state of a module, so that they are saved with the networks.

    `count` is the number of frames of the stream.
    """

    def __init__(self, classes: Sequence[str], method: str, count: int):
        super().__init__()
        self._classes, self._method = tuple(classes), method
        self._first_of_last = count - math.ceil(count / TENTH)
        shape = (len(self._classes), len(self._classes))
        self._confusion = {name: np.zeros(shape, np.int64) for name in ("stream", "last_tenth", "after")}
        self._labelled = dict.fromkeys(self._confusion, 0)
        self._records: dict[str, dict[str, Any]] = {}
        self._collapsed: list[str] = []
        self._moments = [0.0, 0.0, 0.0]  # of the confidence since the last reset: frames, mean, squared deviations

    def get_extra_state(self) -> dict[str, Any]:
        return {
            "records": self._records,
            "collapsed": self._collapsed,
            "moments": self._moments,
            "labelled": self._labelled,
            "confusion": {name: torch.from_numpy(counts) for name, counts in self._confusion.items()},
        }

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self._records, self._collapsed = dict(state["records"]), list(state["collapsed"])
        self._moments, self._labelled = list(state["moments"]), dict(state["labelled"])
        self._confusion = {name: counts.numpy().copy() for name, counts in state["confusion"].items()}

    def is_other_scene(self, confidence: float) -> bool:
        """Tell whether the confidence of a frame is 3 standard deviations below that of the frames since a reset."""
        frames, mean, squares = self._moments
        deviation = max(LEAST_DEVIATION, math.sqrt(squares / frames)) if frames else 0.0
        return frames >= FEWEST and confidence < mean - DEVIATIONS * deviation

    def start_scene(self) -> None:
        """Forget the confidence of the frames so far."""
        self._moments = [0.0, 0.0, 0.0]

    def add(
        self, stem: str, prediction: Prediction, reset: str | None, is_updated: bool, first: Prediction | None
    ) -> None:
        """Record a frame: how it was labelled, why the first model was restored before that, and its own prediction."""
        self._records[stem] = {**prediction._asdict(), "reset": reset, "updated": is_updated}
        if first is not None and prediction.marginal_entropy < COLLAPSED * first.marginal_entropy:
            self._collapsed.append(stem)
        # Welford's moments: exact in the order of the frames, whatever was done in one go.
        frames, mean, squares = self._moments
        distance = prediction.confidence - mean
        mean += distance / (frames + 1)
        self._moments = [frames + 1, mean, squares + distance * (prediction.confidence - mean)]

    def score(self, stem: str, index: int, before_CC: np.ndarray | None, after_CC: np.ndarray | None) -> None:
        """Record the confusion matrices of a frame before and after its update, int64 [C, C]; None without a label."""
        record = self._records[stem]
        record |= {"miou": None, "miou_after": None}
        if before_CC is None or after_CC is None:
            return
        for name, counts_CC in (("stream", before_CC), ("last_tenth", before_CC), ("after", after_CC)):
            if name != "last_tenth" or index >= self._first_of_last:
                self._confusion[name] += counts_CC
                self._labelled[name] += 1
        record |= {
            "miou": scores(before_CC, self._classes).miou,
            "miou_after": scores(after_CC, self._classes).miou,
        }

    def document(self, source: dict[str, Any] | None, is_scored: bool) -> dict[str, Any]:
        """Return the content of adapt.json; `source` are the scores on the source."""
        records = self._records.values()
        reasons = [record["reset"] for record in records]
        values: dict[str, Any] = {
            "classes": list(self._classes),
            "method": self._method,
            "updates": sum(record["updated"] for record in records),
            "resets": {reason: reasons.count(reason) for reason in ("anchor", "scene")},
            "collapsed": len(self._collapsed),
        }
        for name in ("confidence", "entropy", "kl"):
            finite = [record[name] for record in records if record[name] is not None]
            values[name] = math.fsum(finite) / max(1, len(finite))
        if is_scored:
            values |= {name: self._scores(name) for name in self._confusion}
        if source is not None:
            values["source"] = source
        return Adaptation.model_validate(values | {"frames": self._records}).content()

    def warnings(self) -> list[str]:
        """Return what a user should know of the stream: resets by the anchor, and frames with nearly one class."""
        anchored = [stem for stem, record in self._records.items() if record["reset"] == "anchor"]
        found = []
        if anchored:
            found.append(
                f"the first model was restored {len(anchored)} times, first at {anchored[0]}: predictions had left it "
                "further than --anchor allows"
            )
        if self._collapsed:
            found.append(
                f"{len(self._collapsed)} of {len(self._records)} frames, first {self._collapsed[0]}, have fewer "
                "classes than the first model sees in them: their marginal entropy is below half of its; lower the "
                "rate of the updates"
            )
        return found

    def _scores(self, name: str) -> dict[str, Any]:
        counted = scores(self._confusion[name], self._classes)
        return {
            "frames": self._labelled[name],
            "iou": list(counted.iou),
            "miou": counted.miou,
            "pixel_accuracy": counted.pixel_accuracy,
        }
