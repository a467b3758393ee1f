"""Virtual KITTI 2: five scenes rendered in ten variations, with labels as colours and depth in centimetres."""

from pathlib import Path

from udaseg.data.datasets.layout import (
    IMAGES,
    AbsentError,
    Files,
    Labels,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_folders,
    with_folders,
)
from udaseg.labels import RGB, Coding

SCENES = ("Scene01", "Scene02", "Scene06", "Scene18", "Scene20")
VARIATIONS = (
    "clone", "15-deg-left", "15-deg-right", "30-deg-left", "30-deg-right",
    "fog", "morning", "overcast", "rain", "sunset",
)  # fmt: skip
SPLITS = {name: name for name in ("train", *VARIATIONS)}  # train holds all variations
IMAGE_COUNTS = {"train": 21_260}  # of the left camera, Camera_0; the right one is left out
DOWNLOAD_HINT = (
    "download vkitti_2.0.3_rgb.tar, vkitti_2.0.3_classSegmentation.tar and vkitti_2.0.3_depth.tar from "
    "https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/ and unpack them into one "
    "directory: Scene01/clone/frames/rgb/Camera_0/rgb_00000.jpg, ..."
)
# The colours of the labels, in the order of the ids that they are read as. Cityscapes counts vans as cars.
_COLOURS: dict[RGB, str] = {
    (0, 0, 0): "undefined",
    (210, 0, 200): "terrain",
    (90, 200, 255): "sky",
    (0, 199, 0): "vegetation",  # trees
    (90, 240, 0): "vegetation",
    (140, 140, 140): "building",
    (100, 60, 100): "road",
    (250, 100, 255): "guard rail",
    (255, 255, 0): "traffic sign",
    (200, 200, 0): "traffic light",
    (255, 130, 0): "pole",
    (80, 80, 80): "misc",
    (160, 60, 60): "truck",
    (255, 127, 80): "car",
    (0, 139, 139): "car",  # vans
}
_CODING = Coding(
    "virtualkitti2",
    dict(enumerate(_COLOURS.values())),
    frozenset(range(len(_COLOURS))),
    tuple((colour, i) for i, colour in enumerate(_COLOURS)),
)


def images(root: Path, split: str) -> Files:
    """List the images of a split by name; a stem, such as Scene01_clone_00000, begins with scene and variation."""
    return _list(root, split, "rgb", "rgb_")


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split, which are colours, and the depth maps where there are any."""
    files = _list(root, split, "classSegmentation", "classgt_")
    try:
        depth, note = _list(root, split, "depth", "depth_"), "depth: 16-bit, in cm"
    except AbsentError:
        depth, note = {}, "depth: none"
    note_of_labels = "labels: colours of Virtual KITTI 2; vans are cars"
    return build_labels(files, _CODING, note_of_labels, note, depth=depth)


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of Virtual KITTI 2."""
    return any(is_folder(_base(root, "rgb") / scene / "clone" / "frames") for scene in SCENES)


def _base(root: Path, kind: str) -> Path:
    """Return the directory of the scenes: that of an archive, where each was unpacked into its own, or the root."""
    folder = root / f"vkitti_2.0.3_{kind}"
    return folder if is_folder(folder) else root


def _list(root: Path, split: str, kind: str, start: str) -> Files:
    """List the files of one kind of the left camera, in all scenes and variations of a split that exist."""
    name = choose_split(split, SPLITS, "virtualkitti2")
    base, place = _base(root, kind), f"frames/{kind}/Camera_0"
    variations = VARIATIONS if name == "train" else (name,)
    every = {f"{scene}/{variation}": base / scene / variation / place for scene in SCENES for variation in variations}
    folders = {key: folder for key, folder in every.items() if is_folder(folder)}
    if not folders:
        pattern = f"<scene>/{'<variation>' if name == 'train' else name}/{place}"
        find_folder(base, [pattern], f"the {kind} files of Virtual KITTI 2", DOWNLOAD_HINT)  # no such folder: it raises
    return with_folders(list_folders(folders, IMAGES, start=start, root=root))
