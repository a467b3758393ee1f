"""udaseg evaluate: score a model on the labelled split of the target."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.config import Recipe
from udaseg.errors import UdasegError
from udaseg.inference.last_models import earlier_models
from udaseg.pipeline import datasets
from udaseg.pipeline.chain import final_training_stage, last_trained_stage
from udaseg.pipeline.common_inputs import LABEL_SUFFIX, label_names
from udaseg.pipeline.engine import run_stage
from udaseg.pipeline.inputs import digest_input, find_flagged, input_path, refuse_flags
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import Job, read_manifest
from udaseg.pipeline.run import Run, command_of
from udaseg.pipeline.stage import Input, Stage, StageFile
from udaseg.pipeline.work import Work

from .terminal.command import run_command
from .terminal.options import (
    AverageOption,
    FlipOption,
    ModelOption,
    ScalesOption,
    WindowOption,
    WindowStrideOption,
    parse_size,
    setting_option,
    view_changes,
)
from .terminal.result import print_result
from .terminal.tables import depth_table, percent, read_metrics, scores_table

LabelSuffixOption = setting_option(*LABEL_SUFFIX)[1]
# The evaluations whose scores are shown beside those of a stage, the first that is there.
PREDICTIONS = "predictions.h5"
BASELINES = {"evaluate": ("evaluate-pretrain", "evaluate-warmup"), "evaluate-warmup": ("evaluate-pretrain",)}


def job(run: Run) -> Job:
    """Plan the scores of stored predictions where a flag names them, else of a model."""
    recipe, predictions = run.recipe, _predictions_path(run)
    model = _model_path(run) if predictions is None else predictions
    val = datasets.inputs_of(run, "val")["val"]
    if predictions is not None:
        settings = {
            "space": recipe.space,
            "target": recipe.target.model_dump(include={"dataset", "val"}),
            "evaluate": {"average": recipe.evaluate.average},
            **label_names(recipe),
        }
        if recipe.evaluate.gt_size is not None:
            settings["evaluate"]["gt_size"], settings["target"]["pad"] = recipe.evaluate.gt_size, recipe.target.pad
        name = (predictions if predictions.is_dir() else predictions.resolve().parent).name
        out = run.out or run.stage_folder(f"evaluate-{name}")
        return Job("evaluate", out, settings, {"predictions": digest_input(predictions), "val": val})
    out = run.out or _folder(run, model)
    inputs = {"model": digest_input(model), "val": val}
    if earlier := earlier_models(model):
        inputs["earlier models"] = digest_input(earlier[0].parent)
    name = out.name if run.out is None else "evaluate"
    return Job(name, out, stage.resolve_settings(recipe, run.round), inputs)


def settings(recipe: Recipe, round: int) -> dict[str, Any]:
    return {
        "space": recipe.space,
        "target": recipe.target.model_dump(include={"dataset", "val", "size", "pad"}),
        "evaluate": recipe.evaluate.identity(),
    }


def _predictions_path(run: Run) -> Path | None:
    """Return what --predictions names: a predictions.h5, or a folder of label files."""
    path = run.paths.get("predictions")
    return path if path is None or _holds_labels(path) else find_flagged(run, "--predictions", path, PREDICTIONS)


def _holds_labels(path: Path) -> bool:
    """Tell whether a path is a folder of label files, not a directory with a predictions.h5."""
    from udaseg.data.datasets.label_folder import LABELS

    is_folder = path.is_dir() and not (path / PREDICTIONS).is_file()
    return is_folder and any(file.suffix.lower() in LABELS for file in path.rglob("*"))


def _model_path(run: Run) -> Path:
    """Return the model that --model names, else that of the last finished training of the run, or of the round."""
    stage = last_trained_stage(run)
    path = input_path(run, Input("model", lambda recipe, round: StageFile(stage, "model.pt", round)))
    assert path is not None
    return path


def _folder(run: Run, model: Path) -> Path:
    """Name the stage after the model: evaluate for the adapted one, evaluate-warmup for the source-only one."""
    folder = model.resolve().parent
    if folder == run.stage_folder("retrain").resolve() and run.round < run.recipe.rounds:
        return run.stage_folder(f"evaluate-round{run.round}")
    if folder == run.stage_folder(final_training_stage(run)).resolve():
        return run.stage_folder("evaluate")
    return run.stage_folder(f"evaluate-{folder.name}")


def run(work: Work) -> None:
    """Score a model, or stored predictions, on the labelled split of the target."""
    from udaseg.data.image_sets import View
    from udaseg.inference.evaluate import evaluate, evaluate_predictions

    setting, predictions, progress = work.recipe.evaluate, work.path("predictions"), work.progress("images")
    if predictions is not None and predictions.is_dir():
        metrics = _evaluate_labels(work, predictions)
    elif predictions is not None:
        val = work.dataset("val")
        truth = View(val, setting.gt_size, work.recipe.target.pad)
        out = f"predict-{val.split}"
        make = command_of(work.run, f"udaseg predict --set {shlex.quote(f'target.split={val.split}')} --out {out}")
        hint = f"predict these with `{make}`, and name {out} with --predictions"
        metrics = evaluate_predictions(
            predictions, truth, setting.average, work.out, warn=work.warn, hint=hint, progress=progress
        )
    else:
        view = work.view("val", setting.size)
        model = work.require_path("model")
        metrics, work.result.environment = evaluate(
            model, view, setting, work.out, earlier=earlier_models(model), progress=progress
        )
    work.result.metrics = {key: metrics[key] for key in ("miou", "pixel_accuracy", "images")}
    if work.is_first:  # a class that was never taught explains its score
        work.result.warnings += datasets.labelling_warnings(work.run, ["source"])
        work.result.warnings += datasets.teaching_warnings(work.run)
        work.result.warnings += _unseen_warnings(metrics)


def _unseen_warnings(metrics: dict[str, Any]) -> list[str]:
    """Return a warning for the classes of the mean that no true label shows."""
    rows = zip(metrics["classes"], metrics["confusion"], metrics["iou"], strict=True)
    unseen = [name for name, pixels, iou in rows if iou is not None and not any(pixels)]
    text = f"no label of val shows {', '.join(unseen)}, but predictions do: the mean counts an IoU of 0 for each"
    return [text] if unseen else []


def _evaluate_labels(work: Work, folder: Path) -> dict[str, Any]:
    """Score the label files in a folder."""
    from udaseg.data.datasets.label_folder import match_label_files
    from udaseg.data.image_sets import View
    from udaseg.inference.evaluate_labels import evaluate_labels

    val, suffix = work.dataset("val"), work.recipe.target.labels.predicted_suffix
    found = match_label_files(folder, [record.stem for record in val.records], suffix, LABEL_SUFFIX[1])
    if not found.files:
        raise UdasegError(
            f"{folder} holds no prediction for any of the {len(val)} labelled images, the first is "
            f"{val.records[0].stem}",
            found.hint or f"name a folder that holds {val.records[0].stem}.png and so on with --predictions",
        )
    if found.suffix:
        log(f"evaluate: the names in {folder} add {found.suffix} to those of the images")
    truth = View(val, work.recipe.evaluate.gt_size, work.recipe.target.pad)
    return evaluate_labels(found.files, truth, work.out, warn=work.warn, progress=work.progress("images"))


def show(run: Run, job: Job) -> None:
    """Print the scores of an evaluation, beside those of the model before."""
    metrics = None if run.dry_run else read_metrics(job.out)
    if metrics is None:
        return
    baseline = _baseline(run, job, metrics)
    print_result(run, metrics, scores_table(baseline, metrics), depth_table(baseline, metrics))
    scored = job.inputs["predictions" if "predictions" in job.inputs else "model"].path
    log(f"{job.stage}: mIoU {percent(metrics['miou'])} of {scored}")


def _baseline(run: Run, job: Job, metrics: dict[str, Any]) -> dict[str, Any] | None:
    """Return the scores to show beside those of a model: of the same labels, from an earlier stage of the run."""
    if "predictions" in job.inputs:
        return None
    if not run.round_given:
        run = run.in_round(run.recipe.rounds)
    name = _folder(replace(run, out=None), Path(job.inputs["model"].path)).name
    for stage in BASELINES.get(name, ()):
        manifest = read_manifest(run.stage_folder(stage))
        if manifest is None:
            continue
        before = read_metrics(run.stage_folder(stage))
        is_of_same_labels = manifest["inputs"].get("val", {}).get("digest") == job.inputs["val"].digest
        if before is None or (is_of_same_labels and before.get("gt_size") == metrics.get("gt_size")):
            return before
        other = f"{run.stage_folder(stage)} has other images, classes or label sizes"
        log(f"{job.stage}: {other}, and is not shown beside it")
    return None


stage = Stage(
    "evaluate",
    run,
    settings,
    shared=True,
    results=True,
    job=job,
    after=show,
)


@run_command
def command(
    open_run,
    model: ModelOption = None,
    scales: ScalesOption = None,
    flip: FlipOption = None,
    window: WindowOption = None,
    window_stride: WindowStrideOption = None,
    average: AverageOption = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Score these instead of a model: a predictions.h5, its stage, or a folder of label files."),
    ] = None,
    label_suffix: LabelSuffixOption = None,
    gt_size: Annotated[str | None, typer.Option(help="Resize labels to HEIGHTxWIDTH before they are counted.")] = None,
) -> None:
    """Score a model, or stored predictions such as those of an ensemble, on the labelled split of the target.

    Example: udaseg evaluate --model warmup
    """
    holds_labels = predictions is not None and _holds_labels(predictions)
    if predictions is not None:
        because = "predictions have been made already"
        of_model = {"--model": model, "--scales": scales, "--flip": flip, "--window": window}
        refuse_flags(of_model | {"--window-stride": window_stride}, because, "leave it out, or --predictions")
    if holds_labels:
        refuse_flags({"--average": average}, "labels are not averaged", "leave it out")
    else:
        because = "label files alone have a suffix"
        refuse_flags({LABEL_SUFFIX[1]: label_suffix}, because, "name their folder with --predictions, or leave it out")
    changes = view_changes(
        "evaluate", scales=scales, flip=flip, average=average, window=window, window_stride=window_stride
    )
    paths = {"model": model, "predictions": predictions}
    changes |= {LABEL_SUFFIX[0]: label_suffix}
    changes["evaluate.gt_size"] = None if gt_size is None else parse_size(gt_size, "--gt-size")
    run_stage(open_run(changes, paths, flags={LABEL_SUFFIX[0]: LABEL_SUFFIX[1]}), stage)
