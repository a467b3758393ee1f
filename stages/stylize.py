"""udaseg stylize: give the source images the style of the target, by FDA."""

from typing import Annotated

import typer

from . import made
from .session import staged


@staged
def command(
    open_session,
    beta: Annotated[float | None, typer.Option(help="The half width of the window, over the short side.")] = None,
    window: Annotated[str | None, typer.Option(help="square, as published, or rect.")] = None,
) -> None:
    """Give the source images the style of target images (FDA).

    Example: udaseg stylize --beta 0.05
    """
    made.stylize(open_session({"stylize.beta": beta, "stylize.window": window}))
