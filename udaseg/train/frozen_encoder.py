"""Encoders with fixed weights, from whose features those of a student are kept near."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from udaseg import models
from udaseg.config import Model
from udaseg.models.colors import normalise
from udaseg.models.encoders import Encoder
from udaseg.models.multi_resolution import Infer, halve
from udaseg.models.network import Decoded, Network
from udaseg.models.output import Output
from udaseg.train import setup
from udaseg.train.domains import Autocast


class EncoderAlone(Network):
    """An encoder without a decoder: its last map is what a network pads, cuts and returns."""

    align_corners = False
    inner_classifiers = 0

    def __init__(self, encoder: Encoder):
        super().__init__()
        self.backbone, self.feature_channels = encoder, encoder.channels[-1]

    def decode(self, image_N3HW: Tensor, maps: tuple[Tensor, ...]) -> Decoded:
        return Decoded(maps[-1], maps[-1])


class ContextAlone(nn.Module):
    """See the context of images alone, as a network with `model.detail` does beside their detail."""

    def __init__(self, multiple: int):
        super().__init__()
        self.multiple = multiple

    def forward(self, infer: Infer, image_N3HW: Tensor, box: None) -> Output:
        return infer(halve(image_N3HW))[0]


class FrozenEncoder:
    """The encoder of a network with the weights that the settings name, in evaluation mode.

    With `model.detail` it sees the context alone. With `side` the shorter side of the images that it sees is about that
    long, in whole patches, and they keep their aspect.
    """

    def __init__(
        self,
        settings: Model,
        classes: Sequence[str],
        device: torch.device,
        autocast: Autocast,
        side: int | None = None,
    ):
        settings = models.resolve_color(settings)
        whole = models.build(settings, classes)
        alone = EncoderAlone(whole.backbone)
        if whole.resolutions is not None:
            alone.resolutions = ContextAlone(whole.resolutions.multiple)
        self.network = setup.frozen(alone, device)
        self.channels, self._side = self.network.feature_channels, side
        self._color, self._autocast = settings.color, autocast

    @torch.no_grad()
    def last_map(self, images_NHWC: Tensor) -> Tensor:
        """Return the last map of uint8 images [N, H, W, 3], float32 [N, D, h, w]."""
        images_N3HW = normalise(images_NHWC, self._color)
        if self._side is not None:
            size = fit_side(images_N3HW.shape[-2:], self._side, self.network.backbone.multiple)
            images_N3HW = functional.interpolate(images_N3HW, size=size, mode="bilinear", antialias=True)
        with self._autocast():
            return self.network(images_N3HW).deep.float()


def fit_side(size: Sequence[int], side: int, multiple: int) -> list[int]:
    """Scale a (height, width) so that the shorter side is about `side`; round both to multiples, at least one."""
    return [max(1, round(length * side / min(size) / multiple)) * multiple for length in size]
