"""Time FDA of a uint8 image."""

from collections.abc import Iterator

import numpy as np
import scene
from measure import Call, Row, largest

from udaseg.data.style import fda


def by_definition(source_HWC: np.ndarray, target_HWC: np.ndarray, beta: float) -> Call:
    """Swap the centred window of the amplitudes in float64: the published formula, with a symmetric window."""
    b, _ = fda.half_width(*source_HWC.shape[:2], beta)
    row, column = (side // 2 for side in source_HWC.shape[:2])
    window = slice(row - b, row + b + 1), slice(column - b, column + b + 1)

    def call() -> np.ndarray:
        source = np.fft.fft2(source_HWC.astype(np.float64), axes=(0, 1))
        target = np.fft.fft2(target_HWC.astype(np.float64), axes=(0, 1))
        amplitude, phase = np.abs(source), np.angle(source)
        amplitude = np.fft.fftshift(amplitude, axes=(0, 1))
        amplitude[window] = np.fft.fftshift(np.abs(target), axes=(0, 1))[window]
        mixed = np.fft.ifftshift(amplitude, axes=(0, 1)) * np.exp(1j * phase)
        levels = np.fft.ifft2(mixed, axes=(0, 1)).real
        return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)

    return call


def by_albumentations(source_HWC: np.ndarray, target_HWC: np.ndarray, beta: float) -> Call:
    from albumentations.augmentations.mixing.domain_adaptation_functional import fourier_domain_adaptation

    return lambda: fourier_domain_adaptation(source_HWC, target_HWC, beta)


def from_images(source_HWC: np.ndarray, target_HWC: np.ndarray, beta: float) -> Call:
    return lambda: fda.stylize(source_HWC, fda.low_band(target_HWC, beta))


def rows(size: tuple[int, int]) -> Iterator[Row]:
    source_HWC, target_HWC = scene.image(size, 0), scene.image(size, 1)
    for beta, target in ((0.01, 25), (0.05, None), (0.1, 20)):
        style = fda.low_band(target_HWC, beta)
        reference = "reference formula in NumPy"
        yield Row(
            f"FDA, beta {beta}, style stored",
            lambda style=style: fda.stylize(source_HWC, style),
            {
                reference: lambda beta=beta: by_definition(source_HWC, target_HWC, beta),
                "albumentations": lambda beta=beta: by_albumentations(source_HWC, target_HWC, beta),
                "udaseg, style from the target image": lambda beta=beta: from_images(source_HWC, target_HWC, beta),
            },
            2 * source_HWC.nbytes,
            largest("grey levels"),
            {reference: target, "albumentations": target},
        )
