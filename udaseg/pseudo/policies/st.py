"""Plain self-training: one threshold for all classes (CBST, eq. 4)."""

from typing import Any

from udaseg.pseudo.passes import LabelTask, label_in_two_passes, plain_policy
from udaseg.pseudo.thresholds import st_thresholds


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images with one threshold; return the values for thresholds.json."""
    return label_in_two_passes(task, plain_policy(task, st_thresholds))
