"""The wide ResNet-38 of Wu, Shen and van den Hengel (Wider or Deeper, 2016), model A1, on which CBST builds."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.encoder import Encoder, draw_convolutions

IMAGENET: dict[str, str] = {}  # the authors' file has no address that can be downloaded from
WIDTH = 64  # channels of the first convolution
# Of each stage: the blocks, the channels of the convolutions of a block in multiples of WIDTH, and the dropout before
# the last of them. The authors count these stages from 2 to 7.
STAGES = (
    (3, (2, 2), 0.0),
    (3, (4, 4), 0.0),
    (6, (8, 8), 0.0),
    (3, (8, 16), 0.0),
    (1, (8, 16, 32), 0.3),
    (1, (16, 32, 64), 0.5),
)
STRIDED = 5  # the first stages, each of which halves its maps, or dilates instead
LAST_STAGES = (1, 2, 3, 5)  # of levels 1 to 4
KERNELS = {2: (3, 3), 3: (1, 3, 1)}  # by the number of convolutions in a block


class Block(nn.Module):
    """Add two or three convolutions, each after batch norm and ReLU, to the input (a pre-activated residual block).

    Where stride or channels change, the input is replaced by a 1x1 convolution of the first activation.
    `dilations` are those of the first 3x3 convolution and of the others.
    """

    def __init__(
        self, inputs: int, channels: tuple[int, ...], *, stride: int, dilations: tuple[int, int], dropout: float
    ):
        super().__init__()
        self.norms, self.convs = nn.ModuleList(), nn.ModuleList()
        before = inputs
        for index, (kernel, after) in enumerate(zip(KERNELS[len(channels)], channels, strict=True)):
            dilation = 1 if kernel == 1 else dilations[index > 0]
            self.norms.append(BatchNorm(before))
            self.convs.append(
                nn.Conv2d(
                    before, after, kernel, stride=1 if index else stride, padding=kernel // 2 * dilation,
                    dilation=dilation, bias=False,
                )
            )  # fmt: skip
            before = after
        is_same = stride == 1 and inputs == before
        self.shortcut = None if is_same else nn.Conv2d(inputs, before, 1, stride=stride, bias=False)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_NDhw: Tensor) -> Tensor:
        activated_NDhw = self.norms[0](x_NDhw).relu()
        shortcut_NDhw = x_NDhw if self.shortcut is None else self.shortcut(activated_NDhw)
        result_NDhw = self.convs[0](activated_NDhw)
        for index, (norm, conv) in enumerate(zip(self.norms[1:], self.convs[1:], strict=True), 2):
            activated_NDhw = norm(result_NDhw).relu()
            result_NDhw = conv(self.dropout(activated_NDhw) if index == len(self.convs) else activated_NDhw)
        return shortcut_NDhw + result_NDhw


class WideResNet(Encoder):
    """Compute the feature maps of the levels in `taps` (1 to 4) of the wide ResNet-38, the finest map first.

    The strides of levels 1 to 4 are 4, 8, 16, 32; with `output_stride=8`, as in CBST, 4, 8, 8, 8. A stage that keeps
    its size dilates its 3x3 convolutions, but the first of them not yet. Levels 1 to 3 are sums of residual blocks, as
    they are; level 4 is normalised and rectified. Strided convolutions halve the maps; there is no max-pooling.
    """

    def __init__(self, *, output_stride: Literal[8, 16, 32], taps: tuple[int, ...]):
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTH, 3, padding=1, bias=False)
        self.stages = nn.ModuleList()
        inputs, reached, dilation = WIDTH, 1, 1
        for number, (blocks, multiples, dropout) in enumerate(STAGES):
            channels = tuple(multiple * WIDTH for multiple in multiples)
            halves = number < STRIDED and reached < output_stride
            before = dilation
            if halves:
                reached *= 2
            elif number < STRIDED:
                dilation *= 2
            stage = nn.ModuleList()
            for block in range(blocks):
                stride, first = (2 if halves else 1, before) if block == 0 else (1, dilation)
                stage.append(Block(inputs, channels, stride=stride, dilations=(first, dilation), dropout=dropout))
                inputs = channels[-1]
            self.stages.append(stage)
        self.norm = BatchNorm(inputs)
        draw_convolutions(self)
        self.taps = taps
        self.checkpoints = False
        self.channels = tuple(STAGES[LAST_STAGES[tap - 1]][1][-1] * WIDTH for tap in taps)

    def forward(self, x_NDhw: Tensor) -> tuple[Tensor, ...]:
        x_NDhw = self.conv1(x_NDhw)
        sums = []
        for stage in self.stages:
            for block in stage:
                keep_input = self.checkpoints and self.training
                x_NDhw = checkpoint(block, x_NDhw, use_reentrant=False) if keep_input else block(x_NDhw)
            sums.append(x_NDhw)
        levels = [*(sums[number] for number in LAST_STAGES[:-1]), torch.relu(self.norm(x_NDhw))]
        return tuple(levels[tap - 1] for tap in self.taps)

    def checkpoint_activations(self) -> None:
        self.checkpoints = True

    def first_layers(self) -> tuple[nn.Conv2d, BatchNorm]:
        # The first block reads its input through its first normalisation alone, also for the shortcut.
        return self.conv1, self.stages[0][0].norms[0]


def build(
    _name: str, *, taps: tuple[int, ...] = (4,), output_stride: Literal[8, 16, 32] = 32, **_options: Any
) -> WideResNet:
    """Build the wide ResNet-38 with random weights."""
    return WideResNet(output_stride=output_stride, taps=taps)
