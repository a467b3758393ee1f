"""A percentile of the confidences of each class, but no more than a cap (FDA, section 3.3; BDL).

A pixel keeps its most likely class where its confidence reaches that class's threshold. So a confident class keeps more
than its share, and no other class can win.
"""

from typing import Any

import numpy as np

from udaseg.pseudo.passes import LabelTask, Policy, label_in_two_passes
from udaseg.pseudo.thresholds import ConfidenceHistogram, cbst_thresholds


def capped_thresholds(histogram: ConfidenceHistogram, p: float, cap: float) -> np.ndarray:
    """Return the threshold of each class, float32 [C]: the confidence that a share p of its pixels reaches, or the cap.

    FDA takes the 66th percentile, p = 0.34, and the cap 0.9. A class that is never predicted gets the cap.
    """
    return np.minimum(cbst_thresholds(histogram, p), np.float32(cap))


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images by capped percentiles; return the values for thresholds.json."""
    cap = task.settings.cap
    policy = Policy(
        lambda scores: scores.label_and_confidence(),
        lambda histogram, p: capped_thresholds(histogram, p, cap),
        lambda scores, thresholds_C: scores.select_argmax(thresholds_C),
    )
    return label_in_two_passes(task, policy) | {"cap": cap}
