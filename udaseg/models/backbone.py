"""ResNet feature extractors at output stride 8 or 32, with torchvision's weights and names."""

from collections.abc import Iterator
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet

from udaseg.models.batchnorm import BatchNorm
from udaseg.models.heads import Heads
from udaseg.recipe import BnMode

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


class Network(nn.Module):
    """A backbone and the heads on it: what every segmentation network here has in common."""

    backbone: ResNet
    align_corners: bool
    feature_channels: int
    inner_classifiers: int  # how many score the classes from inner layers in training, in `Output.aux`
    stride_first = False

    def __init__(self):
        super().__init__()
        self.heads = Heads()

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters that may come pre-trained."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters that start from scratch and take the higher learning rate."""
        return (value for name, value in self.named_parameters() if not name.startswith("backbone."))

    def stem(self) -> nn.Module:
        """Give what a picture meets first, up to its batch norm."""
        return nn.Sequential(self.backbone.conv1, self.backbone.bn1).train(self.training)

    def move_strides(self) -> None:
        """Stride in the first 1x1 convolution of each bottleneck, as the Caffe-converted weights expect.

        torchvision strides in the 3x3. The shapes are the same, so a checkpoint has to say which it is:
        `stride_first` travels with it.
        """
        for block in self.backbone.modules():
            if isinstance(block, resnet.Bottleneck) and block.conv2.stride != (1, 1):
                block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
        self.stride_first = True


def dilate(layer: nn.Module, dilation: int) -> None:
    """Remove the strides of a layer and dilate its 3x3 convolutions instead."""
    for conv in layer.modules():
        if isinstance(conv, nn.Conv2d):
            conv.stride = (1, 1)
            if conv.kernel_size == (3, 3):
                conv.dilation = conv.padding = (dilation, dilation)


def widen(model: nn.Module) -> None:
    """Let every strided convolution see a map of one column as one of two, the second black, while it trains.

    The result is the same, as a border of zeros is there anyway. On a CPU in bf16, PyTorch's gradient of the weights
    of such a convolution takes in memory that was never written where the map is one column wide: some of it is no
    number, and all of it is wrong.
    """

    def widened(conv: nn.Module, given: tuple[Tensor]) -> tuple[Tensor] | None:
        (x_NChw,) = given
        narrow = conv.training and conv.stride != (1, 1) and x_NChw.shape[-1] == 1
        return (functional.pad(x_NChw, (0, 1)),) if narrow else None

    for conv in model.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
            conv.register_forward_pre_hook(widened)


def set_bn_mode(model: Network, mode: BnMode) -> None:
    """Choose what training changes in the backbone's batch normalisation.

    `train`: everything. `affine-frozen`: the statistics only; scale and shift take no gradient (AdaptSegNet,
    ADVENT, FDA). `frozen`: nothing; the running statistics are used, and `model.train()` leaves it so (CRST,
    FADA). Heads keep learning theirs: they have no pre-trained statistics to protect.
    """
    for module in model.backbone.modules():
        if isinstance(module, BatchNorm):
            module.frozen = mode == "frozen"
            module.train(model.training)
            module.weight.requires_grad_(mode == "train")
            module.bias.requires_grad_(mode == "train")
