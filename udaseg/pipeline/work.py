"""What the function of a stage gets: its recipe, inputs and datasets, where to write, and how to report."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config import Recipe
from udaseg.parallel import processes
from udaseg.pipeline import datasets
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage_dir import Result

if TYPE_CHECKING:
    from udaseg.config import HxW
    from udaseg.data.image_sets import View
    from udaseg.labels import ClassSpace


@dataclass
class Work:
    """One stage at work. `out` is the directory to write into, which no other stage reads before it is complete."""

    run: Run
    job: Job
    result: Result
    out: Path
    _progress: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Work:
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.close()

    @property
    def recipe(self) -> Recipe:
        """The recipe after all flags."""
        return self.run.recipe

    @property
    def round(self) -> int:
        """The round of self-training, from 1."""
        return self.run.round

    @property
    def seed(self) -> int:
        """The seed of everything random."""
        return self.run.recipe.seed

    @property
    def is_first(self) -> bool:
        """Whether this process writes what there is one of."""
        return processes.is_first()

    def path(self, name: str) -> Path | None:
        """Return the path of an input; None where the recipe does not read it."""
        declared = self.job.inputs.get(name)
        return None if declared is None else Path(declared.path)

    def require_path(self, name: str) -> Path:
        """Return the path of an input that the recipe reads."""
        return Path(self.job.inputs[name].path)

    def digest(self, name: str) -> str:
        """Return the digest of an input."""
        return self.job.inputs[name].digest

    def dataset(self, name: str) -> Any:
        """Open a dataset of the recipe: an ImageSet (target), a LabelledSet (val, source), or Sources."""
        return datasets.open_dataset(self.run, name)

    def view(self, name: str, size: HxW | None = None) -> View:
        """Return a dataset at the size at which networks see it: `size`, else that of the stage, or of the domain."""
        return datasets.open_view(self.run, self.job.stage, name, size)

    def class_space(self) -> ClassSpace:
        """Return the class space of the recipe."""
        return datasets.class_space(self.run)

    def progress(self, unit: str, title: str | None = None) -> Callable[[int, int], None]:
        """Show the progress of the next part of the work; return a function `(done, total)`."""
        self._progress.close()
        return self._progress.enter_context(self.run.show_progress(title or self.job.stage, unit))

    def warn(self, text: str) -> None:
        """Add a warning: it is printed when the stage ends, and kept in the manifest."""
        self.result.warnings.append(text)

    def finish(self, metrics: dict[str, Any], text: str, warnings: Iterable[str] = ()) -> None:
        """Note the key numbers of the result and its warnings, and log how the stage ended."""
        self._progress.close()
        self.result.metrics = metrics
        self.result.warnings += warnings
        log(f"{self.job.stage}: {text}")

    def other_classes_hint(self) -> str:
        """Return the hint for a file that is of other classes than the recipe."""
        return f"name what it was made with in the place of {self.recipe.name}: --recipe, or --set 'space=[road,car]'"
