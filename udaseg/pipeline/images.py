"""Stages that do each image by itself: what they have done for the same image stays when other images change.

Such a stage directory has an images.json, written before the results that it describes, with the digest of each image.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from udaseg.io.documents.image_digests import ImageDigests
from udaseg.io.documents.read import read_document
from udaseg.io.files import write_json
from udaseg.pipeline.outputs import IMAGES

# (a directory with results, the partial directory, stems): leave in the latter the results for these images alone.
# Both may be the same directory.
CarryOver = Callable[[Path, Path, Collection[str]], None]


@dataclass(frozen=True)
class ImageWork:
    """The images of a stage that does each by itself: their input in the manifest, and the digest of each by stem."""

    input: str
    digests: Mapping[str, str]
    carry_over: CarryOver


def read_image_digests(folder: Path) -> Mapping[str, str] | None:
    """Read the digest of each image that a directory has results for; None where that is not recorded."""
    document = read_document(folder / IMAGES, ImageDigests)
    return None if document is None else document.images


def unchanged_images(work: ImageWork, folder: Path) -> list[str]:
    """Return the stems of the images that are those of a directory's results."""
    before = read_image_digests(folder) or {}
    return [stem for stem, digest in work.digests.items() if before.get(stem) == digest]


def keep_unchanged(work: ImageWork, folder: Path, partial: Path) -> None:
    """Leave the results for unchanged images in a partial directory, taken from `folder`, and record the images.

    The record comes last: a stop before leaves fewer results, and none of another image.
    """
    if read_image_digests(folder) is not None:
        work.carry_over(folder, partial, unchanged_images(work, folder))
    write_json(partial / IMAGES, {"images": dict(work.digests)})
