"""Class-balanced self-training: a threshold for each class (CBST, eq. 8)."""

from typing import Any

from udaseg.pseudo.passes import LabelTask, label_in_two_passes, plain_policy
from udaseg.pseudo.thresholds import cbst_thresholds


def label_images(task: LabelTask) -> dict[str, Any]:
    """Label all images with a threshold for each class; return the values for thresholds.json."""
    return label_in_two_passes(task, plain_policy(task, cbst_thresholds))
