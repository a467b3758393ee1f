"""The time, disk and memory that a stage will take, measured on a few of its images or steps."""

import io
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.config import Recipe
from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.pipeline.engine import PlannedError
from udaseg.pipeline.format import duration, size

LONGER = 2.0  # seconds that a sample has to take longer than the smallest one, to tell the cost of an image
LIMIT = 60.0  # seconds after which no larger sample is tried


class Cost(NamedTuple):
    """What a run of a sample took."""

    seconds: float
    disk: float  # bytes


@dataclass(frozen=True)
class Estimate:
    """What a stage will take in all, and from what part of it that was told."""

    stage: str
    totals: dict[str, int]  # images, steps
    sampled: dict[str, int]
    seconds: float
    disk_bytes: int
    free_disk_bytes: int
    memory_bytes: int
    gpu_memory_bytes: int  # of tensors, and of the CUDA context where it is known
    knows_gpu_context: bool

    def document(self) -> dict[str, Any]:
        """Return the estimate as plain values."""
        return {
            "stage": self.stage,
            **self.totals,
            "sample": self.sampled,
            "seconds": self.seconds,
            "disk_bytes": self.disk_bytes,
            "free_disk_bytes": self.free_disk_bytes,
            "memory_bytes": self.memory_bytes,
            "gpu_memory_bytes": self.gpu_memory_bytes,
        }

    def text(self) -> str:
        """Return the estimate as a sentence."""
        work = ", ".join(f"{count:,} {unit}" for unit, count in self.totals.items()) or "all of it"
        gpu = f", {size(self.gpu_memory_bytes)} on the GPU" if self.gpu_memory_bytes else ""
        if gpu and not self.knows_gpu_context:
            gpu += " and that of the CUDA context, which nvidia-smi does not tell"
        cost = f"about {duration(self.seconds)}, {size(self.disk_bytes)} on disk, {size(self.memory_bytes)} of memory"
        return f"{self.stage}: {work}: {cost}{gpu}"


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
        return images.choose(self.choose(record.stem for record in images.records))

    def shorten_dataset(self, images: Any, size: tuple[int, int] | None, flow_step: int) -> Any:
        """Return the part of a set that the stage works on.

        A training sees all: it takes as long as its steps. Counted is the memory it comes to keep images in. Optical
        flow is that of a frame and the one `flow_step` before it.
        """
        if self.stage == "flow":
            from udaseg.data.video.sequences import previous_frames

            previous = previous_frames(images.records, flow_step)
            chosen = self.choose(previous) if previous else set()
            return images.choose(chosen | {previous[stem] for stem in chosen}) if chosen else images
        if not self.trains:
            return self.subset(images)
        from udaseg.data.samples import cached_bytes
        from udaseg.models import devices

        self.cached_bytes += cached_bytes(len(images), size, workers=devices.workers(devices.choose()))
        return images

    def copy_predictions(self, path: Path) -> Path:
        """Copy the predictions of the sample to a file of their own, once."""
        if path not in self.copies:
            from udaseg.inference.predictions import Predictions, PredictionsWriter

            folder = self.folder / f"predictions{len(self.copies)}"
            with (
                Predictions(path) as whole,
                PredictionsWriter(folder, whole.classes, whole.align_corners, whole.store) as writer,
            ):
                for stem in self.choose(whole.stems):
                    writer.put(stem, whole.values(stem), *whole.size(stem))
            self.copies[path] = writer.path
        return self.copies[path]

    def shorten(self, recipe: Recipe) -> Recipe:
        """Return the recipe with fewer steps of the training that is sampled."""
        section = getattr(recipe, self.stage) if self.trains else None
        if section is None or section.steps is None:  # refused later
            return recipe
        steps = self.count("steps", section.steps)
        changes = {"steps": steps, "keep_last": 1}  # the sample has too few steps for more models
        return recipe.model_copy(update={self.stage: section.model_copy(update=changes)})


def estimate(stage: str, trains: bool, folder: Path, run_sample: Callable[[Sample], None]) -> Estimate:
    """Estimate what a stage takes, from samples of it that run in a temporary directory and are thrown away.

    The first sample, of one image or step, shows the cost of the start. The difference between a larger one and the
    same small one again tells the cost of each further image or step. `folder` is where the stage would write.
    """
    if processes.count() > 1:
        raise UdasegError("--estimate looks at what one process takes", "run it without torchrun")
    start, gpus = time.monotonic(), _memory_in_use_of_gpus()
    first, sample = _run_sample(stage, trains, run_sample, {})
    again, _ = _run_sample(stage, trains, run_sample, {})
    seconds, disk, sampled = first.seconds, first.disk, {}
    for unit, total in sample.totals.items():
        count, cost = 1, again
        while count < total and (count == 1 or _is_unclear(cost, again, start)):
            count = min(total, 3 * count)
            cost, _ = _run_sample(stage, trains, run_sample, {unit: count / total})
        sampled[unit] = count
        if count > 1:
            seconds += max(0.0, cost.seconds - again.seconds) * (total - 1) / (count - 1)
            disk += max(0.0, cost.disk - again.disk) * (total - 1) / (count - 1)
    folder = folder.absolute()
    free = shutil.disk_usage(next(path for path in (folder, *folder.parents) if path.exists())).free
    memory, on_gpu, context = _peak_memory(gpus)
    memory += sample.cached_bytes
    totals, seconds, knows_context = sample.totals, round(seconds, 3), context is not None
    return Estimate(stage, totals, sampled, seconds, round(disk), free, memory, on_gpu + (context or 0), knows_context)


def _is_unclear(cost: Cost, again: Cost, start: float) -> bool:
    return cost.seconds - again.seconds < LONGER and time.monotonic() - start < LIMIT


def _run_sample(
    stage: str, trains: bool, run_sample: Callable[[Sample], None], shares: dict[str, float]
) -> tuple[Cost, Sample]:
    """Run a sample; return its cost, and the sample with the totals it has met."""
    messages = io.StringIO()
    with tempfile.TemporaryDirectory(prefix="udaseg-") as folder:
        sample = Sample(stage, trains, Path(folder), shares)
        start = time.monotonic()
        try:
            with redirect_stderr(messages), redirect_stdout(io.StringIO()):
                run_sample(sample)
        except PlannedError:  # the messages say what it needs first
            print(messages.getvalue(), end="", file=sys.stderr)
            raise
        seconds = time.monotonic() - start
        files = (path for path in (Path(folder) / "out").rglob("*") if path.is_file())
        return Cost(seconds, sum(path.stat().st_size for path in files)), sample


def _peak_memory(gpus_before: dict[str, int]) -> tuple[int, int, int | None]:
    """Return the most bytes that this process ever held in memory and in tensors on a GPU, and its CUDA context's.

    The context is what the GPU has in use beyond the tensors and beyond what was in use before; None where nvidia-smi
    does not tell, 0 without a GPU.
    """
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    most = most if sys.platform == "darwin" else 1024 * most
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return most, 0, 0
    gpu = f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    gpus, context = _memory_in_use_of_gpus(), None
    if gpu in gpus_before and gpu in gpus:
        context = max(0, gpus[gpu] - gpus_before[gpu] - torch.cuda.memory_reserved())
    return most, torch.cuda.max_memory_reserved(), context


def _memory_in_use_of_gpus() -> dict[str, int]:
    """Return the bytes in use on each GPU, by its UUID; empty where there is no nvidia-smi, or it tells nothing."""
    query = ["nvidia-smi", "--query-gpu=uuid,memory.used", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run(query, capture_output=True, text=True, check=True, timeout=10).stdout
        rows = [line.split(", ") for line in text.splitlines()]
        return {uuid: int(mebibytes) << 20 for uuid, mebibytes in rows}
    except (OSError, ValueError, subprocess.SubprocessError):
        return {}
