"""Plain self-training with spatial priors (ST-SP): one threshold for all classes, over prior times probability.

The priors of all classes are relative to the largest value of all, so that prior * probability lies between 0 and 1,
and one threshold has the same meaning for every class. Source: as for cbst_sp.
"""

from typing import Any

import numpy as np

from udaseg.pseudo.passes import LabelTask, Policy, label_in_two_passes
from udaseg.pseudo.policies.cbst_sp import label_and_confidence, require_prior, thresholded_label
from udaseg.pseudo.thresholds import st_thresholds


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images by probability times prior, with one threshold; return the values for thresholds.json.

    Raises UdasegError without a prior.
    """
    maps_CHW, peaks = require_prior(task).relative()
    weight = peaks / peaks.max()
    maps_CHW = maps_CHW * weight[:, None, None]
    policy = Policy(
        lambda scores: label_and_confidence(*scores, maps_CHW, np.ones_like(weight)),
        st_thresholds,
        lambda scores, thresholds_C: thresholded_label(*scores, maps_CHW, thresholds_C),
    )
    return label_in_two_passes(task, policy) | {"prior_peak": [float(peak) for peak in peaks]}
