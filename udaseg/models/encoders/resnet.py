"""ResNet encoders at output stride 8 or 32, with the weights and the parameter names of torchvision."""

from typing import Any, Literal

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import ResNet18_Weights, ResNet50_Weights, ResNet101_Weights, resnet

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.encoder import Encoder

LAYERS = {
    "resnet18": (resnet.BasicBlock, [2, 2, 2, 2]),
    "resnet50": (resnet.Bottleneck, [3, 4, 6, 3]),
    "resnet101": (resnet.Bottleneck, [3, 4, 23, 3]),
}
# The first generation of weights, from which the papers start.
IMAGENET = {
    "resnet18": ResNet18_Weights.IMAGENET1K_V1.url,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1.url,
    "resnet101": ResNet101_Weights.IMAGENET1K_V1.url,
}


class ResNet(Encoder):
    """Compute the feature maps of the layers in `taps` (1 to 4) of a ResNet, the finest map first.

    Parameters have torchvision's names, so its weights fit. The strides of layers 1 to 4 are 4, 8, 16, 32. With
    `output_stride=8` they are 4, 8, 8, 8; the 3x3 convolutions of layer 3 are then dilated by 2, those of layer 4 by
    4 (DeepLab, section 3.1). `ceil_mode` rounds the size after the max-pooling up, as the Caffe networks do:
    1024x512 becomes 129x65 at stride 8.
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
        whole = resnet.ResNet(block, blocks, norm_layer=BatchNorm)
        self.conv1, self.bn1, self.relu = whole.conv1, whole.bn1, whole.relu
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1, ceil_mode=ceil_mode)
        self.layer1, self.layer2, self.layer3, self.layer4 = whole.layer1, whole.layer2, whole.layer3, whole.layer4
        self.taps = taps
        self.checkpoints = False
        self.channels = tuple(64 * 2 ** (tap - 1) * block.expansion for tap in taps)
        if output_stride == 8:
            dilate(self.layer3, 2)
            dilate(self.layer4, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        maps = []
        for depth, layer in enumerate((self.layer1, self.layer2, self.layer3, self.layer4), start=1):
            for block in layer:
                x = checkpoint(block, x, use_reentrant=False) if self.checkpoints and self.training else block(x)
            if depth in self.taps:
                maps.append(x)
        return tuple(maps)

    def checkpoint_activations(self) -> None:
        self.checkpoints = True


def dilate(layer: nn.Module, dilation: int) -> None:
    """Set the strides of a layer's convolutions to 1 and dilate its 3x3 convolutions by `dilation`."""
    for conv in layer.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)


def build(name: str, **options: Any) -> ResNet:
    """Build resnet18, resnet50 or resnet101 with random weights; the options are those of `ResNet`."""
    return ResNet(name, **options)
