"""What `warmup` and `retrain` share beside all trainings: the style of the source, and the target's entropy."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from udaseg.config.fields import Positive
from udaseg.config.sections.training import Training


class Adaptation(Training):
    """A training that may give the source the target's style, and may penalise unsure predictions of the target."""

    later: ClassVar[frozenset[str]] = Training.later | {"entropy"}

    fda: Annotated[float, Field(gt=0.0, lt=0.5)] | None = Field(
        None, description="Give each drawn source image a random target style, with this FDA beta; default: none."
    )
    # FDA: 0.005. MinEnt: 0.001.
    entropy_weight: Positive | None = Field(
        None, description="The weight of a penalty on unsure predictions of the target; default: no penalty."
    )
    entropy: Literal["robust", "plain", "max-square"] = Field(
        "robust",
        description="That penalty: robust, FDA's power of the entropy, plain, the entropy (MinEnt), or max-square.",
    )
