"""How a trained network looks at images: the flags, and the size at which it was trained."""

from pathlib import Path
from typing import Annotated, Any

import typer

from udaseg.errors import UdasegError
from udaseg.pipeline.artifacts import read_manifest
from udaseg.pipeline.aside import require_finished

ModelOption = Annotated[Path | None, typer.Option(help="A model.pt, a stage directory, or a stage of the run.")]
ScalesOption = Annotated[str | None, typer.Option("--scales", help="Average over these scales: 0.9,1.0,1.2.")]
FlipOption = Annotated[bool | None, typer.Option("--flip/--no-flip", help="Average with the mirror image.")]
AverageOption = Annotated[str | None, typer.Option("--average", help="What is averaged: logits, or probs.")]


def changes(section: str, scales: str | None, flip: bool | None, average: str | None) -> dict[str, Any]:
    """Turn the flags into changes of a recipe's section."""
    try:
        numbers = None if scales is None else [float(scale) for scale in scales.split(",")]
    except ValueError:
        raise UdasegError(f"--scales {scales}: expected numbers", "for example --scales 0.9,1.0,1.2") from None
    return {f"{section}.scales": numbers, f"{section}.flip": flip, f"{section}.average": average}


def model_file(path: Path) -> Path:
    """Find a model outside of any run: a model.pt, or the stage directory that holds one."""
    found = path / "model.pt" if path.is_dir() else path
    if not found.is_file():
        what = f"{path} holds no model.pt" if path.is_dir() else f"there is no model {path}"
        raise UdasegError(what, "name a model.pt, or the directory of a warmup or retrain stage")
    require_finished(found)
    return found


def trained_at(model: Path) -> tuple[list[int] | None, bool]:
    """Give the (height, width) at which a model saw the target, or its source, and whether aspects were kept.

    That is read in the manifest beside the model; None where there is no such manifest, or images had their own size.
    """
    settings = (read_manifest(model.parent) or {}).get("settings", {})
    side = settings.get("target") or settings.get("source") or {}
    return side.get("size"), bool(side.get("pad"))
