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
from udaseg.train.domains import Autocast, LossTerm
from udaseg.train.frozen_encoder import FrozenEncoder
from udaseg.train.moving_prototypes import MovingPrototypes
from udaseg.train.objectives import FurtherPass, WeighPixels


@dataclass(frozen=True)
class Networks:
    """The networks of self-training, and how those that label are run.

    The teacher labels the target for the student. `initial` is the frozen model that training starts from. `color` is
    the colour format of their inputs. The student's last map stays near that of `pretrained`, its encoder as the
    weights have it, and through `projection` near that of `foundation`.
    """

    student: nn.Module
    color: str
    autocast: Autocast
    teacher: nn.Module | None = None
    initial: nn.Module | None = None
    prototypes: MovingPrototypes | None = None
    pretrained: FrozenEncoder | None = None
    things: tuple[int, ...] = ()  # the classes whose features stay near the pretrained ones
    foundation: FrozenEncoder | None = None
    projection: nn.Module | None = None
    target_depth: str | None = None  # the kind of the target's depth, which batches then have

    @torch.no_grad()
    def run(self, network: nn.Module, image_NHWC: Tensor) -> Output:
        """Return the logits and features of uint8 images [N, H, W, 3], float32 at the stride of the network."""
        with self.autocast():
            output = network(normalise(image_NHWC, self.color))
        return Output(output.logits.float(), output.features.float())


@dataclass
class Step:
    """One step of self-training; an ingredient changes its batch, adds loss terms, or a pass of its own.

    `batch` is what the student will see. `weak_images` are the target images without any change, which the teacher
    sees. `unchanged`, bool, is true where both show the same scene; None means everywhere. `rng` depends on the
    seed and the number of the step alone; the ingredients draw from it in turn. `terms` get the output for the target,
    and with one pass for both domains that for the source too; `source_terms` always get that for the source.
    """

    settings: Retrain | Distill
    networks: Networks
    batch: Batch
    rng: np.random.Generator
    key: tuple[int, int]  # the seed and the number of the step
    weak_images: Tensor
    unchanged: Tensor | None
    terms: list[LossTerm] = field(default_factory=list)
    source_terms: list[LossTerm] = field(default_factory=list)
    passes: list[FurtherPass] = field(default_factory=list)
    weigh: WeighPixels | None = None  # the loss on the target's labels, by the student's own output
    centroids: Tensor | None = None  # the prototypes of this step
    distances: Tensor | None = None  # of the teacher's features to them

    @cached_property
    def teacher_output(self) -> Output:
        """The teacher's logits and features of the unchanged target, float32."""
        return self.networks.run(self.networks.teacher, self.weak_images)

    def own_rng(self, code: int) -> np.random.Generator:
        """Return a generator for one ingredient: the others draw the same values with and without it."""
        seed, number = self.key
        return np.random.default_rng((seed, code, number))


Ingredient = Callable[[Step], None]
