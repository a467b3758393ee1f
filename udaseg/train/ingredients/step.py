"""One step of self-training, before the student sees its batch: what an ingredient reads and changes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from udaseg.config import Distill, Retrain
from udaseg.data.batches import Batch
from udaseg.models.colors import normalise
from udaseg.models.output import Output
from udaseg.train.moving_prototypes import MovingPrototypes
from udaseg.train.objectives import Autocast, LossTerm


@dataclass(frozen=True)
class Networks:
    """The networks of self-training, and how those that label are run.

    The teacher labels the target for the student. `initial` is the frozen model that training starts from. `color` is
    the colour format of their inputs.
    """

    student: nn.Module
    color: str
    autocast: Autocast
    teacher: nn.Module | None = None
    initial: nn.Module | None = None
    prototypes: MovingPrototypes | None = None

    @torch.no_grad()
    def run(self, network: nn.Module, image_NHWC: Tensor) -> Output:
        """Return the logits and features of uint8 images [N, H, W, 3], float32 at the stride of the network."""
        with self.autocast():
            output = network(normalise(image_NHWC, self.color))
        return Output(output.logits.float(), output.features.float())


@dataclass
class Step:
    """One step of self-training; an ingredient changes its batch and adds loss terms.

    `batch` is what the student will see. `weak_images` are the target images without any change, which the teacher
    sees. `unchanged`, bool, is true where both show the same scene; None means everywhere. `rng` depends on the
    seed and the number of the step alone; the ingredients draw from it in turn.
    """

    settings: Retrain | Distill
    networks: Networks
    batch: Batch
    rng: np.random.Generator
    weak_images: Tensor
    unchanged: Tensor | None
    terms: list[LossTerm] = field(default_factory=list)
    centroids: Tensor | None = None  # the prototypes of this step
    distances: Tensor | None = None  # of the teacher's features to them

    @cached_property
    def teacher_output(self) -> Output:
        """The teacher's logits and features of the unchanged target, float32."""
        return self.networks.run(self.networks.teacher, self.weak_images)


Ingredient = Callable[[Step], None]
