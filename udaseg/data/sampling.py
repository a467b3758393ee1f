"""What training draws how often: several sources by their shares, and rare classes more often (FADA, CBST)."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from udaseg.metrics import count_ids

SPAN = 3000  # draws after which the counts of class-balanced sampling start again, and those of shares
RAREST = 3  # classes that mining uses where no class is rare


@dataclass(frozen=True)
class Shares:
    """How often training draws from each of several sets, whose images follow one another in one list.

    `lengths` are the numbers of their images. A set is drawn in proportion to its ratio.
    """

    lengths: tuple[int, ...]
    ratios: tuple[float, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each set in the draws; their sum is 1."""
        return tuple(ratio / math.fsum(self.ratios) for ratio in self.ratios)

    @property
    def starts(self) -> tuple[int, ...]:
        """The index of the first image of each set."""
        return tuple(sum(self.lengths[:place]) for place in range(len(self.lengths)))

    def locate(self, index: int) -> tuple[int, int]:
        """Return the set of an image, and its index there."""
        place = bisect_right(self.starts, index) - 1
        return place, index - self.starts[place]

    def split(self, indices: np.ndarray) -> list[np.ndarray]:
        """Split ascending indices of images by their sets."""
        return np.split(indices, np.searchsorted(indices, self.starts[1:]))

    def choose(self, exists: Sequence[bool], rng: np.random.Generator) -> int:
        """Draw one of the sets that exist, in proportion to their shares."""
        weights = np.where(exists, self.ratios, 0.0)
        return int(rng.choice(len(weights), p=weights / weights.sum()))

    def index(self, key: tuple[int, ...], position: int) -> int:
        """Return the image at a position of the draw, a pure function of the key and the position.

        Any SPAN draws that begin at a multiple of SPAN have `quotas` draws of each set, evenly spread. The images of a
        set are drawn in a shuffled order, each once in an epoch of the set.
        """
        span, offset = divmod(position, SPAN)
        places, ranks = _spread(self.quotas, (*key, 0, span))
        place = int(places[offset])
        epoch, rank = divmod(span * self.quotas[place] + int(ranks[offset]), self.lengths[place])
        return self.starts[place] + int(_permutation((*key, 1, place, epoch), self.lengths[place])[rank])

    @cached_property
    def quotas(self) -> tuple[int, ...]:
        """The draws of each set in SPAN draws: its share, rounded so that the sum is SPAN; one at least."""
        exact = np.multiply(self.shares, SPAN)
        quotas = np.maximum(1, np.floor(exact)).astype(int)
        for place in np.argsort(quotas - exact, kind="stable")[: max(0, SPAN - quotas.sum())]:
            quotas[place] += 1
        quotas[quotas.argmax()] += SPAN - quotas.sum()  # sets with less than one draw got one
        return tuple(quotas.tolist())

    def pool(self, pixels_NC: np.ndarray) -> np.ndarray:
        """Return the share of each class in the labelled pixels that training draws, float64 [C].

        `pixels` are those of each class in each image. The frequencies in the sets are averaged by the sets' shares.
        """
        sums = [part_NC.sum(0) for part_NC in np.split(pixels_NC, self.starts[1:])]
        return np.sum([s * pixels_C / max(1, pixels_C.sum()) for s, pixels_C in zip(self.shares, sums, strict=True)], 0)


@lru_cache(maxsize=4)
def _spread(quotas: tuple[int, ...], key: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the set of each draw in a span, and the number of draws of that set before it.

    The draws of a set lie in as many equal parts of the span, one at a random place in each (stratified sampling).
    """
    rng = np.random.default_rng(key)
    times = np.concatenate([(np.arange(quota) + rng.random(quota)) / quota for quota in quotas])
    places = np.repeat(np.arange(len(quotas)), quotas)
    ranks = np.concatenate([np.arange(quota) for quota in quotas])
    order = np.argsort(times, kind="stable")
    return places[order], ranks[order]


@lru_cache(maxsize=8)
def _permutation(key: tuple[int, ...], count: int) -> np.ndarray:
    return np.random.default_rng(key).permutation(count)


@dataclass(frozen=True, eq=False)
class ClassBalance:
    """Draw images with rare classes more often. `shown`, bool [images, C], says which classes each image shows.

    An image that shows no class is never drawn. With `shares`, a class is drawn first, then one of the sets that show
    it, in proportion to their shares.
    """

    shown: np.ndarray
    shares: Shares | None = None

    def index(self, key: tuple[int, ...], position: int) -> int:
        """Return the image at a position of the draw, a pure function of the key and the position.

        Within SPAN draws, class c has the probability 1 / log(1.01 + g_c), up to a factor. g_c is the share of c among
        the classes that the images drawn before show. The image is the next one of a shuffled list of those with c.
        """
        span, offset = divmod(position, SPAN)
        return int(_draw_span(self, (*key, span))[offset])


@lru_cache(maxsize=4)
def _draw_span(balance: ClassBalance, key: tuple[int, ...]) -> np.ndarray:
    rng = np.random.default_rng(key)
    shown, shares = balance.shown, balance.shares
    of_classes = map(np.flatnonzero, shown.T)
    lists = [
        [rng.permutation(part) for part in ([images] if shares is None else shares.split(images))]
        for images in of_classes
    ]
    exists_C = shown.any(0)
    counts_C, positions_CS = np.zeros(shown.shape[1]), np.zeros((shown.shape[1], len(lists[0])), np.int64)
    indices = np.empty(SPAN, np.int64)
    for draw in range(SPAN):
        weights_C = exists_C / np.log(1.01 + counts_C / max(counts_C.sum(), 1.0))
        c = int(rng.choice(len(weights_C), p=weights_C / weights_C.sum()))
        place = 0 if shares is None else shares.choose([len(images) > 0 for images in lists[c]], rng)
        images = lists[c][place]
        indices[draw] = images[positions_CS[c, place] % len(images)]
        positions_CS[c, place] += 1
        counts_C += shown[indices[draw]]
    return indices


@dataclass(frozen=True)
class Mining:
    """Centre a crop, with a probability, on one of the rare `classes`, or on one of `otherwise` where none is there."""

    probability: float
    classes: tuple[int, ...]
    otherwise: tuple[int, ...] = ()

    def corner(self, label_HW: np.ndarray, crop: tuple[int, int], rng: np.random.Generator) -> tuple[int, int] | None:
        """Return the top left corner (row, column) of a crop around a random pixel of a rare class, or None.

        A class is drawn from the rare ones in the label, with equal probabilities, then a pixel of it. The crop is
        centred on the pixel and moved into the image. The result is None with a probability of 1 - `probability`, and
        where the label has none of the classes.
        """
        if rng.random() >= self.probability:
            return None
        present = count_ids(label_HW)
        rare = [c for c in self.classes if present[c]] or [c for c in self.otherwise if present[c]]
        if not rare:
            return None
        pixels = np.flatnonzero(label_HW == rare[rng.integers(len(rare))])
        row, column = divmod(int(pixels[rng.integers(len(pixels))]), label_HW.shape[1])
        top, left = (
            min(max(centre - side // 2, 0), max(whole - side, 0))
            for centre, side, whole in zip((row, column), crop, label_HW.shape, strict=True)
        )
        return top, left


def mine_rare_classes(probability: float, predicted: Sequence[int], below: float) -> Mining:
    """Return the mining of all classes with less than a share `below` of the predicted pixels [C] (CBST).

    Where a label shows none of them, mining uses the three rarest classes.
    """
    total = sum(predicted)
    order = sorted(range(len(predicted)), key=lambda c: (predicted[c], c))
    rarest = tuple(c for c in order if predicted[c] > 0)[:RAREST]
    return Mining(probability, tuple(c for c in order if predicted[c] < below * total), rarest)
