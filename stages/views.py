"""The flags that say how a trained network looks at pictures, shared by predict and evaluate."""

from typing import Annotated, Any

import typer

from udaseg.errors import UdasegError

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
