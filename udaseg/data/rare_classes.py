"""Rare class sampling: training draws a class, then a source image and a crop that show enough of it (DAFormer)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from udaseg.config import Rare
from udaseg.data.augment import draw_corner
from udaseg.data.sampling import Shares
from udaseg.errors import UdasegError
from udaseg.labels import IGNORE
from udaseg.metrics import count_ids


@dataclass(frozen=True, eq=False)
class RareClasses:
    """Draw classes by their rarity, and images and crops that show them.

    `counts`, int64 [images, C], are the pixels of each class in each image, at the size of the image. An image
    can be drawn for a class with more than `settings.pixels` of it. A class without such an image is never drawn.
    With several `sets` the frequencies of classes are those of all, averaged by their shares. A class is then drawn
    first, one of the sets that have such images next, in proportion to their shares, and an image of it last.
    Raises UdasegError where no class has an image.
    """

    counts: np.ndarray
    settings: Rare
    sets: Shares | None = None

    def __post_init__(self) -> None:
        if not self.is_drawn.any():
            most = int(self.counts.max(initial=0))
            raise UdasegError(
                f"retrain.rare.pixels={self.settings.pixels}: no source image has more pixels of a class; the most "
                f"that one has are {most}",
                f"set retrain.rare.pixels={max(0, most - 1)}, or less",
            )

    @cached_property
    def shares(self) -> np.ndarray:
        """The share of each class in the labelled pixels, float64 [C]."""
        if self.sets is not None:
            return self.sets.pool(self.counts)
        return self.counts.sum(0) / max(1, self.counts.sum())

    @cached_property
    def images(self) -> list[np.ndarray]:
        """The images that can be drawn for each class."""
        return [np.flatnonzero(pixels_N > self.settings.pixels) for pixels_N in self.counts.T]

    @cached_property
    def is_drawn(self) -> np.ndarray:
        """Which classes have an image that can be drawn, bool [C]."""
        return np.array([len(images) > 0 for images in self.images])

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each class, float64 [C]."""
        return class_probabilities(self.shares, self.is_drawn, self.settings.temperature)

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Draw a class by its probability, then one of its images; return the index of the image, and the class."""
        c = int(rng.choice(len(self.images), p=self.probabilities))
        images = self.images[c]
        if self.sets is not None:
            parts = self.sets.split(images)
            images = parts[self.sets.choose([len(part) > 0 for part in parts], rng)]
        return int(images[rng.integers(len(images))]), c

    def corner(
        self, label_HW: np.ndarray, crop: tuple[int, int], image: int, c: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        """Return the top left corner (row, column) of a random crop that shows enough of class c, and other classes.

        The crop must have more pixels of c than `crop_share * pixels`, scaled by the area of the label to that of the
        image, and a commonest class with less than `max_share` of the labelled pixels. After `tries` crops the last
        one stays.
        """
        settings, classes = self.settings, len(self.images)
        scale = np.count_nonzero(label_HW != IGNORE) / self.counts[image].sum()
        needed = settings.crop_share * settings.pixels * scale
        height, width = crop
        for _ in range(settings.tries):
            top, left = draw_corner(label_HW, crop, rng)
            shown_C = count_ids(label_HW[top : top + height, left : left + width])[:classes]
            if shown_C[c] > needed and shown_C.max() < settings.max_share * shown_C.sum():
                break
        return top, left


def class_probabilities(shares_C: np.ndarray, is_drawn_C: np.ndarray, temperature: float) -> np.ndarray:
    """Return softmax((1 - f) / T) over the classes that can be drawn, float64 [C]; f is the share of a class."""
    with np.errstate(over="ignore"):  # at a tiny temperature
        exponents_C = (shares_C[is_drawn_C].min() - shares_C) / temperature
    weights_C = np.where(is_drawn_C, np.exp(np.minimum(exponents_C, 0)), 0)
    return weights_C / weights_C.sum()


def describe(rare: RareClasses, classes: Sequence[str]) -> str:
    """Return a table of all classes: probability, share of the pixels, and number of images that can be drawn."""
    width = max(map(len, classes))
    rows = [
        f"  {name:<{width}}  {probability:11.6f}  {share:8.6f}  {len(images):6}"
        for name, probability, share, images in zip(classes, rare.probabilities, rare.shares, rare.images, strict=True)
    ]
    return "\n".join([f"  {'class':<{width}}  {'probability':>11}  {'share':>8}  {'images':>6}", *rows])


def sampling_warnings(rare: RareClasses, classes: Sequence[str]) -> list[str]:
    """Warn of classes that are never drawn, and of one that hides the others; name the values that would do."""
    warnings, settings, most_C = [], rare.settings, rare.counts.max(0)
    is_lost_C = (most_C > 0) & ~rare.is_drawn
    if is_lost_C.any():
        names = ", ".join(name for name, is_lost in zip(classes, is_lost_C, strict=True) if is_lost)
        warnings.append(
            f"rare class sampling never draws {names}: no source image has more than {settings.pixels} pixels of such "
            f"a class; retrain.rare.pixels={most_C[is_lost_C].min() - 1} would draw every class"
        )
    limit = 0.5 if rare.is_drawn.sum() > 2 else 0.75  # of two classes, one always has a half or more
    share = rare.probabilities.max()
    if limit < share and rare.is_drawn.sum() > 1:
        warnings.append(
            f"rare class sampling draws {classes[rare.probabilities.argmax()]} with the probability {share:.3g}; with "
            f"retrain.rare.temperature={_temperature_of(rare, limit)} it is {limit:g}"
        )
    return warnings


def _temperature_of(rare: RareClasses, limit: float) -> str:
    """Return the temperature, rounded up, at which the most probable class has the probability `limit`."""

    def is_too_low(temperature: float) -> bool:
        return class_probabilities(rare.shares, rare.is_drawn, temperature).max() > limit

    low = high = rare.settings.temperature
    while is_too_low(high):
        low, high = high, 2 * high
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if is_too_low(middle) else (low, middle)
    digits = 1 - math.floor(math.log10(high))  # after the point, for two that count
    return np.format_float_positional(round(math.ceil(high * 10.0**digits) / 10.0**digits, digits), trim="-")
