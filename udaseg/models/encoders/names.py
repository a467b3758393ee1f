"""The names of timm's encoders, and how each was trained to read colours."""

import timm

from udaseg.errors import UdasegError, did_you_mean
from udaseg.models.colors import CONVENTIONS

# MiT (SegFormer) has the layers of timm's PVTv2, with these ratios of the hidden layers in all four stages.
MIT = {f"mit_b{n}": (f"pvt_v2_b{n}", {"mlp_ratios": (4, 4, 4, 4)}) for n in range(6)}
MIT_LICENSE = "NVIDIA's, non-commercial"  # of the published weights; the layers here are timm's
TOLERANCE = 0.5  # of a colour value from 0 to 255, between a convention and the numbers of timm


def timm_name(name: str) -> tuple[str, dict]:
    """Return the name that timm has for an encoder, and the arguments that it needs; raise UdasegError for no name.

    `mit_b0` to `mit_b5` are aliases. The name may have a tag of weights, as in `resnet50.a1_in1k`.
    """
    if name.startswith("timm-"):
        raise UdasegError(
            f"{name} is a name of segmentation_models_pytorch: it reads the weights of timm and computes other "
            "features, with another epsilon and another padding",
            f"set model.encoder={name.removeprefix('timm-')}",
        )
    known, arguments = MIT.get(name, (name, {}))
    if not timm.is_model(known):
        candidates = [*MIT, *timm.list_models()]
        raise UdasegError(
            f"there is no encoder {name!r} in timm {timm.__version__}",
            f"{did_you_mean(name.partition('.')[0], candidates)}timm.list_models() lists all",
        )
    tags = timm.list_pretrained(f"{known.partition('.')[0]}.*")
    if "." in known and known not in tags:
        raise UdasegError(
            f"timm {timm.__version__} has no weights {name!r}",
            f"{did_you_mean(name, tags)}known: {', '.join(tags) or 'none of this encoder'}",
        )
    return known, arguments


def trained_colors(name: str) -> str:
    """Return the colour convention that an encoder of timm was trained with.

    Raises UdasegError where it is none of `CONVENTIONS`.
    """
    settings = timm.get_pretrained_cfg(timm_name(name)[0], allow_unregistered=True)
    mean, std = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)) if settings is None else (settings.mean, settings.std)
    expected = [255 * value for value in (*mean, *std)]
    for color, convention in CONVENTIONS.items():
        values = (*convention.mean, *convention.std)
        if convention.order == (0, 1, 2) and max(abs(a - b) for a, b in zip(values, expected, strict=True)) < TOLERANCE:
            return color
    raise UdasegError(
        f"{name} was trained on colours with mean {mean} and deviation {std}, which no convention has",
        f"choose another encoder, or train it anew with one of: {', '.join(CONVENTIONS)} (model.color)",
    )


def weights_license(name: str) -> str | None:
    """Return the licence of the ImageNet weights of an encoder of timm, None where timm does not know it."""
    if name in MIT:
        return MIT_LICENSE
    settings = timm.get_pretrained_cfg(timm_name(name)[0], allow_unregistered=True)
    return None if settings is None else settings.license
