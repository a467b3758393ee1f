"""The optical flow of a set of images: computed or copied into a folder, and read from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from udaseg.config import Flow
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import ImageSet
from udaseg.data.images.read import image_size
from udaseg.data.video.estimate import estimate_flow, load_opencv
from udaseg.data.video.flow_file import read_flow, write_flow
from udaseg.data.video.sequences import previous_frames
from udaseg.data.video.warp import agreeing, resize_flow
from udaseg.errors import UdasegError
from udaseg.io.documents.flow_pairs import FlowPairs
from udaseg.io.documents.read import read_document
from udaseg.io.files import write_json
from udaseg.parallel import processes
from udaseg.parallel.threads import Progress, map_in_order, with_progress

FLOWS = "flows"  # the folder of the files
_AGAIN = "write it again: udaseg flow --force"


@dataclass(frozen=True)
class Flows:
    """The flow that a stage directory holds; `previous` is the stem of the frame that it leads to, by stem."""

    folder: Path
    previous: Mapping[str, str]

    def read(self, stem: str, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return the flow of an image at a (height, width): float32 [2, H, W], and its mask, bool [H, W]."""
        flow_2HW, valid_HW = read_flow(self.folder / FLOWS / f"{stem}.png")
        return resize_flow(flow_2HW, size), resize_label(valid_HW, size)


def open_flows(folder: Path) -> Flows:
    """Open the flow in the directory of the stage `flow`; raise UdasegError where there is none."""
    pairs = read_document(folder / FlowPairs.file, FlowPairs, _AGAIN)
    if pairs is None:
        raise UdasegError(f"{folder}: expected flow.json and flows/, found no flow.json", "run first: udaseg flow")
    return Flows(folder, pairs.previous)


def write_flows(
    images: ImageSet,
    settings: Flow,
    out: Path,
    files: Mapping[str, Path] | None = None,
    progress: Progress | None = None,
) -> FlowPairs:
    """Write `flows/<stem>.png` for each image with a frame before it, and `flow.json`; return the latter's content.

    Computed flow is valid where the flow back leads to where it came from. `files` are the flow of images by stem for
    the method files; images without one get none. Files that are there already are not written again. Raises
    UdasegError where no image has a frame before it, or flow.
    """
    previous = previous_frames(images.records, settings.step)
    if not previous:
        raise UdasegError(
            f"{images.root}: none of {len(images)} images in {images.split} has the frame {settings.step} before it "
            "beside it",
            "choose all frames of videos, as with --set target.split=train-video for Cityscapes, or a `folder` "
            "dataset with a sub-folder for each video",
        )
    if files is None:
        load_opencv()  # before anything is written
    else:
        previous = {stem: before for stem, before in previous.items() if stem in files}
        if not previous:
            raise UdasegError(
                f"{images.root}: no file of optical flow belongs to an image that has a frame before it",
                "compute the flow: udaseg flow --method dis",
            )
    (out / FLOWS).mkdir(parents=True, exist_ok=True)
    paths = {record.stem: record.image for record in images.records}
    index = {record.stem: i for i, record in enumerate(images.records)}
    shard = processes.shard(list(previous), 1)

    def flow_of(stem: str) -> tuple[np.ndarray, np.ndarray]:
        if files is not None:
            return _read_for(files[stem], paths[stem])
        image_HWC, before_HWC = images.image(index[stem]), images.image(index[previous[stem]])
        forward_2HW = estimate_flow(settings.method, image_HWC, before_HWC)
        return forward_2HW, agreeing(forward_2HW, estimate_flow(settings.method, before_HWC, image_HWC))

    def count_valid(stem: str) -> np.ndarray:
        path = out / FLOWS / f"{stem}.png"
        valid_HW = read_flow(path)[1] if path.exists() else write_flow(path, *flow_of(stem))
        return np.array([valid_HW.sum(), valid_HW.size], np.int64)

    counts = np.zeros(2, np.int64)
    for one in with_progress(map_in_order(count_valid, shard), len(shard), progress):
        counts += one
    valid, pixels = processes.sum_of_all(counts).tolist()
    document = FlowPairs(method=settings.method, step=settings.step, valid=valid / pixels, previous=previous)
    if processes.is_first():
        write_json(out / document.file, document.content())
    return document


def _read_for(path: Path, image: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the flow of an image; raise UdasegError where it has another size."""
    flow_2HW, valid_HW = read_flow(path)
    if valid_HW.shape != image_size(image):
        found, expected = valid_HW.shape, image_size(image)
        raise UdasegError(
            f"{path}: expected the size of its image, {expected[0]}x{expected[1]}, found {found[0]}x{found[1]}",
            "compute the flow: udaseg flow --method dis",
        )
    return flow_2HW, valid_HW
