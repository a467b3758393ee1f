"""The geometry of each published system: what size images are brought to, what is cropped, which colours go in.

A recipe that says `geometry: advent` starts from these settings; what it says itself lies over them. Sizes are
(height, width). Mixing up any of it costs points and raises no error, so nobody should have to type it.
"""

from typing import Any

_GTA = [720, 1280]
_HALF = [512, 1024]  # half a Cityscapes image


def _sides(source: list[int], target: list[int], crop: list[int] | None = None, **augment: Any) -> dict[str, Any]:
    training = {"augment": {"crop": crop, **augment}}
    return {"source": {"size": source}, "target": {"size": target}, "warmup": training, "retrain": training}


def _colour(color: str) -> dict[str, Any]:
    return {"model": {"color": color}}


# BiSeNet is that of the real-time entry. SYNTHIA's frames are 760 high: its recipes say so in source.size.
PRESETS: dict[str, dict[str, Any]] = {
    "adaptsegnet": _sides(_GTA, _HALF) | _colour("bgr-mean"),
    "advent": _sides(_GTA, _HALF) | _colour("bgr-mean"),
    "fda": _sides(_GTA, _HALF, _HALF) | _colour("bgr-mean") | {"evaluate": {"size": [576, 1344]}},
    "depth-distribution": _sides([760, 1280], [760, 1280]) | _colour("bgr-mean"),
    "depth-distribution-small": _sides([320, 640], [320, 640]) | _colour("bgr-mean"),
    "dada": _sides([760, 1280], _HALF) | _colour("bgr-mean"),
    "crst": _sides([1052, 1914], [1024, 2048], _HALF, scale=[0.5, 1.5]) | _colour("rgb-imagenet"),
    "cbst": _sides([1052, 1914], [1024, 2048], [500, 500], scale=[0.7, 1.3]) | _colour("rgb-imagenet"),
    "fada": _sides(_GTA, _HALF, jitter=0.5) | _colour("rgb-imagenet"),
    "proda": _sides([1209, 2200], [1100, 2200], [512, 896]) | _colour("rgb") | {"evaluate": {"size": [1024, 2048]}},
    "cag": _sides([1209, 2200], [1100, 2200], [512, 896]) | _colour("rgb-imagenet"),
    "daformer": _sides(_GTA, _HALF, [512, 512]) | _colour("rgb-imagenet"),
    "hrda": _sides([1440, 2560], [1024, 2048], [1024, 1024]) | _colour("rgb-imagenet"),
    "bisenet": _sides(_GTA, _HALF, _HALF, blur=0.5) | _colour("rgb-imagenet"),
}
