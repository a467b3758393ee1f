"""Rare class sampling: draw a class by its rarity, then an image and a crop that show it (DAFormer)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydantic import ValidationError
from torch.utils.data import Sampler

from udaseg.api.arrays import Values, to_array
from udaseg.config import Rare
from udaseg.data.rare_classes import RareClasses
from udaseg.errors import UdasegError


def rare_classes(
    counts: Values,
    temperature: float = 0.01,
    pixels: int = 3000,
    crop_share: float = 0.5,
    max_share: float = 0.75,
    tries: int = 10,
) -> RareClasses:
    """Return what draws images by the rarity of their classes.

    counts, whole numbers [N, C], are the pixels of each class in each image, as of `class_counts`. A class of the share
    f has the probability softmax((1 - f) / temperature); an image with more than `pixels` of it is drawn. Its methods
    are `draw(rng)`, which returns (index of the image, class), and `corner(label, crop, index, class, rng)`, which
    returns the (row, column) of a crop with more than `crop_share * pixels` of the class, scaled to the label, whose
    commonest class has less than `max_share`; after `tries` crops the last one stays. `probabilities` are float64 [C].
    Raises UdasegError for settings out of range, and where no image has so many pixels of a class. Source: Hoyer et
    al., DAFormer, CVPR 2022.
    """
    values = to_array("counts", counts)
    if values.ndim != 2 or values.dtype.kind not in "iu" or (values.size and values.min() < 0):
        raise UdasegError(
            f"counts is {values.dtype} {list(values.shape)}, expected pixels, whole numbers [N, C]",
            "count a dataset with udaseg.class_counts",
        )
    if values.max(initial=0) <= pixels:
        most = int(values.max(initial=0))
        raise UdasegError(
            f"pixels is {pixels}, and no image has more pixels of a class: the most that one has are {most}",
            f"try pixels={most // 10}",
        )
    try:
        settings = Rare(temperature=temperature, pixels=pixels, crop_share=crop_share, max_share=max_share, tries=tries)
    except ValidationError as error:
        problems = "; ".join(f"{one['loc'][0]} is {one['input']}: {one['msg']}" for one in error.errors())
        raise UdasegError(problems, "DAFormer has temperature=0.01, pixels=3000, crop_share=0.5") from None
    return RareClasses(values.astype(np.int64), settings)


class RareClassSampler(Sampler[int]):
    """Draw the indices of images for a DataLoader, by `rare_classes`.

    `length` indices are one epoch; the next epoch draws on. The same seed draws the same indices. Raises UdasegError
    for a length below 1.
    """

    def __init__(self, rare: RareClasses, length: int, seed: int = 0):
        if length < 1:
            raise UdasegError(f"length is {length}, expected 1 or more", "steps times batch size, as for one epoch")
        self.rare, self.length = rare, length
        self._rng = np.random.default_rng(seed)

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        for _ in range(self.length):
            yield self.rare.draw(self._rng)[0]
