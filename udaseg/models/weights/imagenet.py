"""The ImageNet weights of all encoders: of torchvision for the ResNets, of timm's hub for all others."""

from pathlib import Path

from udaseg.config.networks import ENCODERS
from udaseg.models.weights import torchvision


def find_imagenet(encoder: str) -> tuple[str, Path, bool]:
    """Return the address of an encoder's ImageNet weights, the path to put them at, and whether they are here.

    Raises UdasegError where there are none.
    """
    if encoder in ENCODERS:
        path = torchvision.imagenet_path(encoder)
        return torchvision.imagenet_url(encoder), path, path.is_file()
    from udaseg.models.weights import hub  # imports timm

    file = hub.find_hub_file(encoder)
    return file.url, file.path, hub.cached_path(file) is not None


def download_imagenet(encoder: str) -> Path:
    """Return the path of an encoder's ImageNet weights, after a download where they are not on this machine.

    Raises UdasegError where there are none, and where the download fails.
    """
    if encoder in ENCODERS:
        return torchvision.download_imagenet(encoder)
    from udaseg.models.weights import hub  # imports timm

    return hub.download_from_hub(encoder)
