"""The base class of all segmentation networks, and functions that prepare a network for training."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet

from udaseg.config import BnMode
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import Encoder
from udaseg.models.heads import Heads


class Network(nn.Module):
    """An encoder (`backbone`), a classifier and heads; maps an image float [N, 3, H, W] to an `Output`."""

    backbone: Encoder
    align_corners: bool  # of the bilinear interpolation that enlarges the logits to an image's size
    feature_channels: int  # of `Output.features`
    inner_classifiers: int  # the number of classifiers on inner layers, whose logits are `Output.aux` in training
    stride_first = False  # see move_strides

    def __init__(self):
        super().__init__()
        self.heads = Heads()

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters of the encoder, which may be pre-trained."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over all other parameters, which start from random values and have the higher learning rate."""
        return (value for name, value in self.named_parameters() if not name.startswith("backbone."))

    def stem(self) -> nn.Module:
        """Return the first layer of the network: convolution and batch norm."""
        return nn.Sequential(self.backbone.conv1, self.backbone.bn1).train(self.training)

    def move_strides(self) -> None:
        """Move the stride of each bottleneck to its first 1x1 convolution, as weights converted from Caffe expect.

        torchvision has the stride in the 3x3 convolution. The shapes do not show the difference, so `stride_first`
        records it, and a checkpoint stores it.
        """
        for block in self.backbone.modules():
            if isinstance(block, resnet.Bottleneck) and block.conv2.stride != (1, 1):
                block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
        self.stride_first = True


def pad_narrow_maps(model: nn.Module) -> None:
    """Pad maps of one column with a second column of zeros before every strided convolution in training.

    The output is the same, because the convolutions pad with zeros anyway. The padding avoids an error in PyTorch:
    on a CPU in bf16, the weight gradient of such a convolution reads uninitialised memory for maps of one column.
    """

    def pad(conv: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
        (x_NChw,) = inputs
        is_narrow = conv.training and conv.stride != (1, 1) and x_NChw.shape[-1] == 1
        return (functional.pad(x_NChw, (0, 1)),) if is_narrow else None

    for conv in model.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1):
            conv.register_forward_pre_hook(pad)


def set_bn_mode(model: Network, mode: BnMode) -> None:
    """Choose which parts of the encoder's batch normalisation are trained.

    `train`: all. `affine-frozen`: the running statistics, but not scale and shift (AdaptSegNet, ADVENT, FDA).
    `frozen`: nothing; the running statistics are used, also after `model.train()` (CRST, FADA). Batch norm outside
    the encoder is always trained: it has no pre-trained statistics to protect.
    """
    for module in model.backbone.modules():
        if isinstance(module, BatchNorm):
            module.frozen = mode == "frozen"
            module.train(model.training)
            module.weight.requires_grad_(mode == "train")
            module.bias.requires_grad_(mode == "train")
