"""The section `flow`: optical flow between the frames of the target's videos."""

from typing import Literal

from pydantic import Field

from udaseg.config.fields import Count, Section


class Flow(Section):
    """How the optical flow from each frame to one before it is found."""

    method: Literal["dis", "farneback", "files"] = Field(
        "dis", description="Compute the flow with OpenCV, by dis or farneback, or take the files of the dataset."
    )
    step: Count = Field(1, description="How many frames back the flow leads.")
