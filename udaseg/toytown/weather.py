"""Draw the light and the air of a scene, which all its frames share."""

from typing import NamedTuple

import numpy as np

from .scene import Scene
from .style import Style


class Sky(NamedTuple):
    """What lights a scene, as `shade.light` takes it."""

    toward: tuple[float, float, float]  # the direction of the sun
    sun: np.ndarray  # float64 [10]
    sky: np.ndarray  # float64 [11]
    air: np.ndarray  # float64 [4]: haze colour, haze per metre


def draw_sky(scene: Scene, style: Style) -> Sky:
    """Draw random weather of a style."""
    weather, rng = style.weather, scene.rng
    azimuth, elevation = rng.uniform(-np.pi, np.pi), scene.between(weather.sun_height)
    flat = np.cos(elevation)
    toward = (flat * np.sin(azimuth), np.sin(elevation), flat * np.cos(azimuth))
    cloudiness, sunshine = scene.between(weather.cloudiness), scene.between(weather.sun)
    sun_color = np.array(weather.sun_color) * sunshine
    ambient = np.array(weather.ambient_color) * scene.between(weather.ambient)
    sun = np.array([*toward, *sun_color, *ambient, 0.92])
    zenith, horizon, cloud = (
        (np.array(scene.tint(c, 0.06)) / 255) ** 2.2 for c in (weather.zenith, weather.horizon, weather.cloud)
    )
    sky = np.array([*zenith, *horizon, *cloud, cloudiness, float(rng.integers(1 << 20))])
    return Sky(toward, sun, sky, np.array([*(0.94 * horizon), scene.between(weather.haze)]))
