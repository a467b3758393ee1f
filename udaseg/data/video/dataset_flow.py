"""The optical flow that a dataset holds beside its images."""

from collections.abc import Collection
from pathlib import Path

from udaseg.data.datasets.names import choose_stems, pair
from udaseg.data.datasets.registry import DATASETS, list_images
from udaseg.data.places.indexed_path import IndexedPath, as_root
from udaseg.errors import UdasegError


def list_flow(dataset: str, root: str | Path | IndexedPath, split: str, stems: Collection[str]) -> dict[str, Path]:
    """List the optical flow that a dataset holds for images, by their stems; some may have none.

    Raises UdasegError where the dataset has no place for flow, or there is none.
    """
    reader, root = DATASETS[dataset], as_root(root)
    if not hasattr(reader, "flow"):
        raise UdasegError(f"{dataset} has no folder for optical flow", "compute it: udaseg flow --method dis")
    names = choose_stems(list_images(dataset, root, split))
    found = pair(names, reader.flow(root, split))
    return {names[name]: path for name, path in found.items() if names[name] in stems}
