"""Convert linear light into the image that a camera records."""

import numpy as np

from .style import Sensor


def expose(
    light_HWC: np.ndarray, sensor: Sensor, rng: np.random.Generator, grain: np.random.Generator | None = None
) -> np.ndarray:
    """Convert linear light, float32 [H, W, 3], into an image, uint8 [H, W, 3].

    `grain` draws the noise where it is another one than that of `rng`, which draws how the camera is set. Applies
    optics, vignetting, white balance, noise, tone curve, saturation and colour resolution.
    """

    def draw(low_high):
        return low_high[0] + (low_high[1] - low_high[0]) * rng.random()

    height, width = light_HWC.shape[:2]
    image = blur(light_HWC.astype(np.float32), draw(sensor.blur) * width / 512)
    warm, green = draw(sensor.warm), draw(sensor.green)
    image *= np.exp(np.array([warm, green, -warm], np.float32)) * np.float32(draw(sensor.exposure))
    y, x = np.ogrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    image *= (1.0 - draw(sensor.vignette) * (x * x + y * y) / 2.0).astype(np.float32)[:, :, None]
    # Shot noise grows with the square root of light, which is nearly constant after the tone curve.
    image = np.clip(image, 0.0, None) ** np.float32(1 / 2.2)
    contrast, lift = np.float32(draw(sensor.contrast)), np.float32(draw(sensor.lift))
    image = lift + (1 - lift) * (0.5 + contrast * (image - 0.5))
    # Highlights roll off instead of clipping.
    image = np.where(image > 0.8, 0.8 + 0.2 * np.tanh((image - 0.8) / 0.2), image)
    grey = image @ np.array([0.299, 0.587, 0.114], np.float32)
    chroma = (image - grey[:, :, None]) * np.float32(draw(sensor.saturation))
    noise = draw(sensor.noise)
    grain = rng if grain is None else grain
    if sensor.chroma_blur:
        chroma = blur(chroma, sensor.chroma_blur * width / 512)
    grey = grey + grain.standard_normal((height, width), np.float32) * np.float32(noise)
    image = grey[:, :, None] + chroma
    image += blur(grain.standard_normal((height, width, 3), np.float32), 0.6) * np.float32(0.8 * noise)
    return (np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)


def blur(image_HWC: np.ndarray, sigma: float) -> np.ndarray:
    """Blur by a Gaussian of `sigma` pixels, edges repeated; float32 [H, W, C] in and out."""
    if sigma < 0.05:
        return image_HWC
    reach = max(1, int(np.ceil(2.5 * sigma)))
    weight = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    weight = (weight / weight.sum()).astype(np.float32)
    for axis in (0, 1):
        pad = [(reach, reach) if a == axis else (0, 0) for a in range(3)]
        wide, size = np.pad(image_HWC, pad, mode="edge"), image_HWC.shape[axis]
        image_HWC = sum(w * (wide[i : i + size] if axis == 0 else wide[:, i : i + size]) for i, w in enumerate(weight))
    return image_HWC
