"""udaseg report: one page about a run, or about several side by side."""

import filecmp
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.pipeline import datasets
from udaseg.pipeline.data_at_hand import inputs_at_hand, why_unread
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.inputs import digest_input
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import InputDigest, Job, digest
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Stage
from udaseg.pipeline.swap import stage_folders
from udaseg.pipeline.work import Work

from .terminal.command import run_command
from .terminal.options import setting_option
from .terminal.result import print_result
from .terminal.tables import percent, read_metrics, scores_table

if TYPE_CHECKING:
    import numpy as np

    from udaseg.report import RunData
    from udaseg.report.feature_pass import Domain
    from udaseg.report.feature_space import FeatureSpace

PAGE = "report.html"
ImagesOption = setting_option("report.images")[1]
READ = ("target", datasets.TARGET_TRUTH, "source", "val")  # the first two are for pseudo-labels
BOUNDS = {"source": "source_only", "oracle": "oracle"}  # of a run, and the inputs that name them


def job(run: Run) -> Job:
    """Plan the page of one run."""
    return _plan([run], run.output_folder("report"), {})


def _plan(runs: Sequence[Run], out: Path, bounds: dict[str, list[Path]]) -> Job:
    inputs: dict[str, InputDigest] = {}
    for run in runs:
        # The page reports neither on itself nor on the page of the run alone.
        stages = [folder for folder in stage_folders(run.folder) if folder not in (out, run.folder / "report")]
        if not stages:
            raise UdasegError(f"{run.folder} holds no finished stage to report on", "run a stage first, or name a run")
        for stage in stages:
            name = stage.relative_to(run.folder) if len(runs) == 1 else stage
            # Files of a stage may have been taken away since, and its manifest still be there.
            state = f"{digest(stage / 'manifest.json')} {digest(stage)}"
            inputs[str(name)] = InputDigest(str(stage), state)
        # Whichever data are there: a page that was made without them is made again.
        images = inputs_at_hand(run, READ if run.recipe.report.images else READ[:2])
        inputs |= {name if len(runs) == 1 else f"{name} of {run.folder}": one for name, one in images.items()}
    for role, paths in bounds.items():
        for path in paths:
            inputs[f"{role} {path}"] = digest_input(_evaluation(path) / "metrics.json")
    settings = [{"chain": run.recipe.chain} | _settings(run) for run in runs]
    return Job("report", out, settings[0] if len(runs) == 1 else {"runs": settings}, inputs)


def _settings(run: Run) -> dict[str, Any]:
    return {"report": run.recipe.report.identity(), "evaluate": run.recipe.evaluate.identity()}


def _evaluation(path: Path) -> Path:
    """Return the last evaluation of a run, or the one that a path names."""
    from udaseg.report.run_data import last_evaluation

    return last_evaluation(path)[1].folder


def _look(run: Run, name: str, unread: dict[str, str]) -> Any:
    """Open a dataset where it is there, else return None; log and add to `unread` why one cannot be read."""
    images = datasets.try_open(run, name)
    error = why_unread(run, name) if images is None else None
    if error is not None:
        unread[name] = error.message
        log(f"report: {run.folder}: {name} cannot be read: {error.message}; {error.hint}")
    return images


def _true_labels(run: Run, unread: dict[str, str]) -> "Callable[[str], np.ndarray | None] | None":
    """Return a reader of the true labels of the target's training images; None where they are not there."""
    labelled = _look(run, datasets.TARGET_TRUTH, unread)
    if labelled is None:
        return None
    indices = {record.stem: i for i, record in enumerate(labelled.records)}
    return lambda stem: labelled.label(indices[stem]) if stem in indices else None


def _collect(work: Work, run: Run, bounds: dict[str, Path]) -> "RunData":
    from udaseg.report import collect

    unread: dict[str, str] = {}  # what is wrong with datasets that are there
    target = _look(run, "target", unread)
    if target is None and "target" not in unread:
        log(f"report: the target of {run.folder} is not in {run.recipe.data}: its images are left out")
    images = {record.stem: record.image for record in target.records} if target else {}
    chain = [name for name in run.recipe.chain if name != "report"]
    data = collect(run.folder, images, chain, truth=_true_labels(run, unread), bounds=bounds)
    features = _features(work, run, data, unread)
    if isinstance(features, str):
        log(f"report: {run.folder}: no feature space: {features}")
    return replace(data, features=features, unread=unread)


def _features(work: Work, run: Run, data: "RunData", unread: dict[str, str]) -> "FeatureSpace | str":
    """Return a sample of both domains in the first and the last network of a run, or why there is none."""
    from udaseg.report.feature_space import feature_space

    recipe, images = run.recipe, run.recipe.report.images
    if not images:
        return "report.images is 0"
    if not data.models:
        return "no training of this run has its model.pt"
    source = _domain(run, "source", unread)
    target = _domain(run, "val", unread) or _domain(run, "target", unread)
    if source is None or target is None:
        name = "source" if source is None else "target"
        return unread.get(name, f"the images of the {name} are not in {recipe.data}")
    source, target, classes = source.sample(images), target.sample(images), datasets.class_space(run).classes
    try:
        return feature_space(data.models, source, target, classes, recipe.evaluate, work.progress("passes and maps"))
    except UdasegError as error:
        return f"{error.message}; {error.hint}"


def _domain(run: Run, name: str, unread: dict[str, str]) -> "Domain | None":
    from udaseg.data.sources import split_view
    from udaseg.report.feature_pass import Domain

    images = _look(run, name, unread)
    if images is None:
        return None
    size = run.recipe.evaluate.size if name == "val" else None
    views = split_view(datasets.view_of(run, "report", name, images, size)).values()
    return Domain(tuple(views), is_labelled=name != "target")


def _bounds_of(run: Run, bounds: dict[str, list[Path]]) -> dict[str, Path]:
    """Choose, of the bounds that were given for several seeds, those of the run's seed."""
    from udaseg.report.compare import read_run
    from udaseg.report.run_data import read_stages
    from udaseg.report.seeds import seed

    chosen, run_seed = {}, seed(read_stages(run.folder))
    for role, paths in bounds.items():
        same_seed = paths if len(paths) == 1 else [path for path in paths if read_run(path).seed == run_seed]
        if len(same_seed) != 1:
            flag = BOUNDS[role].replace("_", "-")
            raise UdasegError(
                f"{len(same_seed)} of the {len(paths)} runs given with --{flag} are of seed {run_seed}, that of "
                f"{run.folder}",
                f"give one --{flag}, or one for each seed",
            )
        chosen[role] = same_seed[0]
    return chosen


def run(work: Work) -> None:
    """Write one self-contained page about a run."""
    _write(work, [work.run], {})


def _write(work: Work, runs: Sequence[Run], bounds: dict[str, list[Path]]) -> None:
    from udaseg.report import save

    save([_collect(work, run, _bounds_of(run, bounds)) for run in runs], work.out / PAGE)


def show(run: Run, job: Job) -> None:
    """Put the page of a run where it is looked for, and print the scores."""
    if run.dry_run:
        return
    page = job.out / PAGE if run.out else _copy_to_run(run, job.out / PAGE)
    scores = _scores(run)
    if scores:
        last = scores[0]
        print_result(run, last, scores_table(scores[-1] if len(scores) > 1 else None, last))
        log(f"report: mIoU {percent(last['miou'])}; the page is {page}")
    else:
        log(f"report: the page is {page}")


def _copy_to_run(run: Run, written: Path) -> Path:
    page = run.folder / PAGE
    if not (page.is_file() and filecmp.cmp(page, written, shallow=False)):
        with atomic(page) as temporary:
            shutil.copyfile(written, temporary)
    return page


def _scores(run: Run) -> list[dict[str, Any]]:
    """Read the scores of a run, the last first."""
    names = ("evaluate", "evaluate-warmup", "evaluate-pretrain")
    return [metrics for metrics in (read_metrics(run.stage_folder(name)) for name in names) if metrics]


def _show_all(runs: Sequence[Run], page: Path) -> None:
    scores = {str(run.folder): last[0] for run in runs if (last := _scores(run))}
    if runs[0].json:
        print_result(runs[0], {"page": str(page), "runs": scores})
    means = {name: metrics["miou"] for name, metrics in scores.items() if metrics["miou"] is not None}
    best = max(means, key=means.__getitem__, default=None)
    score = f"the best mIoU is {percent(means[best])}, of {best}; " if best else ""
    log(f"report: {len(runs)} runs side by side; {score}the page is {page}")


stage = Stage("report", run, results=True, job=job, after=show)


@run_command
def command(
    open_run,
    runs: Annotated[
        list[Path] | None, typer.Argument(help="Runs to show side by side; default: the one of --run.")
    ] = None,
    source_only: Annotated[
        list[Path] | None, typer.Option(help="A run whose score is the lower bound; again for each seed.")
    ] = None,
    oracle: Annotated[
        list[Path] | None, typer.Option(help="A run whose score is the upper bound; again for each seed.")
    ] = None,
    images: ImagesOption = None,
) -> None:
    """Write one self-contained page about a run, or several side by side: scores, curves, images, lineage.

    Example: udaseg report runs/a runs/b --oracle runs/oracle
    """
    changes = {"report.images": images}
    opened = [open_run(changes, run=path) for path in runs] if runs else [open_run(changes)]
    bounds = {role: paths for role, paths in (("source", source_only), ("oracle", oracle)) if paths}
    if len({run.folder.resolve() for run in opened}) < len(opened):
        raise UdasegError("a run is named twice", "name each run once")
    first = opened[0]
    together = first.folder.parent / "report"
    out = first.out or (first.stage_folder("report") if len(opened) == 1 else together)
    planned = _plan(opened, out, bounds)
    with open_work(first, planned, prints_results=True) as work:
        if work is not None:
            _write(work, opened, bounds)
    if len(opened) == 1:
        show(first, planned)
    elif not first.dry_run:
        _show_all(opened, out / PAGE)
