"""Where the datasets of a recipe lie: in a folder of the data directory, or at an address that has an index there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from udaseg.config import Source, Target
from udaseg.errors import UdasegError
from udaseg.io.addresses import index_command, index_folder, is_address, normalise_address
from udaseg.pipeline.manifest import Job, read_manifest

if TYPE_CHECKING:
    from udaseg.data.places.indexed_path import IndexedPath


def index_job(data: str, address: str, read_all: bool = False) -> Job:
    """Plan the index of an address in a data directory; raise UdasegError where the address is none."""
    address = normalise_address(address)
    return Job("index", index_folder(address, data), {"index": {"root": address, "read_all": read_all}}, {})


def dataset_root(data: str, section: Source | Target) -> Path | IndexedPath:
    """Return where the dataset of a section lies; raise UdasegError for an address without an index."""
    root = section.root or section.dataset
    return open_address(data, root) if is_address(root) else Path(data, root)


def open_address(data: str, address: str) -> IndexedPath:
    """Open an address by its index in a data directory; raise UdasegError where that has none."""
    from udaseg.data.places.build import INDEX
    from udaseg.data.places.indexed_path import open_place

    job = index_job(data, address)
    address = job.settings["index"]["root"]
    if read_manifest(job.out) is None:
        raise UdasegError(
            f"{address}: expected its index in {job.out}, found none", f"list it, once: {index_command(address, data)}"
        )
    return open_place(address, job.out / INDEX)
