"""udaseg ensemble: average the stored scores of several networks."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import Job

from . import products
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session, files: list[Path], weights: list[float]) -> Job:
    given = {
        f"predictions {number}": session.input(products.few(session, path)) for number, path in enumerate(files, 1)
    }
    return Job("ensemble", session.out or session.folder("ensemble"), {"ensemble": {"weights": weights}}, given)


def run(session: Session, files: list[Path], weights: list[float]) -> None:
    todo = job(session, files, weights)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.inference.ensemble import ensemble

        with progress("ensemble", "images") as show:
            read = [Path(given.path) for given in todo.inputs.values()]
            images = ensemble(read, weights, todo.out, progress=show)
        result.metrics = {"images": images, "networks": len(files)}
        say(f"ensemble: {images} images of {len(files)} networks in {todo.out / 'predictions.h5'}")


@staged
def command(
    open_session,
    predictions: Annotated[
        list[Path] | None, typer.Option(help="A predictions.h5, or the stage that wrote it; give it twice or more.")
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Of each network, 0.5,0.3,0.2; equal when absent.")] = None,
) -> None:
    """Average the scores of several networks, such as three trained with FDA at three betas.

    Example: udaseg ensemble --predictions runs/a/predict --predictions runs/b/predict
    """
    files = [path / "predictions.h5" if path.is_dir() else path for path in predictions or []]
    if len(files) < 2:
        raise UdasegError(
            f"ensemble averages two or more files of predictions, and was given {len(files)}",
            "udaseg ensemble --predictions runs/a/predict --predictions runs/b/predict",
        )
    run(open_session(), files, _numbers(weights, len(files)))


def _numbers(text: str | None, count: int) -> list[float]:
    try:
        numbers = [1.0] * count if text is None else [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(0 < number < float("inf") for number in numbers):
        raise UdasegError(f"--weights {text}: expected {count} positive numbers", "for example --weights 0.5,0.3,0.2")
    return numbers
