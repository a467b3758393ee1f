"""Adapt a segmentation network from labelled synthetic streets to unlabelled real ones."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from udaseg.api.datasets import class_counts, dataset, read_label, train_ids
    from udaseg.api.depth import depth_density, depth_mixtures, inverse_depth
    from udaseg.api.mixing import class_mix, mask_blocks, mean_teacher
    from udaseg.api.prototypes import Centroids, MovingPrototypes, prototype_distances, rectify
    from udaseg.api.pseudo_labels import (
        ConfidenceHistogram,
        cbst_labels,
        cbst_thresholds,
        label_and_confidence,
        size_thresholds,
        spatial_aggregation,
    )
    from udaseg.api.sampling import RareClassSampler, rare_classes
    from udaseg.api.scores import confusion, scores
    from udaseg.api.style import fda
    from udaseg.errors import UdasegError
    from udaseg.labels import class_space

__version__ = "0.1.0"
__all__ = [
    "Centroids", "ConfidenceHistogram", "MovingPrototypes", "RareClassSampler", "UdasegError", "cbst_labels",
    "cbst_thresholds", "class_counts", "class_mix", "class_space", "confusion", "dataset", "depth_density",
    "depth_mixtures", "fda", "inverse_depth", "label_and_confidence", "mask_blocks", "mean_teacher",
    "prototype_distances", "rare_classes", "read_label", "rectify", "scores", "size_thresholds", "spatial_aggregation",
    "train_ids",
]  # fmt: skip

# Where each name is: imported when it is first asked for, because PyTorch and Numba take seconds.
_HOMES = {
    "udaseg.api.datasets": ("class_counts", "dataset", "read_label", "train_ids"),
    "udaseg.api.depth": ("depth_density", "depth_mixtures", "inverse_depth"),
    "udaseg.api.mixing": ("class_mix", "mask_blocks", "mean_teacher"),
    "udaseg.api.prototypes": ("Centroids", "MovingPrototypes", "prototype_distances", "rectify"),
    "udaseg.api.pseudo_labels": (
        "ConfidenceHistogram", "cbst_labels", "cbst_thresholds", "label_and_confidence", "size_thresholds",
        "spatial_aggregation",
    ),
    "udaseg.api.sampling": ("RareClassSampler", "rare_classes"),
    "udaseg.api.scores": ("confusion", "scores"),
    "udaseg.api.style": ("fda",),
    "udaseg.errors": ("UdasegError",),
    "udaseg.labels": ("class_space",),
}  # fmt: skip


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not TYPE_CHECKING:  # which would take any name for one of these

    def __getattr__(name: str) -> object:
        """Import a public name when it is first asked for."""
        from importlib import import_module

        for module, names in _HOMES.items():
            if name in names:
                value = globals()[name] = getattr(import_module(module), name)
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
