"""Several labelled sources as one list of images, each with a size, a share and missing classes of its own."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np

from udaseg.data.image_sets import Labelled, LabelledSet, View, subset_count
from udaseg.data.sampling import Shares
from udaseg.labels import ClassSpace

Labels = TypeVar("Labels", LabelledSet, "Sources")


@dataclass(frozen=True, eq=False)
class Sources:
    """The labelled images of several sources as one list: those of the first source, then those of the second, ...

    `names` are those of the sources, `views` their images, each at the size at which a network sees it. `ratios` say
    how often training draws from each; None stands for the number of its images. `missing`, bool [sources, C], marks
    the classes that the labels of a source cannot have. The stem of an image is the name of its source, `_`, and its
    stem there.
    """

    names: tuple[str, ...]
    views: tuple[View, ...]
    missing: np.ndarray
    ratios: tuple[float, ...] | None = None

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def records(self) -> tuple[Labelled, ...]:
        """The images of all sources."""
        return tuple(
            replace(record, stem=f"{name}_{record.stem}")
            for name, view in zip(self.names, self.views, strict=True)
            for record in view.images.records
        )

    @cached_property
    def shares(self) -> Shares:
        """How often training draws from each source."""
        lengths = tuple(len(view.images) for view in self.views)
        return Shares(lengths, lengths if self.ratios is None else self.ratios)

    @property
    def space(self) -> ClassSpace:
        """The class space of all sources."""
        return self.views[0].images.space

    @property
    def table(self) -> np.ndarray:
        """The train ids that labels of any source can have, uint8 [256 * sources]."""
        return np.concatenate([view.images.table for view in self.views])

    @property
    def warnings(self) -> tuple[str, ...]:
        """The warnings of all sources."""
        return tuple(warning for view in self.views for warning in view.images.warnings)

    def label(self, i: int) -> np.ndarray:
        """Read one label as `LabelledSet.label` does."""
        place, index = self.shares.locate(i)
        return self.views[place].images.label(index)

    def describe(self) -> str:
        """Give the share of each source in the draws, its number of images, and the classes that it cannot label."""
        texts = []
        for name, view, share, missing_C in zip(self.names, self.views, self.shares.shares, self.missing, strict=True):
            lacks = [one for one, is_missing in zip(self.space.classes, missing_C, strict=True) if is_missing]
            ending = f", without {', '.join(lacks)}" if lacks else ""
            texts.append(f"{name} {share:.1%}, {len(view.images)} images{ending}")
        return "; ".join(texts)

    def replace_sets(self, change: Callable[[str, LabelledSet], LabelledSet]) -> "Sources":
        """Return the sources with other images, by the name of the source and its images before."""
        changed = [
            replace(view, images=change(name, view.images)) for name, view in zip(self.names, self.views, strict=True)
        ]
        return replace(self, views=tuple(changed), ratios=self.shares.ratios)

    def choose(self, stems: Collection[str]) -> "Sources":
        """Return the images with these stems; sources without any stay, and are empty."""
        chosen = frozenset(stems)
        return self.replace_sets(
            lambda name, part: replace(
                part, records=tuple(one for one in part.records if f"{name}_{one.stem}" in chosen)
            )
        )


def subset(images: Labels, fraction: float, seed: int) -> Labels:
    """Return a random fraction of the images, at least one; a larger fraction contains a smaller one (CBST).

    Of several sources it is this fraction of each.
    """
    if isinstance(images, Sources):
        return images.replace_sets(lambda _, part: subset(part, fraction, seed))
    count = subset_count(len(images), fraction)
    indices = sorted(np.random.default_rng((seed, 3)).permutation(len(images))[:count])
    return replace(images, records=tuple(images.records[i] for i in indices))


def split_view(view: View) -> dict[str, View]:
    """Return the views of several sources by name, or this one alone by no name."""
    images = view.images
    return dict(zip(images.names, images.views, strict=True)) if isinstance(images, Sources) else {"": view}
