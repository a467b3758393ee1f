"""A sample of a stage's work: some of its images or steps in the place of all."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from udaseg.config import Recipe


@dataclass
class Sample:
    """The shares of a stage's `images` and `steps` that are done, one of each at least, and where it writes."""

    stage: str
    trains: bool  # whether the stage counts its work in steps
    folder: Path
    shares: dict[str, float]
    totals: dict[str, int] = field(default_factory=dict)  # how many there are in all
    copies: dict[Path, Path] = field(default_factory=dict)
    cached_bytes: int = 0  # of images that a training comes to keep in memory

    def count(self, unit: str, total: int) -> int:
        """Return how many of the images or steps belong to the sample; the largest set stands for all of a stage."""
        self.totals[unit] = max(total, self.totals.get(unit, 0))
        return min(total, max(1, round(self.shares.get(unit, 0.0) * total)))

    def choose(self, stems: Iterable[str]) -> set[str]:
        """Choose images evenly from all: the same ones in every set that has the same."""
        ordered = sorted(stems)
        count = self.count("images", len(ordered))
        return {ordered[i * len(ordered) // count] for i in range(count)}

    def subset(self, images: Any) -> Any:
        """Return the images of a set that belong to the sample, as a set."""
        stems = self.choose(record.stem for record in images.records)
        return replace(images, records=tuple(record for record in images.records if record.stem in stems))

    def shorten_dataset(self, images: Any, size: tuple[int, int] | None) -> Any:
        """Return the part of a set that the stage works on.

        A training sees all: it takes as long as its steps. Counted is the memory it comes to keep images in.
        """
        if not self.trains:
            return self.subset(images)
        from udaseg.data.batches import cached_bytes
        from udaseg.models import devices

        self.cached_bytes += cached_bytes(len(images), size, workers=devices.workers(devices.choose()))
        return images

    def copy_predictions(self, path: Path) -> Path:
        """Copy the predictions of the sample to a file of their own, once."""
        if path not in self.copies:
            from udaseg.inference.predictions import Predictions, PredictionsWriter

            folder = self.folder / f"predictions{len(self.copies)}"
            with Predictions(path) as whole, PredictionsWriter(folder, whole.classes, whole.align_corners) as writer:
                for stem in self.choose(whole.stems):
                    writer.put(stem, whole.logits(stem), *whole.size(stem))
            self.copies[path] = writer.path
        return self.copies[path]

    def shorten(self, recipe: Recipe) -> Recipe:
        """Return the recipe with fewer steps of the training that is sampled."""
        section = getattr(recipe, self.stage) if self.trains else None
        if section is None:
            return recipe
        steps = self.count("steps", section.steps)
        return recipe.model_copy(update={self.stage: section.model_copy(update={"steps": steps})})
