"""The weathers of the stream: the streets of toytown's real domain in light and air that its training split lacks."""

from dataclasses import replace

from .domains import CITYSCAPES
from .style import Style


def _weather(name: str, sensor: dict | None = None, **weather: object) -> Style:
    changed = replace(CITYSCAPES.weather, **weather)
    return replace(CITYSCAPES, name=name, weather=changed, sensor=replace(CITYSCAPES.sensor, **(sensor or {})))


# In the order of the stream: the usual grey sky, low clear sun, fog, and the noise of a camera at nightfall.
WEATHERS = (
    _weather("clouds", sun=(0.0, 0.1), cloudiness=(0.8, 1.0)),
    _weather(
        "sun", sun_height=(0.3, 0.7), sun=(0.9, 1.2), sun_color=(1.08, 0.98, 0.84), ambient=(0.34, 0.45),
        ambient_color=(0.88, 0.97, 1.12), cloudiness=(0.0, 0.3), zenith=((84, 130, 192), (100, 142, 200)),
        horizon=((178, 204, 226), (200, 210, 220)),
    ),
    _weather("fog", sun=(0.0, 0.05), cloudiness=(0.9, 1.0), haze=(0.02, 0.05)),
    _weather(
        "dusk", sun_height=(0.1, 0.25), sun=(0.05, 0.15), sun_color=(1.2, 0.86, 0.62), ambient=(0.14, 0.24),
        ambient_color=(0.86, 0.94, 1.2), cloudiness=(0.3, 0.9), zenith=((54, 66, 104), (70, 76, 104)),
        horizon=((150, 116, 104), (126, 112, 122)), cloud=((104, 102, 116),),
        sensor={"exposure": (0.9, 1.2), "noise": (0.025, 0.05), "blur": (0.6, 1.0)},
    ),
)  # fmt: skip
