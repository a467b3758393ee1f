"""Find or download torchvision's ImageNet weights of the ResNets."""

import socket
from pathlib import Path

import torch

from udaseg.errors import UdasegError
from udaseg.models.encoders import imagenet_url

DOWNLOAD_TIMEOUT = 30  # seconds without an answer


def imagenet_path(backbone: str) -> Path:
    """Return the path of an encoder's ImageNet weights in PyTorch's cache; the file may not exist."""
    return Path(torch.hub.get_dir()) / "checkpoints" / imagenet_url(backbone).rsplit("/", 1)[1]


def download_imagenet(backbone: str) -> Path:
    """Return the path of an encoder's ImageNet weights in PyTorch's cache, after a download if the file is missing.

    Raises UdasegError where the download fails.
    """
    url, path = imagenet_url(backbone), imagenet_path(backbone)
    if path.is_file():
        return path
    timeout = socket.getdefaulttimeout()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
        digest = path.name.removesuffix(".pth").rsplit("-", 1)[1]
        torch.hub.download_url_to_file(url, str(path), digest, progress=False)
    except (OSError, RuntimeError) as error:
        raise UdasegError(
            f"cannot download the ImageNet weights of {backbone}: {error}",
            f"download {url} elsewhere and copy it to {path}, name a file of weights with --set model.weights=FILE, "
            "or train from scratch with --set model.weights=none",
        ) from None
    finally:
        socket.setdefaulttimeout(timeout)
    return path
