"""Draw logits, labels and images as networks and cameras give them: smooth regions, soft borders, speckles."""

from functools import cache

import numpy as np
from scipy import ndimage

from udaseg.inference.confidence import label_and_confidence

CLASSES = 19
STRIDE = 8


@cache
def logits(size: tuple[int, int]) -> np.ndarray:
    """Draw logits at stride 8, float16 [19, h, w], whose softmax saturates inside of regions."""
    rng = np.random.default_rng(0)
    shape = CLASSES, size[0] // STRIDE, size[1] // STRIDE
    coarse, fine = (ndimage.gaussian_filter(rng.standard_normal(shape), (0, sigma, sigma)) for sigma in (20, 2))
    # At 1024x2048 one pixel in 180 starts another class, and the median confidence is 0.99: what networks give.
    logits_CHW = 14 * coarse / coarse.std() + fine / fine.std()
    logits_CHW += rng.standard_normal(CLASSES)[:, None, None]  # classes are not equally frequent
    return logits_CHW.astype(np.float16)


@cache
def labelled(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the label, uint8 [H, W], and the confidence, float32 [H, W], of the drawn logits."""
    return label_and_confidence(logits(size), *size, False)


@cache
def pseudo_label(size: tuple[int, int]) -> np.ndarray:
    """Return the pseudo-label of the drawn logits: the less confident half is 255."""
    label, confidence = labelled(size)
    return np.where(confidence >= np.median(confidence), label, np.uint8(255))


@cache
def noisy_label(size: tuple[int, int]) -> np.ndarray:
    """Return a hard case, the label of a network that is unsure everywhere: white noise on all logits."""
    logits_CHW = logits(size)
    noise_CHW = np.random.default_rng(1).normal(0, 4, logits_CHW.shape)
    return label_and_confidence((logits_CHW + noise_CHW).astype(np.float16), *size, False)[0]


@cache
def image(size: tuple[int, int], seed: int) -> np.ndarray:
    """Draw an image, uint8 [H, W, 3], smooth over many scales: as PNG it takes the time and size of a photograph."""
    rng = np.random.default_rng(seed)
    spectrum = np.fft.rfft2(rng.standard_normal((*size, 3)), axes=(0, 1))
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None, None], np.fft.rfftfreq(size[1])[None, :, None])
    image = np.fft.irfft2(spectrum / (frequency + 0.002) ** 2, s=size, axes=(0, 1))
    return ((image - image.min()) * 255 / np.ptp(image)).astype(np.uint8)
