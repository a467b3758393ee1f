"""Time spatial aggregation, which removes the label of components that are too small."""

from collections.abc import Iterator

import numpy as np
import scene
from measure import Call, Row

from udaseg.pseudo.aggregation import aggregate

MINIMUM = np.linspace(50, 5000, scene.CLASSES).astype(np.int64)


def remove_small(label: np.ndarray, components: np.ndarray) -> np.ndarray:
    """Remove small components; they are numbered from 1 over all classes, 0 is no label."""
    sizes = np.bincount(components.ravel())
    kind = np.zeros(len(sizes), np.uint8)
    kind[components] = label
    minimum = np.append(MINIMUM, np.zeros(256 - len(MINIMUM), np.int64))
    return np.where((sizes < minimum[kind])[components], np.uint8(255), label)


def by_scipy(label: np.ndarray) -> Call:
    from scipy import ndimage

    def call() -> np.ndarray:
        out = label.copy()
        for c, least in enumerate(MINIMUM):
            components, _ = ndimage.label(label == c, np.ones((3, 3)))
            small = np.bincount(components.ravel()) < least
            small[0] = False
            out[small[components]] = 255
        return out

    return call


def by_opencv(label: np.ndarray) -> Call:
    import cv2

    cv2.setNumThreads(1)

    def call() -> np.ndarray:
        out = label.copy()
        for c, least in enumerate(MINIMUM):
            _, components, stats, _ = cv2.connectedComponentsWithStats((label == c).view(np.uint8), connectivity=8)
            small = stats[:, cv2.CC_STAT_AREA] < least
            small[0] = False
            out[small[components]] = 255
        return out

    return call


def by_skimage(label: np.ndarray) -> Call:
    from skimage import measure

    return lambda: remove_small(label, measure.label(label, background=255, connectivity=2))


def by_cc3d(label: np.ndarray) -> Call:
    import cc3d

    return lambda: remove_small(label, cc3d.connected_components(label + np.uint8(1), connectivity=8))


def difference(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    return {"share of labels": float((ours != theirs).mean())}


def rows(size: tuple[int, int]) -> Iterator[Row]:
    for kind, label in (("pseudo-label", scene.pseudo_label(size)), ("noise", scene.noisy_label(size))):
        yield Row(
            f"spatial aggregation, {kind}",
            lambda label=label: aggregate(label, MINIMUM),
            {
                "scipy, class by class": lambda label=label: by_scipy(label),
                "OpenCV, class by class": lambda label=label: by_opencv(label),
                "scikit-image": lambda label=label: by_skimage(label),
                "cc3d": lambda label=label: by_cc3d(label),
            },
            2 * label.nbytes,
            difference,
            {"cc3d": 4, "scikit-image": 4},
        )
