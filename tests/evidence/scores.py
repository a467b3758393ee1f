"""The score of a row with one seed, read from its run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.io.files import read_json
from udaseg.pipeline import chain
from udaseg.pipeline.manifest import read_manifest
from udaseg.pipeline.run import Run

from .run_row import RECORD, evaluation_folder


@dataclass(frozen=True)
class Score:
    """The result of a row with one seed. IoU are fractions by class, None for a class that occurs nowhere."""

    row: str
    seed: int
    miou: float
    iou: Mapping[str, float | None]
    seconds: float  # of all trainings that its model comes from
    commit: str
    digest: str  # of its recipe


def read_score(row: str, run: Run) -> Score:
    """Read the score of a row that `run_row` has finished."""
    metrics = read_document(evaluation_folder(run) / Metrics.file, Metrics, "run the row again")
    record = read_json(run.folder / RECORD, "run the row again")
    assert metrics is not None
    assert metrics.miou is not None
    assert record is not None
    trainings = [read_manifest(run.folder / step.label) for step in chain.steps(run) if step.stage.trains]
    seconds = sum(one["seconds"] for one in trainings if one is not None)
    iou = dict(zip(metrics.classes, metrics.iou, strict=True))
    return Score(row, run.recipe.seed, metrics.miou, iou, seconds, record["commit"], record["digest"])


def rarest(classes: list[str], pixels: list[int], count: int = 5) -> dict[str, float]:
    """Return the classes with the smallest shares of the source's labelled pixels, the rarest first, with the shares.

    A class without a pixel is left out: no network learns it.
    """
    total = sum(pixels)
    present = sorted((number, name) for name, number in zip(classes, pixels, strict=True) if number)
    return {name: number / total for number, name in present[:count]}


def run_folder(runs: Path, pair: str, table: str, seed: int, row: str) -> Path:
    """Return the directory of a row's run with one seed; `row` is the name of its directory."""
    return runs / pair / table / f"seed{seed}" / row
