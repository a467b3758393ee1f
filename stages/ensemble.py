"""udaseg ensemble: average the stored predictions of several networks."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.inputs import digest_input, find_flagged
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.run import Run

from .terminal.command import run_command


def job(run: Run, files: list[Path], weights: list[float]) -> Job:
    """Plan the average of some files of predictions."""
    files = [find_flagged(run, "--predictions", path, "predictions.h5") for path in files]
    if run.sample is not None:
        files = [run.sample.copy_predictions(path) for path in files]
    inputs = {f"predictions {number}": digest_input(path) for number, path in enumerate(files, 1)}
    return Job("ensemble", run.output_folder("ensemble"), {"ensemble": {"weights": weights}}, inputs)


def average(run: Run, files: list[Path], weights: list[float]) -> None:
    """Average the predictions, unless that has been done."""
    planned = job(run, files, weights)
    with open_work(run, planned) as work:
        if work is None:
            return
        from udaseg.inference.ensemble import ensemble

        paths = [Path(one.path) for one in planned.inputs.values()]
        images = ensemble(paths, weights, work.out, progress=work.progress("images"))
        text = f"{images} images of {len(files)} networks in {planned.out / 'predictions.h5'}"
        work.finish({"images": images, "networks": len(files)}, text)


@run_command
def command(
    open_run,
    predictions: Annotated[
        list[Path] | None,
        typer.Option(help="A predictions.h5, its stage directory, or a stage of the run; twice or more."),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of each network, 0.5,0.3,0.2; equal when absent.")] = None,
) -> None:
    """Average the predictions of several networks, such as three trained with FDA at three betas.

    Example: udaseg ensemble --predictions runs/a/predict --predictions runs/b/predict
    """
    files = predictions or []
    if len(files) < 2:
        raise UdasegError(
            f"ensemble averages two or more files of predictions, and was given {len(files)}",
            "udaseg ensemble --predictions runs/a/predict --predictions runs/b/predict",
        )
    average(open_run(), files, _parse_weights(weights, len(files)))


def _parse_weights(text: str | None, count: int) -> list[float]:
    try:
        numbers = [1.0] * count if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0 < number < float("inf") for number in numbers):
        raise UdasegError(f"--weights {text}: expected {count} positive numbers", "for example --weights 0.5,0.3,0.2")
    return numbers
