"""udaseg gmm: a mixture over column, row and inverse depth for every class of the source."""

from typing import Annotated

import typer

from . import mixtures
from .session import staged


@staged
def command(
    open_session,
    components: Annotated[int | None, typer.Option(help="Gaussians a class.")] = None,
    compat: Annotated[
        bool | None, typer.Option(help="Keep depth that is no measurement, as the published tables do.")
    ] = None,
) -> None:
    """Fit a mixture over column, row and inverse depth to every class of the source.

    Example: udaseg gmm --recipe synthia2city --components 5
    """
    mixtures.make(open_session({"gmm.components": components, "gmm.compat": compat}))
