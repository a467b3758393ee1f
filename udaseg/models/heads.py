"""Heads that estimate a map beside the classes: inverse depth, once or twice, and the density of its distribution."""

from collections.abc import Sequence

from torch import Tensor, nn

MIN_CHANNELS = 64  # inside a head


class MapHead(nn.Sequential):
    """Estimate one number for each position of the features: float [N, D, h, w] to float32 [N, 1, h, w].

    Layers: 1x1 convolution to D / 4 channels, ReLU, 3x3 to D / 4, ReLU, 1x1 to D / 16, mean over the channels. For
    the 2048 channels of a ResNet-101 these are 512, 512 and 128, as published. Weights are drawn from N(0, 0.01)
    (depth distribution, after DADA).
    """

    def __init__(self, channels: int):
        hidden = max(MIN_CHANNELS, channels // 4)
        first, last = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, hidden // 4, 1)
        middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        for convolution in (first, middle, last):
            nn.init.normal_(convolution.weight, std=0.01)
        super().__init__(first, nn.ReLU(inplace=True), middle, nn.ReLU(inplace=True), last)

    def forward(self, features_NDhw: Tensor) -> Tensor:
        # The mean is in float32: in bfloat16 a depth of 130 would be wrong by half a unit.
        return super().forward(features_NDhw).float().mean(1, keepdim=True)


class Heads(nn.ModuleDict):
    """The heads of a network by name, `depth`, `density` and `target_depth`; empty until heads are added."""

    def add(self, names: Sequence[str], channels: int) -> None:
        """Add heads with these names for features of `channels` channels, with random weights.

        Call it after all other layers are built: the weights of those then do not depend on the heads.
        """
        self.update({name: MapHead(channels) for name in names})

    def forward(self, features_NDhw: Tensor) -> dict[str, Tensor]:
        return {name: head(features_NDhw) for name, head in self.items()}
