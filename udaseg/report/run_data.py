"""Read a run from disk: its stages with their manifests, results, logs and images."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.documents.log_lines import read_log
from udaseg.io.documents.manifest import Manifest
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.pipeline.manifest import digest
from udaseg.pipeline.swap import REPLACED, WORKING, partial_folder, settle
from udaseg.report.calibration import Reliability, pseudo_label_reliability
from udaseg.report.denoising import Denoising, PseudoPanel, Truth, denoising, pseudo_panels
from udaseg.report.feature_space import FeatureSpace
from udaseg.report.image_panels import Panel, label_palette, panels
from udaseg.report.prior_maps import PriorMap, prior_maps
from udaseg.report.stage_results import RESULTS, Result, read_result, rerun_hint
from udaseg.statistics import gmm, spatial_prior
from udaseg.statistics.gmm import Gmm

# The stages of the flagship chain, by directory, in the order in which they are run.
CHAIN = (
    *("stylize", "warmup", "predict", "pseudolabel", "refine", "prototypes", "gmm", "retrain"),
    *("evaluate-warmup", "evaluate"),
)
TRAINING = ("pretrain", "warmup", "retrain", "distill", "redistill")
STAGE_KINDS = tuple(dict.fromkeys(name.split("-")[0] for name in (*CHAIN, *TRAINING)))
ROLES = ("source", "adapted", "oracle")


@dataclass(frozen=True)
class Stage:
    """A stage directory. `manifest` is None while the stage is unfinished; only its log is read then."""

    name: str  # the directory below the run: "retrain", "round2/retrain"
    round: int  # 0 outside the rounds
    manifest: Manifest | None
    result: Result | None = None
    log: tuple[Mapping[str, Any], ...] = ()
    folder: Path | None = None

    @property
    def leaf(self) -> str:
        return self.name.rpartition("/")[2]

    @property
    def kind(self) -> str:
        return self.leaf.split("-")[0]

    @property
    def skipped(self) -> str | None:
        """Return why the stage did nothing; None where it did its work."""
        reason = self.manifest.metrics.get("skipped") if self.manifest else None
        return None if reason is None else str(reason)

    @property
    def inputs(self) -> dict[str, str]:
        """Return the paths that the stage has read, by name; none while it is unfinished."""
        return {name: record.path for name, record in self.manifest.inputs.items()} if self.manifest else {}

    @property
    def warnings(self) -> list[str]:
        return self.manifest.warnings if self.manifest else []


@dataclass(frozen=True)
class RunData:
    """What the report shows of one run, in memory."""

    name: str
    path: Path
    stages: tuple[Stage, ...]  # in the order in which they started
    missing: tuple[str, ...]  # stages of the chain that have no directory
    palette: tuple[tuple[int, int, int], ...] | None = None  # of the label images, where there are any
    panels: tuple[Panel, ...] = ()
    pseudo_panels: tuple[PseudoPanel, ...] = ()
    denoising: Denoising | None = None
    gmm: Gmm | None = None
    priors: tuple[PriorMap, ...] = ()
    bounds: Mapping[str, Stage] = field(default_factory=dict)  # evaluations of other runs, by role
    features: FeatureSpace | str = "the images of the domains were not given to this page"  # or why there is none
    unread: Mapping[str, str] = field(default_factory=dict)  # what is wrong with datasets that are there
    # Of all predictions on target training images, and of the pseudo-labels; None without their true labels.
    pseudo_reliability: tuple[Reliability, Reliability] | None = None

    def last(self, leaf: str) -> Stage | None:
        """Return the finished stage of that directory name from the latest round, or None."""
        finished = [stage for stage in self.stages if stage.leaf == leaf and stage.manifest and not stage.skipped]
        return max(finished, key=lambda stage: stage.round, default=None)

    @property
    def models(self) -> list[tuple[str, Path]]:
        """Return the model of the first training and that of the last, each with its stage; one alone where it is both.

        Only models that are still there count.
        """
        trained = [stage for kind in TRAINING if (stage := self.last(kind)) and (stage.folder / "model.pt").is_file()]
        return list({one.name: one.folder / "model.pt" for one in (*trained[:1], *trained[-1:])}.items())

    @property
    def is_warmup_aligned(self) -> bool:
        """Tell whether the warm-up read target images: its model is no source-only model then."""
        warmup = self.last("warmup")
        return warmup is not None and "target" in warmup.inputs

    def evaluation(self, role: str) -> Stage | None:
        """Return the finished evaluation of the model in a role, `source` (only), `adapted` or `oracle`, or None.

        The warm-up's model is the adapted one where no later model is evaluated, and either the warm-up read target
        images or a phase on the source alone came before it. A bound from another run replaces the run's own.
        """
        if role in self.bounds:
            return self.bounds[role]
        alone, start, end = map(self.last, ("evaluate-pretrain", "evaluate-warmup", "evaluate"))
        start_is_end = end is None and (self.is_warmup_aligned or alone is not None)
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

    `images` maps stems to the target images of the pseudo-labels; without it the pseudo-labels are shown alone.
    `truth` reads their true labels, by which pseudo-labels are scored. `chain` lists the stage directories of the
    recipe; the flagship's when absent. `bounds` maps the roles `source` and `oracle` to other runs, or evaluations in
    them. Missing and unfinished stages are listed and are no errors. Raises UdasegError, with the file, for a run that
    does not exist and for damaged files.
    """
    run = Path(run)
    others = {role: _with_full_name(last_evaluation(path)[1]) for role, path in (bounds or {}).items()}
    data = replace(read_stages(run), bounds=others)
    names = {name for stage in data.stages for name in (stage.name, stage.leaf)}
    missing = tuple(name for name in (CHAIN if chain is None else chain) if name not in {*names, "report"})

    def folder_of(stage: Stage | None) -> Path | None:
        return stage.folder if stage else None

    pseudo = data.last("pseudolabel")
    stages = pseudo, _refined(data, pseudo)
    labels = [folder / "labels" if (folder := folder_of(stage)) else None for stage in stages]
    classes = next((len(stage.result.classes) for stage in stages if stage), 0)
    gmm_folder, prior_folder = folder_of(data.last("gmm")), folder_of(data.last("prior"))
    return replace(
        data,
        missing=missing,
        palette=label_palette(labels),
        panels=panels([folder_of(data.evaluation("source")), folder_of(data.evaluation("adapted"))]),
        pseudo_panels=pseudo_panels(*labels, images or {}, truth, _predictions(pseudo)),
        denoising=denoising(*labels, classes, truth),
        gmm=gmm.read(gmm_folder / "gmm.h5") if gmm_folder else None,
        pseudo_reliability=pseudo_label_reliability(labels[0], _predictions(pseudo), truth),
        priors=prior_maps(spatial_prior.read(prior_folder / "prior.h5")) if prior_folder else (),
    )


def _refined(data: RunData, pseudo: Stage | None) -> Stage | None:
    """Return the refinement of these pseudo-labels: not that of an earlier round or of other labels."""
    stage = data.last("refine")
    if stage is None or pseudo is None:
        return stage
    labels = stage.manifest.inputs.get("labels")
    is_other = labels and pseudo.folder and labels.digest != digest(pseudo.folder / "labels")
    return None if stage.round != pseudo.round or is_other else stage


def _predictions(pseudo: Stage | None) -> Path | None:
    """Return the path of the predictions that pseudo-labels were chosen by; None where it is not known."""
    path = pseudo.inputs.get("predictions") if pseudo else None
    return Path(path) if path else None


def last_evaluation(path: Path) -> tuple[RunData, Stage]:
    """Read a run and return it with its last evaluation, or with the evaluation that the path names.

    Raises UdasegError where there is no finished evaluation.
    """
    name = path.name if (path / Metrics.file).is_file() else None
    folder = path.parent if name else path
    stages = read_stages(folder)
    stage = stages.last(name) if name else stages.evaluation("adapted") or stages.evaluation("source")
    if stage is None or not isinstance(stage.result, Metrics):
        command = ["udaseg", "evaluate", "--run", str(folder)]
        raise UdasegError(f"{path} has no finished evaluation", f"run first: {shlex.join(command)}")
    return stages, stage


def _with_full_name(stage: Stage) -> Stage:
    return replace(stage, name=str(stage.folder))


def read_stages(run: Path) -> RunData:
    """Read the stages of a run, without its images. Raises UdasegError as `collect` does."""
    folders = _stage_folders(run)
    if not folders:
        reason = "the directory holds no stage" if run.is_dir() else "there is no such directory"
        raise UdasegError(f"cannot report on {run}: {reason}", "give a run directory, for example runs/demo")
    return RunData(run.resolve().name, run, _in_order([_read_stage(run, folder) for folder in folders]), ())


def _stage_folders(run: Path) -> list[Path]:
    rounds = sorted(run.glob("round*"), key=lambda path: _round(path.name))
    parents = [run, *(path for path in rounds if _round(path.name))]
    children = [child for parent in parents if parent.is_dir() for child in sorted(parent.iterdir()) if child.is_dir()]
    # A stage that has not finished yet has a partial directory alone.
    names = {child.with_name(child.name.removesuffix(WORKING).removesuffix(REPLACED)) for child in children}
    # The page does not report on itself.
    folders = [folder for folder in sorted(names) if folder.name != "report"]
    return [f for f in folders if f.name.split("-")[0] in STAGE_KINDS or (settle(f) / "manifest.json").is_file()]


def is_round(name: str) -> bool:
    """Tell whether a directory of that name in a run holds the stages of a round."""
    return _round(name) > 0


def _round(name: str) -> int:
    match = re.fullmatch(r"round(\d+)", name)
    return int(match[1]) if match else 0


def _read_stage(run: Path, folder: Path) -> Stage:
    name = folder.relative_to(run).as_posix()
    number = _round(folder.parent.name) if "/" in name else 0
    folder = settle(folder)
    if not (folder / Manifest.file).exists() and partial_folder(folder).is_dir():
        folder = partial_folder(folder)
    manifest = read_document(folder / Manifest.file, Manifest, rerun_hint(folder))
    stage = Stage(name, number, manifest, folder=folder)
    if stage.manifest and not stage.skipped and stage.kind in RESULTS:
        stage = replace(stage, result=read_result(folder, stage.kind))
    log = folder / "log.jsonl"
    if stage.kind in TRAINING and log.exists():
        stage = replace(stage, log=tuple(read_log(log, rerun_hint(folder), torn=stage.manifest is None)))
    return stage


def _in_order(stages: list[Stage]) -> tuple[Stage, ...]:
    """Sort finished stages by their start, which ISO 8601 allows as text; unfinished ones follow in chain order."""

    def planned(stage: Stage) -> tuple:
        return stage.round, CHAIN.index(stage.leaf) if stage.leaf in CHAIN else len(CHAIN), stage.name

    done = sorted((stage for stage in stages if stage.manifest), key=planned)
    done.sort(key=lambda stage: stage.manifest.started)
    return (*done, *sorted((stage for stage in stages if not stage.manifest), key=planned))
