"""Convert the weights of an encoder from one colour convention to another."""

import torch

from udaseg.models.encoders import Encoder
from udaseg.models.normalisation import CONVENTIONS


@torch.no_grad()
def convert_colors(backbone: Encoder, color: str) -> None:
    """Convert an encoder's weights from the colour convention `rgb-imagenet` to another one, in place.

    Let z be the new input and x the old one: x = (z std + mean - MEAN) / STD for each channel. The first convolution
    takes over the factor, its normalisation the constant. The output stays the same, except at the zero-padded
    border. The running statistics take over the scale, so that the weights keep their magnitude: a convolution 57
    times smaller would learn 3,000 times faster.
    """
    if color == "rgb-imagenet":
        return
    order, mean, std = CONVENTIONS[color]
    trained = CONVENTIONS["rgb-imagenet"]
    channels = list(order)
    old_mean, old_std = torch.tensor(trained.mean)[channels], torch.tensor(trained.std)[channels]
    gain, offset = torch.tensor(std) / old_std, (torch.tensor(mean) - old_mean) / old_std
    scale = max(1.0, float(1 / gain.mean()))
    conv, bn = backbone.conv1, backbone.bn1
    weight = conv.weight[:, channels]
    bn.running_mean.sub_((weight * offset.view(1, 3, 1, 1)).sum((1, 2, 3))).mul_(scale)
    bn.running_var.copy_((bn.running_var + bn.eps) * scale**2 - bn.eps)
    conv.weight.copy_(weight * (gain * scale).view(1, 3, 1, 1))
