"""The output of every network."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from udaseg.models.windows import Box


class Output(NamedTuple):
    """The class logits at the network's stride, the features below them, logits of inner layers, and estimated maps."""

    logits: Tensor  # [N, C, h, w]
    features: Tensor  # [N, D, h', w'], the input of the classifier, or of BiSeNet's fusion
    aux: tuple[Tensor, ...] = ()  # logits of classifiers on inner layers, [N, C, h', w']; empty outside training
    depth: Tensor | None = None  # inverse depth, float32 [N, 1, h', w']; with that head
    density: Tensor | None = None  # density of the depth distribution, 0 to 255, float32 [N, 1, h', w']; with that head
    target_depth: Tensor | None = None  # inverse depth by the head that learns the target's, as `depth`
    deep: Tensor | None = None  # the last map of the encoder, [N, D', h", w"]
    detail: Tensor | None = None  # the logits of the detail crop alone, [N, C, h', w']; of two resolutions, with a box
    box: Box | None = None  # where that crop lies in the images, the same in all

    @property
    def _maps(self) -> tuple[Tensor | None, ...]:
        """The estimated maps and the encoder's, in the order of the fields."""
        return self.depth, self.density, self.target_depth, self.deep

    def split(self, counts: Sequence[int]) -> list["Output"]:
        """Split a batch into consecutive batches with `counts` images each."""
        logits, features = self.logits.split(counts), self.features.split(counts)
        aux = zip(*(tensor.split(counts) for tensor in self.aux), strict=True) if self.aux else [()] * len(counts)
        optional = (*self._maps, self.detail)
        maps = [[None] * len(counts) if one is None else one.split(counts) for one in optional]
        return [Output(*parts, self.box) for parts in zip(logits, features, aux, *maps, strict=True)]

    @staticmethod
    def cat(outputs: Sequence["Output"]) -> "Output":
        """Join the outputs of consecutive batches; the reverse of `split`."""
        logits, features, aux, *maps, boxes = zip(*outputs, strict=True)
        joined = [None if parts[0] is None else torch.cat(parts) for parts in maps]
        aux = tuple(map(torch.cat, zip(*aux, strict=True)))
        return Output(torch.cat(logits), torch.cat(features), aux, *joined, boxes[0])

    def map(self, change: Callable[[Tensor], Tensor]) -> "Output":
        """Return the output with every map of the images changed; that of the detail crop stays."""
        parts = [None if one is None else change(one) for one in self._maps]
        maps = change(self.logits), change(self.features), tuple(map(change, self.aux)), *parts
        return Output(*maps, self.detail, self.box)
