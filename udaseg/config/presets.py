"""Presets of the published systems: the image sizes, crops, random changes and colours that they train with.

A recipe with `geometry: advent` starts from these settings; its own settings lie over them. Sizes are (height, width).
A mistake in one of them costs points and raises no error, so no recipe should have to repeat them.
"""

from typing import Any

_GTA = [720, 1280]
_HALF = [512, 1024]  # half a Cityscapes image


def _sizes(source: list[int], target: list[int], crop: list[int] | None = None, **augment: Any) -> dict[str, Any]:
    training = {"augment": {"crop": crop, **augment}}
    return {"source": {"size": source}, "target": {"size": target}, "warmup": training, "retrain": training}


def _color(color: str) -> dict[str, Any]:
    return {"model": {"color": color}}


# `bisenet` is the real-time system. SYNTHIA's images are 760 pixels high: recipes on it set source.size.
PRESETS: dict[str, dict[str, Any]] = {
    "adaptsegnet": _sizes(_GTA, _HALF) | _color("bgr-mean"),
    "advent": _sizes(_GTA, _HALF) | _color("bgr-mean"),
    "fda": _sizes(_GTA, _HALF, _HALF) | _color("bgr-mean") | {"evaluate": {"size": [576, 1344]}},
    "depth-distribution": _sizes([760, 1280], [760, 1280]) | _color("bgr-mean"),
    "depth-distribution-small": _sizes([320, 640], [320, 640]) | _color("bgr-mean"),
    "dada": _sizes([760, 1280], _HALF) | _color("bgr-mean"),
    "crst": _sizes([1052, 1914], [1024, 2048], _HALF, scale=[0.5, 1.5]) | _color("rgb-imagenet"),
    "cbst": _sizes([1052, 1914], [1024, 2048], [500, 500], scale=[0.7, 1.3]) | _color("rgb-imagenet"),
    "fada": _sizes(_GTA, _HALF, jitter=0.5) | _color("rgb-imagenet"),
    "proda": _sizes([1209, 2200], [1100, 2200], [512, 896]) | _color("rgb") | {"evaluate": {"size": [1024, 2048]}},
    "cag": _sizes([1209, 2200], [1100, 2200], [512, 896]) | _color("rgb-imagenet"),
    "dacs": _sizes(_GTA, _HALF, [512, 512]) | _color("bgr-mean"),
    "daformer": _sizes(_GTA, _HALF, [512, 512]) | _color("rgb-imagenet"),
    "hrda": _sizes([1440, 2560], [1024, 2048], [1024, 1024]) | _color("rgb-imagenet"),
    "bisenet": _sizes(_GTA, _HALF, _HALF, blur=0.5) | _color("rgb-imagenet"),
}
