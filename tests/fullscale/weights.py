"""Random weights in a file, in the place of those that no test downloads."""

from pathlib import Path

import timm
import torch
import torchvision
from torch import nn

from udaseg.models.encoders.names import timm_name

SHARE = 0.2  # of a block in its sum: with 1, the features of a deep network with frozen statistics grow without end


def write_weights(encoder: str) -> str:
    """Write `<encoder>.pth` to the working directory where it is not there yet; return its name, or none.

    A ResNet has a file of torchvision's, another encoder of timm one of timm's. VGG-16 and the wide ResNet-38 start
    from weights=none.
    """
    file = Path(f"{encoder}.pth")
    if encoder in ("vgg16", "resnet38"):
        return "none"
    if not file.exists():
        torch.manual_seed(0)
        torch.save(_build(encoder).state_dict(), file)
    return str(file)


def _build(encoder: str) -> nn.Module:
    if not hasattr(torchvision.models, encoder):
        name, arguments = timm_name(encoder)
        return timm.create_model(name, num_classes=0, **arguments)
    model = getattr(torchvision.models, encoder)()
    last = 2 if encoder in ("resnet18", "resnet34") else 3  # batch norm of a block
    for name, parameter in model.named_parameters():
        if name.endswith(f"bn{last}.weight"):
            nn.init.constant_(parameter, SHARE)
    return model
