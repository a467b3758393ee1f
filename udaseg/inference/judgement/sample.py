"""The sample on which models are judged: the same images, and the same pixels in them, for every model."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from udaseg.config import HxW
from udaseg.data.image_sets import LabelledSet, View
from udaseg.data.sources import Sources, split_view

PIXELS = 4096  # in each image


@dataclass(frozen=True, eq=False)
class Sample:
    """Images of the target and of the source, and places in each: float32 [images, PIXELS, 2].

    A place is the share of the way down and to the right, in [0, 1): so networks that see images at different sizes
    are judged at the same places. `stems` are those of the chosen images; `partners` are, for each source image, the
    target image of the sample that gives it its style.
    """

    target: tuple[str, ...]
    source: tuple[str, ...]
    target_places: np.ndarray
    source_places: np.ndarray
    partners: np.ndarray


def draw_sample(target: Any, source: LabelledSet | Sources, images: int, seed: int) -> Sample:
    """Draw `images` images of each domain, or all where there are fewer, with places in each."""
    rng = np.random.default_rng((seed, 11))
    chosen = [_draw(one, images, rng) for one in (target, source)]
    places = [rng.random((len(stems), PIXELS, 2), np.float32) for stems in chosen]
    partners = rng.permutation(np.arange(len(chosen[1])) % len(chosen[0]))
    return Sample(*chosen, *places, partners)


def _draw(images: Any, count: int, rng: np.random.Generator) -> tuple[str, ...]:
    indices = np.sort(rng.permutation(len(images))[:count])
    return tuple(images.records[i].stem for i in indices)


def target_view(view: View, sample: Sample) -> View:
    """Return the view of the target images of a sample."""
    return replace(view, images=view.images.choose(sample.target))


def source_views(view: View, sample: Sample) -> list[View]:
    """Return the views of the source images of a sample, in their order: one for each source that has some."""
    chosen = replace(view, images=view.images.choose(sample.source))
    return [part for part in split_view(chosen).values() if len(part.images)]


def pixels_at(places_K2: np.ndarray, size: HxW) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns, int64 [K], of the pixels at some places of an image of (height, width)."""
    height, width = size
    rows_K, columns_K = (places_K2[:, axis] * np.float32(side) for axis, side in ((0, height), (1, width)))
    return rows_K.astype(np.int64).clip(0, height - 1), columns_K.astype(np.int64).clip(0, width - 1)


def labels_at(labels_HW: np.ndarray, places_K2: np.ndarray) -> np.ndarray:
    """Return the labels at some places of an image: uint8 [K]."""
    return labels_HW[pixels_at(places_K2, labels_HW.shape)]


def values_at(map_Dhw: Tensor, places_K2: np.ndarray, size: HxW, align_corners: bool) -> np.ndarray:
    """Return a map at some places of its image: float32 [K, D].

    They are the values that the map, enlarged to the (height, width) of the image bilinearly, has in the pixels there.
    """
    rows_K, columns_K = pixels_at(places_K2, size)
    shares = [
        (2 * index_K / max(1, side - 1) if align_corners else (2 * index_K + 1) / side) - 1  # grid_sample's -1 to 1
        for index_K, side in ((columns_K, size[1]), (rows_K, size[0]))
    ]
    grid_11K2 = torch.from_numpy(np.stack(shares, -1).astype(np.float32))[None, None].to(map_Dhw.device)
    sampled_1D1K = grid_sample(map_Dhw[None].float(), grid_11K2, padding_mode="border", align_corners=align_corners)
    return sampled_1D1K[0, :, 0].T.contiguous().cpu().numpy()
