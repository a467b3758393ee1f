"""udaseg predict: store the network's scores for every target image."""

from typing import Annotated

import typer

from . import made, views
from .session import staged


@staged
def command(
    open_session,
    model: views.ModelOption = None,
    scales: views.ScalesOption = None,
    flip: views.FlipOption = None,
    average: views.AverageOption = None,
    adabn: Annotated[
        bool | None, typer.Option("--adabn/--no-adabn", help="Take batch norm's statistics from the target first.")
    ] = None,
) -> None:
    """Store the network's scores for every target image.

    Example: udaseg predict --model runs/demo/warmup/model.pt
    """
    changes = views.changes("predict", scales, flip, average) | {"predict.adabn": adabn}
    made.predict(open_session(changes, {"model": model}))
