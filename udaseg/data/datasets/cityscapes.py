"""Cityscapes: leftImg8bit/<split>/<city>/, with label ids or train ids in gtFine (or gtCoarse), and disparity.

The splits train-video and val-video hold all frames of the sequences, of which train and val have one each.
"""

from pathlib import Path

import numpy as np

from udaseg.data.datasets import idd
from udaseg.data.datasets.frames import FrameNumber, numbered
from udaseg.data.datasets.layout import (
    CITYSCAPES_ENDINGS,
    IMAGES,
    AbsentError,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_files,
    list_labels,
)
from udaseg.data.depth import FAR
from udaseg.data.images.read import read_depth
from udaseg.errors import UdasegError
from udaseg.io.files import read_json

VIDEO = "-video"  # ends the name of a split with all frames
SPLITS = {name: name for name in ("train", "val", "test", "train_extra", f"train{VIDEO}", f"val{VIDEO}")}
IMAGE_COUNTS = {
    "train": 2_975, "val": 500, "test": 1_525, "train_extra": 19_998, "train-video": 89_250, "val-video": 15_000,
}  # fmt: skip
SHARES = {  # share of each class in the labelled pixels of train
    "road": 0.3687, "sidewalk": 0.0608, "building": 0.2282, "wall": 0.0066, "fence": 0.0088, "pole": 0.0123,
    "traffic light": 0.0021, "traffic sign": 0.0055, "vegetation": 0.1593, "terrain": 0.0116, "sky": 0.0402,
    "person": 0.0122, "rider": 0.0014, "car": 0.0699, "truck": 0.0027, "bus": 0.0024, "train": 0.0023,
    "motorcycle": 0.0010, "bicycle": 0.0041,
}  # fmt: skip
DOWNLOAD_HINT = (
    "download leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip from https://www.cityscapes-dataset.com/ and "
    "unpack both into one directory"
)
VIDEO_HINT = (
    "download leftImg8bit_sequence_trainvaltest.zip (324 GB) from https://www.cityscapes-dataset.com/ and unpack it "
    "beside leftImg8bit/; some frames of each sequence will do. Videos of toytown: udaseg data make data/toytown-video "
    "--frames 4"
)
FOG = "_leftImg8bit_foggy_beta_"  # in the names of foggy images


def images(root: Path, split: str) -> Files:
    """List the images of all cities of a split by name, such as aachen/aachen_000000_000019."""
    split, part = _locate(split)
    hint = VIDEO_HINT if part else DOWNLOAD_HINT
    folder = find_folder(root, [f"leftImg8bit{part}/{split}"], f"the {split} images of Cityscapes", hint)
    return list_files(folder, IMAGES, "_leftImg8bit", deep=True)


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split: label ids where these files exist, else train ids; fine labels before coarse ones.

    Includes depth where disparity and camera files exist. Raises AbsentError for the test split, and where no labels
    exist.
    """
    split, part = _locate(split)
    if split == "test":
        raise AbsentError("the labels of Cityscapes' test split are not public", "evaluate on val")
    if part and not is_folder(root / f"gtFine{part}" / split):
        raise AbsentError("Cityscapes has labels for one frame of a sequence alone", f"evaluate on {split}")
    candidates = [f"{kind}{part}/{split}" for kind in ("gtFine", "gtCoarse")]
    folder = find_folder(root, candidates, f"the {split} labels of Cityscapes", DOWNLOAD_HINT)
    kind = folder.parent.name.removesuffix(part)
    files, ending = list_labels({"": folder}, f"_{kind}_", DOWNLOAD_HINT)
    depth, notes = _depth(root, split, part)
    note = f"labels: {folder.parent.name}, {ending}"
    return build_labels(files, CITYSCAPES_ENDINGS[ending], note, *notes, depth=depth, read_depth=read_distance)


def frames(files: Files) -> dict[str, FrameNumber]:
    """Return which frame of which sequence each image is."""
    return numbered(files)


def flow(root: Path, split: str) -> Files:
    """List the optical flow of a split with all frames by name: flow/<split>/<city>/*_flow.png."""
    split, _ = _locate(split)
    hint = "compute it: udaseg flow --method dis"
    folder = find_folder(root, [f"flow/{split}"], f"the {split} optical flow", hint)
    return list_files(folder, [".png"], "_flow", deep=True)


def disparities(root: Path, split: str, part: str = "") -> Files:
    """List the disparity maps of a split by name; those of all frames are in the part _sequence."""
    folder = find_folder(root, [f"disparity{part}/{split}"], f"the {split} disparity of Cityscapes", DOWNLOAD_HINT)
    return list_files(folder, [".png"], "_disparity", deep=True)


def read_disparity(path: Path) -> np.ndarray:
    """Read a disparity map: float32 [H, W] in pixels, (v - 1) / 256 for a stored v, NaN where v = 0 (invalid)."""
    stored = read_depth(path).astype(np.float32)
    return np.where(stored > 0, (stored - 1) / 256, np.float32(np.nan))


def read_distance(path: Path) -> np.ndarray:
    """Compute depth from a disparity map: uint16 [H, W] in centimetres, 0 where the disparity is invalid or 0.

    Depth is baseline * focal length / disparity; both come from the image's file in <root>/camera. Raises UdasegError
    where this file is missing or lacks them.
    """
    camera = camera_file(path)
    hint = "unpack camera_trainvaltest.zip beside disparity_trainvaltest.zip"
    content = read_json(camera, hint)
    try:
        scale = 100 * float(content["extrinsic"]["baseline"]) * float(content["intrinsic"]["fx"])
    except (KeyError, TypeError, ValueError):
        raise UdasegError(
            f"{camera}: expected the baseline and the focal length of a camera, "
            f"found {'none' if content else 'no file'}",
            hint,
        ) from None
    disparity = read_disparity(path)
    is_valid = disparity > 0  # false for NaN too
    cm = np.divide(scale, disparity, out=np.zeros_like(disparity), where=is_valid)
    return np.minimum(np.rint(cm), FAR - 1).astype(np.uint16)


def camera_file(disparity: Path) -> Path:
    """Return the file with the camera of a disparity map, in camera/ beside disparity/ or disparity_sequence/."""
    folder = next(parent for parent in disparity.parents if parent.name in ("disparity", "disparity_sequence"))
    camera = folder.with_name("camera") / disparity.relative_to(folder)
    return camera.with_name(disparity.name.removesuffix("_disparity.png") + "_camera.json")


def disparity_folder(split: str) -> str:
    """Return where the disparity of a split lies below the root."""
    folder, part = _locate(split)
    return f"disparity{part}/{folder}"


def _locate(split: str) -> tuple[str, str]:
    """Return the folder of a split, and what the names of the folders around it add: _sequence for all frames."""
    split = choose_split(split, SPLITS, "cityscapes")
    return split.removesuffix(VIDEO), "_sequence" if split.endswith(VIDEO) else ""


def _depth(root: Path, split: str, part: str) -> tuple[dict[str, Path], list[str]]:
    """List the disparity maps of a split that has camera files; also return the notes on depth."""
    if not is_folder(root / f"disparity{part}" / split):
        return {}, []
    if not is_folder(root / "camera" / split):
        return {}, ["depth: none; the disparity has no camera/ beside it"]
    return disparities(root, split, part), ["depth: from disparity and camera"]


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of Cityscapes."""
    return is_folder(root / "leftImg8bit") and not idd.matches(root) and not holds_fog(root)


def holds_fog(root: Path) -> bool:
    """Return whether leftImg8bit/ holds foggy images: Foggy Cityscapes, with its folder renamed."""
    return next((root / "leftImg8bit").glob(f"*/*/*{FOG}*"), None) is not None
