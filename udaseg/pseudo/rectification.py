"""Decide by prototypes: the network is run again for its features (ProDA, eq. 4 and 5; CAG)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from udaseg.config import Predict
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions
from udaseg.inference.runner import Runner
from udaseg.parallel.threads import Progress
from udaseg.statistics.prototype_distances import distances, nearness, rectified
from udaseg.statistics.prototypes import Prototypes

# From stems to (stem, logits float32 [C, h, w] whose softmax is w p, or w alone), image by image.
Rectify = Callable[[Sequence[str]], Iterator[tuple[str, np.ndarray]]]


def rectifier(
    model: Path,
    prototypes: Prototypes,
    predictions: Predictions,
    view: View,
    settings: Predict,
    temperature: float,
    progress: Progress | None = None,
    *,
    alone: bool = False,
) -> tuple[Rectify, dict[str, Any]]:
    """Load the network whose prototypes these are; return what rectifies, and the manifest's environment.

    With `alone` the stored scores do not count: the logits are -distance / temperature, on the grid of the scores.
    The images are seen once, at the size of the view, however many views the stored scores are the mean of; with
    `adabn` once more before, for batch norm's statistics, as when the scores were made (`progress`). Raises
    UdasegError for prototypes of other classes or of features of another dimension, and for a stem without an image.
    """
    predictions.require_logits("refinement by prototypes")
    runner = Runner(model, predictions.classes, settings.precision)
    if prototypes.classes != predictions.classes:
        raise UdasegError(
            f"the prototypes are of {len(prototypes.classes)} classes ({', '.join(prototypes.classes)}), "
            f"{predictions.path} has {len(predictions.classes)} ({', '.join(predictions.classes)})",
            "compute the prototypes with this recipe (`udaseg prototypes`)",
        )
    target = view.images
    if settings.adabn:
        runner.adapt_statistics(view, settings.batch, progress, stem=settings.adabn == "stem", windows=settings)
    place = {record.stem: i for i, record in enumerate(target.records)}
    centroids_CD = torch.from_numpy(prototypes.centroids)

    def rectify(stems: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
        if missing := [stem for stem in stems if stem not in place]:
            raise UdasegError(
                f"{target.root} has no image for {len(missing)} of the pseudo-labels, the first is {missing[0]}",
                "make the pseudo-labels from the images of this recipe's target",
            )
        indices = [place[stem] for stem in stems]
        for seen in runner.run(view, indices, settings.batch):
            features_NDhw = seen.output.features.float()
            distances_NChw = distances(features_NDhw, centroids_CD.to(features_NDhw.device))
            for i, distances_Chw in zip(seen.indices, distances_NChw, strict=True):
                stem = target.records[i].stem
                logits_Chw = torch.from_numpy(predictions.logits(stem)).to(distances_Chw.device)
                at_grid_Chw = distances_Chw[None]
                if at_grid_Chw.shape[2:] != logits_Chw.shape[1:]:
                    at_grid_Chw = interpolate(
                        at_grid_Chw, logits_Chw.shape[1:], mode="bilinear", align_corners=predictions.align_corners
                    )
                if alone:
                    decided_Chw = nearness(at_grid_Chw, temperature)
                else:
                    decided_Chw = rectified(logits_Chw[None], at_grid_Chw, temperature)
                yield stem, decided_Chw[0].cpu().numpy()

    return rectify, runner.environment
