"""The section `report`: what the page about a run looks at."""

from pydantic import Field

from udaseg.config.fields import (
    NonNegativeInt,
    Section,
)


class Report(Section):
    """The images that the page shows to the networks of a run."""

    images: NonNegativeInt = Field(
        16, description="Images of each domain that the page runs through the first and last network; 0: none."
    )
