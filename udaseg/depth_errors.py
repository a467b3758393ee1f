"""Errors of an estimated depth, over all pixels of a data set whose depth is known."""

from typing import Any

import numpy as np

NEAR, FAR = 0.01, 80.0  # metres; what is truly farther is left out
RATIO = 1.25
NAMES = ("rel", "rel2", "rms", "lrms", "delta1", "delta2", "delta3")
CONVENTION = (
    f"metres, over all pixels with a true depth of at most {FAR:g} m; an estimate is brought into {NEAR:g} to {FAR:g} m"
)


class DepthErrors:
    """Sum the errors picture by picture; the sums of two parts of a data set add up."""

    def __init__(self):
        self.pixels, self.sums = 0, np.zeros(len(NAMES))

    def add(self, truth: np.ndarray, estimate: np.ndarray) -> None:
        """Count one picture: float metres [H, W] each, the truth 0 or infinite where it is not known."""
        counted = (truth > 0) & (truth <= FAR)
        z, found = truth[counted].astype(np.float64), np.clip(estimate[counted].astype(np.float64), NEAR, FAR)
        off, logarithm = found - z, np.abs(np.log(found / z))
        within = [(logarithm < k * np.log(RATIO)).sum() for k in (1, 2, 3)]
        self.pixels += z.size
        self.sums += [(np.abs(off) / z).sum(), (off**2 / z).sum(), (off**2).sum(), (logarithm**2).sum(), *within]

    def document(self) -> dict[str, Any]:
        """Return the errors by name, the pixels they are over, and how they were counted; None where none was.

        rel: |e| / z, rel2: e^2 / z, rms: the root of e^2, lrms: that of the squared difference of the natural
        logarithms, all means; delta1 to delta3: the share of pixels within a factor of 1.25, 1.25^2 and 1.25^3.
        """
        means = self.sums / max(self.pixels, 1)
        means[2:4] = np.sqrt(means[2:4])
        values = means.tolist() if self.pixels else [None] * len(NAMES)
        return {**dict(zip(NAMES, values, strict=True)), "pixels": self.pixels, "convention": CONVENTION}
