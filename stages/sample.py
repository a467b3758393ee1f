"""A sample of a stage's work: some of its images or steps in the place of all."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from udaseg.config import Recipe

from .pace import TRAININGS


@dataclass
class Sample:
    """What share of a stage's `images` and `steps` is done, one of each at the least, and where."""

    phase: str  # the stage
    place: Path  # where it writes, and finds copies of what it reads
    shares: dict[str, float]
    whole: dict[str, int] = field(default_factory=dict)  # how many there are of what was asked for
    copies: dict[Path, Path] = field(default_factory=dict)
    kept: int = 0  # bytes of images that a training comes to keep in memory

    @property
    def trains(self) -> bool:
        return self.phase in TRAININGS

    def count(self, what: str, whole: int) -> int:
        """Say how many of the images or steps belong to the sample; the largest set stands for all of a stage."""
        self.whole[what] = max(whole, self.whole.get(what, 0))
        return min(whole, max(1, round(self.shares.get(what, 0.0) * whole)))

    def of(self, stems: Iterable[str]) -> set[str]:
        """Choose images evenly from all: the same ones in every set that has the same."""
        ordered = sorted(stems)
        count = self.count("images", len(ordered))
        return {ordered[i * len(ordered) // count] for i in range(count)}

    def images(self, whole: Any) -> Any:
        """Give those images of a set that belong to the sample, as a set."""
        chosen = self.of(record.stem for record in whole.records)
        return replace(whole, records=tuple(record for record in whole.records if record.stem in chosen))

    def opened(self, whole: Any, size: tuple[int, int] | None) -> Any:
        """Give what a stage is to see of a set, whose images it looks at in some size.

        A training sees all: it takes as long as its steps. Counted is what memory it comes to keep images in.
        """
        if not self.trains:
            return self.images(whole)
        from udaseg.data.batches import kept
        from udaseg.models import devices

        self.kept += kept(len(whole), size, workers=devices.workers(devices.choose()))
        return whole

    def predictions(self, path: Path) -> Path:
        """Copy the scores of the sample to a file of their own, once."""
        if path not in self.copies:
            from udaseg.inference.predictions import Predictions, PredictionsWriter

            folder = self.place / f"predictions{len(self.copies)}"
            with Predictions(path) as whole, PredictionsWriter(folder, whole.classes, whole.align_corners) as writer:
                for stem in self.of(whole.stems):
                    writer.put(stem, whole.logits(stem), *whole.size(stem))
            self.copies[path] = writer.path
        return self.copies[path]

    def shortened(self, recipe: Recipe) -> Recipe:
        """Give the recipe with fewer steps of the training that is sampled."""
        settings = getattr(recipe, self.phase) if self.trains else None
        if settings is None:
            return recipe
        steps = self.count("steps", settings.steps)
        return recipe.model_copy(update={self.phase: settings.model_copy(update={"steps": steps})})
