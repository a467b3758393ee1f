"""Depth maps that a dataset has beside its labels, and the reason where it has none that can be used."""

from collections.abc import Collection
from pathlib import Path

from udaseg.data.datasets.layout import Files, is_folder, list_files
from udaseg.data.images.exr import INSTALL_HINT, can_read_exr

NO_DEPTH = "depth: none"  # begins the note of labels without depth


def list_exr_depth(folder: Path, names: Collection[str], start: str = "") -> tuple[Files, str]:
    """List the OpenEXR files of a folder by name, and a note; none where they cannot be read, or some are missing.

    `names` are those of the labels. A file name without `start` is a name.
    """
    files = list_files(folder, [".exr"], start=start) if is_folder(folder) else Files()
    if files and not can_read_exr():
        return Files(), f"{NO_DEPTH}; the package OpenEXR, which reads {folder.name}/*.exr, is missing: {INSTALL_HINT}"
    return require_complete(files, names, folder.name, "OpenEXR, in m")


def require_complete(files: Files, names: Collection[str], folder: str, encoding: str) -> tuple[Files, str]:
    """Return the depth maps and a note with their encoding; none where one of the names has no depth map."""
    missing = [name for name in names if name not in files]
    if files and missing:
        return Files(), f"{NO_DEPTH}; {len(missing)} of {len(names)} images have no file in {folder}/"
    return files, f"depth: {encoding}" if files else NO_DEPTH
