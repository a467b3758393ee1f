"""udaseg prior: where in the image each class stands in the source."""

from typing import Annotated

import typer

from . import made
from .session import staged


@staged
def command(
    open_session,
    kernel: Annotated[float | None, typer.Option(help="The Gaussian's size, in pixels of a 1024x2048 image.")] = None,
    sigma: Annotated[float | None, typer.Option(help="Its standard deviation; a sixth of the kernel.")] = None,
    norm: Annotated[str | None, typer.Option(help="What is 1 of each map: its mean, its sum or its max.")] = None,
) -> None:
    """Count where in the image each class stands in the source: the prior of the policy cbst-sp.

    Example: udaseg prior --recipe cbst-gta2city --kernel 70
    """
    made.prior(open_session({"prior.kernel": kernel, "prior.sigma": sigma, "prior.norm": norm}))
