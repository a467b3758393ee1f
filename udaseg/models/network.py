"""The base class of all segmentation networks, and functions that prepare a network for training."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import resnet

from udaseg.config import BnMode
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.encoders import Encoder, require_batch_norm
from udaseg.models.heads import Heads
from udaseg.models.output import Output
from udaseg.models.windows import Box


class Decoded(NamedTuple):
    """What a decoder computes: class logits, the features below them, and in training the logits of inner layers."""

    logits: Tensor  # [N, C, h, w]
    features: Tensor  # [N, D, h', w']
    aux: tuple[Tensor, ...] = ()  # each [N, C, h', w']


class Network(nn.Module):
    """An encoder (`backbone`), a decoder and heads; maps an image float [N, 3, H, W] to an `Output`.

    A decoder is a subclass with the method `decode`. Where the encoder needs an image whose sides are multiples of a
    number, the image is padded with zeros on the right and below, and all maps are cut to the image.
    """

    backbone: Encoder
    align_corners: bool  # of the bilinear interpolation that enlarges the logits to an image's size
    feature_channels: int  # of `Output.features`
    inner_classifiers: int  # the number of classifiers on inner layers, whose logits are `Output.aux` in training
    stride_first = False  # see move_strides

    def __init__(self):
        super().__init__()
        self.heads = Heads()
        self.resolutions: nn.Module | None = None  # a `MultiResolution`, with model.detail

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        """Compute the class logits from the encoder's maps of an image."""
        raise NotImplementedError

    def forward(self, image_N3HW: Tensor, box: Box | None = None) -> Output:
        """Return the output for images.

        A network with `model.detail` sees two resolutions. In training `box` is where the detail crop lies in all
        images of the batch (`resolutions.draw_box`), and the output has the logits of that crop as well. Without a box
        the crops cover the images, as for inference. Other networks take no box.
        """
        size, multiple = image_N3HW.shape[-2:], (self.resolutions or self.backbone).multiple
        below, right = (-side % multiple for side in size)
        if below or right:
            image_N3HW = functional.pad(image_N3HW, (0, right, 0, below))
        if self.resolutions is not None:
            output = self.resolutions(self._infer, image_N3HW, box)
        else:
            assert box is None, "a network without model.detail has no detail crop"
            output, _ = self._infer(image_N3HW)
        if below or right:
            return output.map(lambda map_NDhw: cut(map_NDhw, size, image_N3HW.shape[-2:]))
        return output

    def _infer(self, image_N3HW: Tensor) -> tuple[Output, tuple[Tensor, ...]]:
        """Compute the output at one resolution, and the maps of the encoder."""
        maps = self.backbone(image_N3HW)
        logits_NChw, features_NDhw, aux = self.decode(image_N3HW, maps)
        return Output(logits_NChw, features_NDhw, aux, **self.heads(features_NDhw), deep=maps[-1]), maps

    def backbone_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over the parameters of the encoder, which may be pre-trained."""
        return self.backbone.parameters()

    def head_parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over all other parameters, which start from random values and have the higher learning rate."""
        return (value for name, value in self.named_parameters() if not name.startswith("backbone."))

    def stem(self) -> nn.Module:
        """Return the first layer of the network: convolution and batch norm."""
        return nn.Sequential(*self.backbone.first_layers()).train(self.training)

    def move_strides(self) -> None:
        """Move the stride of each bottleneck to its first 1x1 convolution, as weights converted from Caffe expect.

        torchvision has the stride in the 3x3 convolution. The shapes do not show the difference, so `stride_first`
        records it, and a checkpoint stores it.
        """
        for block in self.backbone.modules():
            if isinstance(block, resnet.Bottleneck) and block.conv2.stride != (1, 1):
                block.conv1.stride, block.conv2.stride = block.conv2.stride, (1, 1)
        self.stride_first = True


def cut(map_NDhw: Tensor, size: tuple[int, int], padded: tuple[int, int]) -> Tensor:
    """Sample a map of a padded image so that it covers the image alone, with as many rows and columns as before.

    `size` and `padded` are the (height, width) of the image without and with its padding, which is on the right and
    below. The sampling is bilinear. Enlarged to `size`, the result is the map enlarged to `padded` and cut, but for
    the interpolation being done twice.
    """
    rows, columns = (
        (torch.arange(count, device=map_NDhw.device) * 2 + 1) / count * (side / whole) - 1  # grid_sample's -1 to 1
        for count, side, whole in zip(map_NDhw.shape[-2:], size, padded, strict=True)
    )
    grid_hw2 = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)
    grid_Nhw2 = grid_hw2.expand(len(map_NDhw), -1, -1, -1)
    sampled_NDhw = functional.grid_sample(map_NDhw.float(), grid_Nhw2, padding_mode="border", align_corners=False)
    return sampled_NDhw.to(map_NDhw.dtype)


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
        # Convolutions without padding of their own, such as those of patches, would compute something else.
        if isinstance(conv, nn.Conv2d) and conv.kernel_size != (1, 1) and conv.padding != (0, 0):
            conv.register_forward_pre_hook(pad)


def set_bn_mode(model: Network, mode: BnMode) -> None:
    """Choose which parts of the encoder's batch normalisation are trained.

    `train`: all. `affine-frozen`: the running statistics, but not scale and shift (AdaptSegNet, ADVENT, FDA).
    `frozen`: nothing; the running statistics are used, also after `model.train()` (CRST, FADA). Batch norm outside
    the encoder is always trained: it has no pre-trained statistics to protect. Raises UdasegError for `frozen` where
    the encoder has no batch norm.
    """
    if mode == "frozen":
        require_batch_norm(model.backbone, "bn=frozen", "train")
    for module in model.backbone.modules():
        if isinstance(module, BatchNorm):
            module.frozen = mode == "frozen"
            module.train(model.training)
            if module.affine:
                module.weight.requires_grad_(mode == "train")
                module.bias.requires_grad_(mode == "train")
