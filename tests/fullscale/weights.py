"""Random weights in a file of torchvision's, in the place of those that no test downloads."""

from pathlib import Path

import torch
import torchvision

SHARE = 0.2  # of a block in its sum: with 1, the features of a deep network with frozen statistics grow without end


def write_weights(encoder: str) -> str:
    """Write `<encoder>.pth` to the working directory where it is not there yet; return its name, or none.

    A ResNet has such a file. The other encoders start from weights=none.
    """
    file = Path(f"{encoder}.pth")
    if not encoder.startswith("resnet") or not hasattr(torchvision.models, encoder):
        return "none"
    if not file.exists():
        torch.manual_seed(0)
        last = 2 if encoder in ("resnet18", "resnet34") else 3  # batch norm of a block
        model = getattr(torchvision.models, encoder)()
        for name, parameter in model.named_parameters():
            if name.endswith(f"bn{last}.weight"):
                torch.nn.init.constant_(parameter, SHARE)
        torch.save(model.state_dict(), file)
    return str(file)
