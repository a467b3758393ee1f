"""The colour conventions of networks; a wrong one costs accuracy and raises no error."""

from typing import NamedTuple

from torch import Tensor

from udaseg.errors import UdasegError
from udaseg.models.devices import fill


class Convention(NamedTuple):
    """The order of the colour channels, and the mean and standard deviation that normalise each."""

    order: tuple[int, int, int]  # the index in RGB of the first, second and third channel
    mean: tuple[float, float, float]  # in the network's order, on the scale 0 to 255
    std: tuple[float, float, float]


IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
CLIP_MEAN = (0.48145466 * 255, 0.4578275 * 255, 0.40821073 * 255)
CLIP_STD = (0.26862954 * 255, 0.26130258 * 255, 0.27577711 * 255)
CONVENTIONS = {
    "rgb-imagenet": Convention((0, 1, 2), IMAGENET_MEAN, IMAGENET_STD),  # torchvision, CRST, FADA, BiSeNet
    "bgr-mean": Convention((2, 1, 0), (104.00698793, 116.66876762, 122.67891434), (1.0, 1.0, 1.0)),  # Caffe's ResNet
    "rgb": Convention((0, 1, 2), (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),  # ProDA
    "rgb-half": Convention((0, 1, 2), (127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),  # TensorFlow's EfficientNet-Lite
    "rgb-clip": Convention((0, 1, 2), CLIP_MEAN, CLIP_STD),  # CLIP, EVA02
}


def mean_color(color: str) -> tuple[int, int, int]:
    """Return the red, green and blue, 0 to 255, that a convention normalises to zero, within half a value."""
    order, mean, _ = CONVENTIONS[color]
    red, green, blue = (round(mean[order.index(channel)]) for channel in range(3))
    return red, green, blue


def normalise(image: Tensor, color: str) -> Tensor:
    """Turn RGB images into the input of a network, on the device of the images.

    `image` is [N, 3, H, W] or [N, H, W, 3], uint8 or float, 0 to 255; stylised images may exceed that range. Returns
    float32 [N, 3, H, W]; a channels-last input gives a channels-last output. Raises UdasegError for other shapes.
    """
    if image.ndim != 4 or 3 not in (image.shape[1], image.shape[3]):
        raise UdasegError(
            f"a batch of images has shape {list(image.shape)}, expected [N, 3, H, W] or [N, H, W, 3]",
            "read images as RGB and stack them",
        )
    image_N3HW = image if image.shape[1] == 3 else image.permute(0, 3, 1, 2)
    order, mean, std = CONVENTIONS[color]
    if order != (0, 1, 2):
        image_N3HW = image_N3HW.flip(1)
    shift, scale = (fill(values, image.device).view(3, 1, 1) for values in (mean, std))
    return image_N3HW.float().sub(shift).div_(scale)
