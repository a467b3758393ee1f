"""Read what a run has on disk: the stages, their manifests, results, logs and images."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.files import read_json
from udaseg.pipeline.manifest import digest
from udaseg.pipeline.swap import REPLACED, WORKING, partial_folder, settle
from udaseg.report.denoising import Denoising, PseudoPanel, Truth, denoising, pseudo_panels
from udaseg.report.mixtures import Mixtures, read_mixtures
from udaseg.report.panels import Panel, label_palette, panels
from udaseg.report.priors import PriorMap, read_priors
from udaseg.report.results import RESULTS, read_log, read_result

# The stages of the flagship chain, by directory, in the order in which they are run.
CHAIN = (
    *("stylize", "warmup", "predict", "pseudolabel", "refine", "prototypes", "gmm", "retrain"),
    *("evaluate-warmup", "evaluate"),
)
TRAINING = ("pretrain", "warmup", "retrain", "distill")
KINDS = tuple(dict.fromkeys(name.split("-")[0] for name in (*CHAIN, *TRAINING)))
ROLES = ("source", "adapted", "oracle")


@dataclass(frozen=True)
class Stage:
    """One stage directory. `manifest` is None while the stage is unfinished; only its log is read then."""

    name: str  # the directory below the run: "retrain", "round2/retrain"
    round: int  # 0 outside the rounds
    manifest: Mapping[str, Any] | None
    result: Mapping[str, Any] | None = None  # metrics.json, thresholds.json or refine.json
    log: tuple[Mapping[str, Any], ...] = ()
    folder: Path | None = None  # where it lies

    @property
    def leaf(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def kind(self) -> str:
        return self.leaf.split("-")[0]

    @property
    def skipped(self) -> str | None:
        metrics = (self.manifest or {}).get("metrics")
        reason = metrics.get("skipped") if isinstance(metrics, dict) else None
        return None if reason is None else str(reason)


@dataclass(frozen=True)
class RunData:
    """All that the report shows of one run, in memory."""

    name: str
    path: Path
    stages: tuple[Stage, ...]  # in the order in which they started
    missing: tuple[str, ...]  # stages of the chain that have no directory
    palette: tuple[tuple[int, int, int], ...] | None = None  # of the label images, where there are any
    panels: tuple[Panel, ...] = ()
    pseudo_panels: tuple[PseudoPanel, ...] = ()
    denoising: Denoising | None = None
    mixtures: Mixtures | None = None
    priors: tuple[PriorMap, ...] = ()
    bounds: Mapping[str, Stage] = field(default_factory=dict)  # evaluations of other runs, by role

    def last(self, leaf: str) -> Stage | None:
        """Return the finished stage of that directory name from the latest round, or None."""
        found = [stage for stage in self.stages if stage.leaf == leaf and stage.manifest and not stage.skipped]
        return max(found, key=lambda stage: stage.round, default=None)

    @property
    def aligned(self) -> bool:
        """Tell whether the warm-up looked at target images: what it made is no source-only model then."""
        warmup = self.last("warmup")
        return warmup is not None and "target" in (warmup.manifest.get("inputs") or {})

    def evaluation(self, role: str) -> Stage | None:
        """Return the finished evaluation of the model in a role, `source` (only), `adapted` or `oracle`, or None.

        Where nothing follows a warm-up that looked at the target, or that had a phase on the source alone before it,
        its model is the adapted one. A bound that was given from another run goes before the run's own.
        """
        if role in self.bounds:
            return self.bounds[role]
        alone, start, end = map(self.last, ("evaluate-pretrain", "evaluate-warmup", "evaluate"))
        start_is_end = end is None and (self.aligned or alone is not None)
        return {
            "source": alone or (None if start_is_end else start),
            "adapted": start if start_is_end else end,
            "oracle": self.last("evaluate-oracle"),
        }[role]


def collect(
    run: Path,
    images: Mapping[str, Path] | None = None,
    chain: Sequence[str] | None = None,
    *,
    truth: Truth | None = None,
    bounds: Mapping[str, Path] | None = None,
) -> RunData:
    """Gather a run for the report.

    `images` maps stems to the target images that the pseudo-labels belong to; without it the pseudo-labels
    are shown alone. `truth` gives their true labels, which pseudo-labels are scored by. `chain` lists the directories
    the recipe should have; the flagship's when absent. `bounds` maps roles, `source` and `oracle`, to runs, or
    evaluations in them, that this one is read against. Missing and unfinished stages are named, not errors. Raises
    UdasegError, naming the file, for a run that does not exist, JSON that does not parse, or results whose lists do
    not fit their classes.
    """
    run = Path(run)
    others = {role: _named_by_place(last_evaluation(place)[1]) for role, place in (bounds or {}).items()}
    data = replace(read_stages(run), bounds=others)
    names = {name for stage in data.stages for name in (stage.name, stage.leaf)}
    missing = tuple(name for name in (CHAIN if chain is None else chain) if name not in {*names, "report"})

    def folder_of(stage: Stage | None) -> Path | None:
        return stage.folder if stage else None

    pseudo = data.last("pseudolabel")
    stages = pseudo, _refined(data, pseudo)
    labels = [folder / "labels" if (folder := folder_of(stage)) else None for stage in stages]
    classes = next((len(stage.result["classes"]) for stage in stages if stage), 0)
    gmm, prior = folder_of(data.last("gmm")), folder_of(data.last("prior"))
    return replace(
        data,
        missing=missing,
        palette=label_palette(labels),
        panels=panels([folder_of(data.evaluation("source")), folder_of(data.evaluation("adapted"))]),
        pseudo_panels=pseudo_panels(*labels, images or {}, truth, _predictions(pseudo)),
        denoising=denoising(*labels, classes, truth),
        mixtures=read_mixtures(gmm / "gmm.h5") if gmm else None,
        priors=read_priors(prior / "prior.h5") if prior else (),
    )


def _refined(data: RunData, pseudo: Stage | None) -> Stage | None:
    """Find the refinement of the labels that are shown: an earlier round's is not theirs, nor one of other labels."""
    stage = data.last("refine")
    if stage is None or pseudo is None:
        return stage
    read = ((stage.manifest or {}).get("inputs") or {}).get("labels")
    of_others = read and pseudo.folder and read.get("digest") != digest(pseudo.folder / "labels")
    return None if stage.round != pseudo.round or of_others else stage


def _predictions(pseudo: Stage | None) -> Path | None:
    """Find the scores that pseudo-labels were chosen by, where they still lie there."""
    given = ((pseudo.manifest if pseudo else {}).get("inputs") or {}).get("predictions")
    return Path(str(given.get("path"))) if given else None


def last_evaluation(path: Path) -> tuple[RunData, Stage]:
    """Read a run, or the run of the evaluation that is named, and find the evaluation it came to.

    Raises UdasegError where nothing is evaluated there.
    """
    named = path.name if (path / "metrics.json").is_file() else None
    folder = path.parent if named else path
    stages = read_stages(folder)
    stage = stages.last(named) if named else stages.evaluation("adapted") or stages.evaluation("source")
    if stage is None or stage.result is None:
        raise UdasegError(f"{path} has no finished evaluation", f"run first: udaseg evaluate --run {folder}")
    return stages, stage


def _named_by_place(stage: Stage) -> Stage:
    return replace(stage, name=str(stage.folder))


def read_stages(run: Path) -> RunData:
    """Read the stages of a run, without its images. Raises UdasegError as `collect` does."""
    folders = _stage_folders(run)
    if not folders:
        found = "the directory holds no stage" if run.is_dir() else "there is no such directory"
        raise UdasegError(f"cannot report on {run}: {found}", "give a run directory, for example runs/demo")
    return RunData(run.resolve().name, run, _in_order([_read_stage(run, folder) for folder in folders]), ())


def _stage_folders(run: Path) -> list[Path]:
    rounds = sorted(run.glob("round*"), key=lambda path: _round(path.name))
    parents = [run, *(path for path in rounds if _round(path.name))]
    children = [child for parent in parents if parent.is_dir() for child in sorted(parent.iterdir()) if child.is_dir()]
    # A stage that has not finished yet has a partial directory alone.
    names = {child.with_name(child.name.removesuffix(WORKING).removesuffix(REPLACED)) for child in children}
    # The page does not report on itself.
    folders = [folder for folder in sorted(names) if folder.name != "report"]
    return [f for f in folders if f.name.split("-")[0] in KINDS or (settle(f) / "manifest.json").is_file()]


def _round(name: str) -> int:
    match = re.fullmatch(r"round(\d+)", name)
    return int(match[1]) if match else 0


def _read_stage(run: Path, folder: Path) -> Stage:
    name = folder.relative_to(run).as_posix()
    number = _round(folder.parent.name) if "/" in name else 0
    folder = settle(folder)
    if not (folder / "manifest.json").exists() and partial_folder(folder).is_dir():
        folder = partial_folder(folder)
    stage = Stage(name, number, read_json(folder / "manifest.json"), folder=folder)
    if stage.manifest and not stage.skipped and stage.kind in RESULTS:
        stage = replace(stage, result=read_result(folder, stage.kind))
    log = folder / "log.jsonl"
    if stage.kind in TRAINING and log.exists():
        stage = replace(stage, log=read_log(log, finished=stage.manifest is not None))
    return stage


def _in_order(stages: list[Stage]) -> tuple[Stage, ...]:
    """Sort by the start (ISO 8601, so as text) where every manifest gives one, else as the flagship's chain."""

    def planned(stage: Stage) -> tuple:
        return stage.round, CHAIN.index(stage.leaf) if stage.leaf in CHAIN else len(CHAIN), stage.name

    # An unfinished stage has no start yet: it comes after those that have ended.
    done = sorted((stage for stage in stages if stage.manifest), key=planned)
    if all(isinstance(stage.manifest.get("started"), str) for stage in done):
        done.sort(key=lambda stage: stage.manifest["started"])
    return (*done, *sorted((stage for stage in stages if not stage.manifest), key=planned))
