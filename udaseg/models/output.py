"""What every network returns."""

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """The class scores at the network's stride, the features they were computed from, and training-only scores."""

    logits: Tensor  # [N, C, h, w]
    features: Tensor  # [N, D, h', w'], the input of the classifier
    aux: tuple[Tensor, ...] = ()  # logits [N, C, h, w] of supervision heads; empty outside training
