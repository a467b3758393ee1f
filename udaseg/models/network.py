"""What every segmentation network has in common: an encoder, heads, and how its batch norm is trained."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet

from udaseg.config import BnMode
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders.resnet import ResNet
from udaseg.models.heads import Heads


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
        """Give what an image meets first, up to its batch norm."""
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
