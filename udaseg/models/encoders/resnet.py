"""ResNet feature extractors at output stride 8 or 32, with torchvision's weights and names."""

from typing import Literal

from torch import Tensor, nn
from torchvision.models import resnet

from udaseg.models.batchnorm import BatchNorm

LAYERS = {
    "resnet18": (resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet50": (resnet.Bottleneck, [3, 4, 6, 3]),
    "resnet101": (resnet.Bottleneck, [3, 4, 23, 3]),
}


class ResNet(nn.Module):
    """Return the feature maps of the layers in `taps`, shallowest first.

    Module names are torchvision's, so its weights load as they are. Strides of layers 1 to 4 are
    4, 8, 16, 32, or 4, 8, 8, 8 with `output_stride=8`, where the 3x3 convolutions of layer 3 are dilated
    by 2 and those of layer 4 by 4 (DeepLab, section 3.1), in blocks of two as well as of three convolutions.
    `ceil_mode` rounds the pooled size up, as the Caffe networks do: 1024x512 becomes 129x65 at stride 8.
    """

    def __init__(
        self,
        name: str,
        *,
        output_stride: Literal[8, 32] = 32,
        ceil_mode: bool = False,
        taps: tuple[int, ...] = (4,),
    ):
        super().__init__()
        block, blocks = LAYERS[name]
        full = resnet.ResNet(block, blocks, norm_layer=BatchNorm)
        self.conv1, self.bn1, self.relu = full.conv1, full.bn1, full.relu
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)
        self.layer1, self.layer2, self.layer3, self.layer4 = full.layer1, full.layer2, full.layer3, full.layer4
        self.taps = taps
        self.channels = tuple(64 * 2 ** (tap - 1) * block.expansion for tap in taps)
        if output_stride == 8:
            dilate(self.layer3, 2)
            dilate(self.layer4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = []
        for depth, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), start=1):
            x = layer(x)
            if depth in self.taps:
                maps.append(x)
        return tuple(maps)


def dilate(layer: nn.Module, dilation: int) -> None:
    """Remove the strides of a layer and dilate its 3x3 convolutions instead."""
    for conv in layer.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)
