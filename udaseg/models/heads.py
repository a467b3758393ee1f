"""Heads that estimate a map beside the classes: inverse depth, and the density of a depth distribution."""

from collections.abc import Sequence

from torch import Tensor, nn

LEAST = 64  # channels inside a head


class MapHead(nn.Sequential):
    """Estimate one number for each place of the features: float [N, D, h, w] to float32 [N, 1, h, w], of either sign.

    1x1 to D / 4 channels, ReLU, 3x3 to as many, ReLU, 1x1 to D / 16, and the mean of these: 512, 512 and 128 for the
    2048 of a ResNet-101, as published. Weights start from N(0, 0.01) (depth distribution, after DADA).
    """

    def __init__(self, channels: int):
        hidden = max(LEAST, channels // 4)
        first, last = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, hidden // 4, 1)
        middle = nn.Conv2d(hidden, hidden, 3, padding=1)
        for convolution in (first, middle, last):
            nn.init.normal_(convolution.weight, std=0.01)
        super().__init__(first, nn.ReLU(inplace=True), middle, nn.ReLU(inplace=True), last)

    def forward(self, features_NDhw: Tensor) -> Tensor:
        # In float32 the mean averages the rounding of bfloat16 out: a depth of 130 would be off by half a unit.
        return super().forward(features_NDhw).float().mean(1, keepdim=True)


class Heads(nn.ModuleDict):
    """Hold the heads of a network by name, `depth` and `density`; none of them until they are added."""

    def add(self, names: Sequence[str], channels: int) -> None:
        """Make heads on features of so many channels; their weights are drawn after all others of the network."""
        self.update({name: MapHead(channels) for name in names})

    def forward(self, features_NDhw: Tensor) -> dict[str, Tensor]:
        return {name: head(features_NDhw) for name, head in self.items()}
