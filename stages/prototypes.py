"""udaseg prototypes: the mean feature of every class."""

from pathlib import Path
from typing import Annotated

import typer

from . import made, views
from .options import refuse_unread
from .session import staged


@staged
def command(
    open_session,
    domain: Annotated[str | None, typer.Option(help="source, target or both.")] = None,
    model: views.ModelOption = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
) -> None:
    """Compute the mean feature of every class.

    Example: udaseg prototypes --domain source
    """
    session = open_session({"prototypes.domain": domain}, {"model": model, "labels": labels})
    if session.recipe.prototypes.domain == "source":
        refuse_unread({"--labels": labels}, "the source has labels of its own", "add --domain target, or both")
    made.prototypes(session)
