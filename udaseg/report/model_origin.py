"""Where a model comes from: its run, the stages that made it, its scores and their bounds, and its first weights."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.io.documents.run_file import RunFile
from udaseg.io.weights_file import PACKAGE
from udaseg.models.encoders import weights_license
from udaseg.pipeline.manifest import digest
from udaseg.report.run_data import TRAINING, RunData, Stage, is_round, read_stages
from udaseg.report.scores import Score
from udaseg.report.seeds import lineage, seed, without_paths
from udaseg.toytown.world import SETTINGS

TOYTOWN = "toytown"  # the directory of the rendered world
DIGITS = 12  # of the digest


@dataclass(frozen=True)
class Scored:
    """The scores of an evaluation, and the dataset and the split that it scored."""

    metrics: Metrics
    dataset: str
    split: str


@dataclass(frozen=True)
class Origin:
    """What the run of a model says about it. Datasets are names; scores are those of this very model."""

    recipe: str | None
    scale: str | None
    seed: int | None
    stages: tuple[str, ...]  # those that the model depends on, the last is its own
    digest: str  # of their settings
    sources: tuple[str, ...]  # with labels
    targets: tuple[str, ...]  # without labels
    weights: str  # that the first training began with, in words
    licence: str | None  # of these
    scores: tuple[Scored, ...]
    lower: Scored | None  # the model trained on the source alone
    upper: Scored | None  # the model trained on the target's labels

    def scores_with_bounds(self) -> Iterator[tuple[str, Scored]]:
        """Yield a title and scores, from the lower bound to the upper one."""
        if self.lower is not None:
            yield "trained on the source alone (lower bound)", self.lower
        yield from (("**this model**", scored) for scored in self.scores)
        if self.upper is not None:
            yield "trained on the target's labels (upper bound)", self.upper

    def gap_closed(self) -> float | None:
        """Return the share of the gap between the bounds that the model closes; None where it is not known."""
        models = (self.lower, self.scores[0] if self.scores else None, self.upper)
        return Score("mIoU", *(None if one is None else one.metrics.miou for one in models)).gap_closed


def read_origin(model: Path) -> Origin | None:
    """Read where a `model.pt` comes from; None where it is not in a stage of a run. Raises UdasegError as a report."""
    folder = model.resolve().parent
    run = folder.parent.parent if is_round(folder.parent.name) else folder.parent
    if not (folder / "manifest.json").is_file():
        return None
    data = read_stages(run)
    own = next((stage for stage in data.stages if stage.folder and stage.folder.resolve() == folder), None)
    if own is None or own.manifest is None or own.kind not in TRAINING:
        return None
    makers = lineage(data, own)
    run_file = read_document(run / RunFile.file, RunFile)
    sections = [stage.manifest.settings for stage in makers if stage.manifest]
    first = next((settings["model"] for settings in sections if "model" in settings), {})
    layout = f"{TOYTOWN} (in the layout of {{}})" if _is_rendered(makers) else "{}"
    scores = tuple(_scores_of(model, data))
    mine = [scored.metrics for scored in scores]
    bounds = [_bound(data, role, mine) for role in ("source", "oracle")]
    return Origin(
        Path(run_file.recipe).stem if run_file else None,
        run_file.scale if run_file else None,
        seed(data),
        tuple(stage.name for stage in makers),
        _digest(makers),
        tuple(dict.fromkeys(layout.format(name) for settings in sections for name in _sources(settings))),
        tuple(dict.fromkeys(layout.format(name) for settings in sections for name in _targets(settings))),
        _weights(first),
        _licence(first),
        scores,
        *bounds,
    )


def _scores_of(model: Path, data: RunData) -> Iterator[Scored]:
    """Yield the scores of the evaluations that read this very file."""
    own = digest(model)
    for stage in data.stages:
        read = stage.manifest.inputs.get("model") if stage.manifest else None
        if read is not None and read.digest == own and isinstance(stage.result, Metrics) and stage.result.miou:
            yield _scored(stage)


def _bound(data: RunData, role: str, mine: Sequence[Metrics]) -> Scored | None:
    stage = data.evaluation(role)
    if stage is None or not isinstance(stage.result, Metrics) or stage.result.miou is None or stage.result in mine:
        return None
    return _scored(stage)


def _scored(stage: Stage) -> Scored:
    assert stage.manifest is not None
    assert isinstance(stage.result, Metrics)
    target = stage.manifest.settings.get("target", {})
    dataset = TOYTOWN if _is_rendered([stage]) else target.get("dataset", "unknown")
    return Scored(stage.result, dataset, target.get("val", target.get("split", "unknown")))


def _is_rendered(stages: Sequence[Stage]) -> bool:
    """Tell whether stages read toytown, which has the layouts of real datasets."""
    return any(_is_of_toytown(Path(path)) for stage in stages for path in stage.inputs.values())


def _is_of_toytown(path: Path) -> bool:
    """Tell it by toytown's own file beside the dataset; where the dataset is no longer there, by its path."""
    return (path.parent / SETTINGS).is_file() or (TOYTOWN in path.parts and not path.exists())


def _digest(stages: Sequence[Stage]) -> str:
    settings = {stage.name: without_paths(stage.manifest.settings) for stage in stages if stage.manifest}
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:DIGITS]


def _sources(settings: dict[str, Any]) -> list[str]:
    sections = [settings.get("source", {}), *settings.get("sources", {}).values()]
    return [section["dataset"] for section in sections if isinstance(section, dict) and "dataset" in section]


def _targets(settings: dict[str, Any]) -> list[str]:
    return [settings["target"]["dataset"]] if "dataset" in settings.get("target", {}) else []


def _weights(model: dict[str, Any]) -> str:
    value, encoder = model.get("weights", "none"), model.get("encoder") or model.get("backbone")
    if value == "none":
        return "random weights"
    if value == "imagenet":
        return f"the ImageNet weights of `{encoder}`"
    if value.startswith(PACKAGE):
        return f"the weights in the package `{value.removeprefix(PACKAGE)}`"
    return f"the weights file `{Path(value).name}`"


def _licence(model: dict[str, Any]) -> str | None:
    value = model.get("weights", "none")
    if value == "none":
        return "none is needed"
    if value == "imagenet":
        return weights_license(model.get("encoder") or model["backbone"])
    return _package_licence(value.removeprefix(PACKAGE)) if value.startswith(PACKAGE) else None


def _package_licence(package: str) -> str | None:
    """Return the licence that an installed package names in one of the three ways there are; None where it does not."""
    try:
        about = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    classified = [line.rpartition(" :: ")[2] for line in about.get_all("Classifier", []) if line.startswith("License")]
    named = [about.get("License-Expression"), about.get("License"), *classified]
    return next((name for name in named if name and name != "UNKNOWN"), None)
