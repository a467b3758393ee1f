"""The section `gmm`: mixtures over position and depth."""

from pydantic import Field

from udaseg.config.fields import (
    Count,
    HxW,
    Section,
)


class Gmm(Section):
    """The mixtures over column, row and inverse depth, one for each class of the source."""

    components: Count = Field(5, description="Gaussians in the mixture of each class.")
    grid: HxW | None = Field(
        None, description="Rows and columns of the mixture's grid; default: the source size divided by 8."
    )
    iterations: Count = Field(100, description="The largest number of iterations of expectation maximisation.")
    compat: bool = Field(
        False,
        description="Keep invalid depth values and variances down to 1e-6, as the published tables do.",
    )
