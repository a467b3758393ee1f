"""Feature distance: on things, the student's features stay near those of its pre-trained encoder (DAFormer)."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from udaseg.io.documents.log_lines import read_log
from udaseg.train.domains import DomainOutput
from udaseg.train.ingredients.step import Step
from udaseg.train.losses import masked_mean
from udaseg.train.state import AGAIN

TERM = "feature_distance"
DISTANCE = "distance"  # in the log: the mean distance, without the weight


def stay_near_pretrained(step: Step) -> None:
    """Add the distance of the student's last map to that of the pre-trained encoder, on the source's things."""
    settings, networks = step.settings.feature_distance, step.networks
    frozen_NDhw = networks.pretrained.last_map(step.batch["source_image"])
    cells_Nhw = find_cells(step.batch["source_label"], networks.things, frozen_NDhw.shape[-2:], settings.min_share)

    def term(outputs: dict[str, DomainOutput]) -> dict[str, Tensor]:
        mean = mean_distance(outputs["source"].output.deep, frozen_NDhw, cells_Nhw)
        return {TERM: settings.weight * mean, DISTANCE: mean.detach()}

    step.source_terms.append(term)


def find_cells(labels_NHW: Tensor, classes: Sequence[int], grid: Sequence[int], min_share: float) -> Tensor:
    """Find the cells of an (h, w) grid where one of the classes has at least this share of the pixels: bool [N, h, w].

    Unlabelled pixels count too. With a share of a half or more that class is the commonest one of the cell.
    """
    shares = [functional.adaptive_avg_pool2d((labels_NHW[:, None] == c).float(), tuple(grid)) for c in classes]
    return (torch.cat(shares, dim=1) >= min_share).any(1)


def mean_distance(student_NDhw: Tensor, frozen_NDhw: Tensor, cells_Nhw: Tensor) -> Tensor:
    """Average the L2 distance of features over the chosen cells; zero, with a graph, where there are none.

    The distance of a cell is over all channels, neither squared nor divided by their number (DAFormer, equation 6).
    """
    return masked_mean((student_NDhw.float() - frozen_NDhw).norm(dim=1), cells_Nhw)


def distance_warnings(log: Path) -> list[str]:
    """Return a warning where all distances in a training log are zero: nothing stays near the pre-trained encoder."""
    distances = [line[DISTANCE] for line in read_log(log, AGAIN) if DISTANCE in line]
    if not distances or any(distances):
        return []
    return [
        "retrain.feature_distance had no effect at any step in the log: in no cell of the encoder's last map do things "
        "have the share retrain.feature_distance.min_share; lower it to 0.5, or make retrain.augment.crop larger"
    ]
