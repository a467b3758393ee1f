"""VGG16 as a fully convolutional encoder, with the weights of torchvision."""

from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import VGG16_Weights
from torchvision.models.vgg import make_layers

from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.encoder import Encoder, draw_convolutions, no_normalised_stem

WIDTH = 64  # channels of the first convolution
STAGES = ((1, 2), (2, 2), (4, 3), (8, 3), (8, 3))  # of each stage: the channels in multiples of WIDTH, convolutions
HIDDEN = 4096  # channels of the two classifier layers
DROPOUT = 0.5  # of the two classifier layers, in training
IMAGENET = {"vgg16": VGG16_Weights.IMAGENET1K_V1.url}


class VGG(Encoder):
    """Compute the feature maps of the levels in `taps` (1 to 4) with VGG16, the finest map first.

    Levels 1 to 3 are the outputs of the second, third and fourth max-pooling, at strides 4, 8 and 16. Level 4, at
    stride 32, is that of the first two classifier layers as convolutions: fc6 is 7x7, fc7 is 1x1 (FCN, section 4.1).
    The parameters before them have torchvision's names. All convolutions pad with zeros, and the poolings round sizes
    up, so a map covers the whole image. The network has no batch norm.
    """

    def __init__(self, taps: tuple[int, ...]):
        super().__init__()
        layers = [layer for multiple, count in STAGES for layer in (*[multiple * WIDTH] * count, "M")]
        self.features = make_layers(layers)
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                layer.ceil_mode = True
        deepest = STAGES[-1][0] * WIDTH
        self.fc6, self.fc7 = nn.Conv2d(deepest, HIDDEN, 7, padding=3), nn.Conv2d(HIDDEN, HIDDEN, 1)
        self.dropout = nn.Dropout(DROPOUT)
        draw_convolutions(self)
        self.taps = taps
        self.checkpoints = False
        channels = [*(multiple * WIDTH for multiple, _ in STAGES[1:4]), HIDDEN]
        self.channels = tuple(channels[tap - 1] for tap in taps)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        ends = [end for end, layer in enumerate(self.features, 1) if isinstance(layer, nn.MaxPool2d)]
        stages = [self.features[start:end] for start, end in pairwise([0, *ends])]
        pooled = []
        for stage in (*stages, self._classify):
            x = checkpoint(stage, x, use_reentrant=False) if self.checkpoints and self.training else stage(x)
            pooled.append(x)
        levels = [*pooled[1:4], x]
        return tuple(levels[tap - 1] for tap in self.taps)

    def _classify(self, x: Tensor) -> Tensor:
        for layer in (self.fc6, self.fc7):
            x = self.dropout(layer(x).relu())
        return x

    def checkpoint_activations(self) -> None:
        self.checkpoints = True

    def first_layers(self) -> tuple[nn.Conv2d, BatchNorm]:
        raise no_normalised_stem()


def build(name: str, *, taps: tuple[int, ...] = (4,), output_stride: int = 32, **_options: Any) -> VGG:
    """Build VGG16 with random weights; raise UdasegError for another output stride than 32."""
    if output_stride != 32:
        raise UdasegError(
            f"{name} has no stride {output_stride}",
            "set model.name=fcn8s, which needs none; beside model.encoder leave out model.stride",
        )
    return VGG(taps)
