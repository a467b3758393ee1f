"""Two resolutions of an image, seen by one network and fused by an attention between scales (HRDA).

The context is the image at half its resolution. The detail is a part of it at full resolution: in training one crop,
whose place is the argument `box` of `Network.forward`, otherwise all crops of a sliding window.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, pad

from udaseg.config import HxW
from udaseg.errors import UdasegError
from udaseg.models.batchnorm import BatchNorm
from udaseg.models.decoders.segformer import project
from udaseg.models.network import Network
from udaseg.models.output import Output
from udaseg.models.windows import Box, infer_windows, split_image

WIDTH = 256  # of the attention
STRIDES = (4, 8)

# From a batch of images, whose sides the encoder takes as they are, to the output and the maps of the encoder.
Infer = Callable[[Tensor], tuple[Output, tuple[Tensor, ...]]]


class ScaleAttention(nn.Module):
    """Weigh the detail against the context for each pixel and class: a share from 0 to 1 (HRDA).

    A linear layer gives every map of the encoder the same number of channels. All are enlarged to the first one's size
    and concatenated. Two 1x1 convolutions follow, and a sigmoid. The paper's dropout is left out.
    """

    def __init__(self, channels: tuple[int, ...], width: int, classes: int):
        super().__init__()
        self.laterals = nn.ModuleList(nn.Conv2d(inputs, width, 1) for inputs in channels)
        convolution = nn.Conv2d(len(channels) * width, width, 1, bias=False)
        self.fuse = nn.Sequential(convolution, BatchNorm(width), nn.ReLU(inplace=True))
        self.classifier = nn.Conv2d(width, classes, 1)

    def forward(self, maps: tuple[Tensor, ...], size: HxW) -> Tensor:
        """Return the share of the detail, float32 [N, C, h, w], at a size."""
        logits_NChw = self.classifier(self.fuse(torch.cat(project(self.laterals, maps), dim=1))).float()
        if tuple(logits_NChw.shape[-2:]) != tuple(size):
            logits_NChw = interpolate(logits_NChw, size=size, mode="bilinear")
        return logits_NChw.sigmoid()


class MultiResolution(nn.Module):
    """Let a network see context and detail of an image, and fuse the logits of both.

    `detail` is the (height, width) of the detail crop, `stride` that of the network's logits. A box lies at multiples
    of `step`, so that it has whole rows and columns in the context's logits. An image has sides that are multiples of
    `multiple`. The modules of the network stay outside.
    """

    def __init__(self, network: Network, classes: int, detail: HxW, stride: int):
        super().__init__()
        channels, width = network.backbone.channels, min(WIDTH, network.feature_channels)
        self.attention = ScaleAttention(channels, width, classes)
        self.detail, self.step = detail, 2 * stride
        self.multiple = 2 * math.lcm(stride, network.backbone.multiple)

    def forward(self, infer: Infer, image_N3HW: Tensor, box: Box | None) -> Output:
        """Return the fused output of images, whose features and maps are the context's.

        Without a box the detail is the whole image, in windows that are half a window apart.
        """
        height, width = image_N3HW.shape[-2:]
        context, maps = infer(halve(image_N3HW))
        attention_NChw = self.attention(maps, context.logits.shape[-2:])
        whole = Box(0, 0, height, width)
        if box is None:
            boxes = split_image((height, width), self.detail)
            detail_NCHW = infer_windows(lambda windows: infer(windows)[0].logits, image_N3HW, boxes, False)
        else:
            self._check(box, whole)
            detail_NCHW = infer(box.crop(image_N3HW))[0].logits
        fused_NCHW = fuse(context.logits, attention_NChw, detail_NCHW, (box or whole).divided(self.step))
        return context._replace(logits=fused_NCHW, detail=None if box is None else detail_NCHW, box=box)

    def draw_box(self, size: HxW, rng: np.random.Generator) -> Box:
        """Draw the place of the detail crop in images of (height, width): multiples of `step`, the last one included.

        Raises UdasegError where the images are smaller than the crop.
        """
        if any(part > side for part, side in zip(self.detail, size, strict=True)):
            raise UdasegError(
                f"images of {size[0]}x{size[1]} are smaller than the detail of {self.detail[0]}x{self.detail[1]}",
                f"set model.detail to [{size[0]},{size[1]}] or less",
            )
        positions = [(side - part) // self.step + 1 for part, side in zip(self.detail, size, strict=True)]
        top, left = (int(rng.integers(count)) * self.step for count in positions)
        return Box(top, left, *self.detail)

    def _check(self, box: Box, whole: Box) -> None:
        """Raise UdasegError for a box outside the image, or between the rows and columns of the context's logits."""
        is_inside = 0 <= box.top <= whole.height - box.height and 0 <= box.left <= whole.width - box.width
        if not is_inside or any(side % self.step for side in box):
            raise UdasegError(
                f"the detail {tuple(box)} (top, left, height, width) does not lie in an image of {whole.height}x"
                f"{whole.width} at multiples of {self.step}",
                "draw it with draw_box",
            )


def halve(image_N3HW: Tensor) -> Tensor:
    """Return the context of images with even sides: the images at half of their resolution."""
    height, width = image_N3HW.shape[-2:]
    return interpolate(image_N3HW, size=(height // 2, width // 2), mode="bilinear")


def fuse(context_NChw: Tensor, attention_NChw: Tensor, detail_NCHW: Tensor, box: Box) -> Tensor:
    """Fuse the logits of the context with those of the detail, at twice the resolution: float32 [N, C, 2h, 2w].

    `attention` is the share of the detail, 0 outside of the box, which lies in the context's rows and columns. The
    products are taken before the enlargement, which is bilinear (HRDA).
    """
    margins = (
        box.left,
        context_NChw.shape[-1] - box.left - box.width,
        box.top,
        context_NChw.shape[-2] - box.top - box.height,
    )
    share_NChw = pad(box.crop(attention_NChw), margins)
    detail_NCHW = pad(detail_NCHW.float(), [2 * margin for margin in margins])
    rest_NCHW = _double((1 - share_NChw) * context_NChw.float())
    return _double(share_NChw) * detail_NCHW + rest_NCHW


def _double(map_NChw: Tensor) -> Tensor:
    height, width = map_NChw.shape[-2:]
    return interpolate(map_NChw, size=(2 * height, 2 * width), mode="bilinear")


def add_detail(network: Network, classes: int, detail: HxW) -> None:
    """Let a network see the detail of images beside their context.

    Raises UdasegError where the network's logits do not have a stride of 4 or 8, or the crop has no whole rows and
    columns in the context's.
    """
    resolutions = MultiResolution(network, classes, detail, _stride(network))
    multiple = math.lcm(resolutions.step, network.backbone.multiple)
    if any(side % multiple for side in detail):
        rounded = ",".join(str(max(1, round(side / multiple)) * multiple) for side in detail)
        raise UdasegError(
            f"model.detail is {detail[0]}x{detail[1]}, and this network needs multiples of {multiple}",
            f"set model.detail=[{rounded}]",
        )
    network.resolutions = resolutions


def _stride(network: Network) -> int:
    """Return the stride of a network's logits, 4 or 8; raise UdasegError where they have another one."""
    side = 2 * math.lcm(32, network.backbone.multiple)
    state = {name: value.to("meta") for name, value in (*network.named_parameters(), *network.named_buffers())}
    is_training = network.training
    with torch.no_grad():
        logits = torch.func.functional_call(network.eval(), state, torch.empty(1, 3, side, side, device="meta")).logits
    network.train(is_training)
    for stride in STRIDES:
        if logits.shape[-1] * stride == side:
            return stride
    raise UdasegError(
        f"model.detail needs logits at stride 4 or 8; those of this network have {logits.shape[-1]} columns for an "
        f"image of {side}",
        "set model.decoder=daformer, segformer or fpn",
    )
