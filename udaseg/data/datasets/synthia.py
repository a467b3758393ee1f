"""SYNTHIA-RAND-CITYSCAPES: RGB/, labels in one of four encodings, depth in centimetres."""

from contextlib import suppress
from pathlib import Path

from udaseg.data.datasets.container import spread
from udaseg.data.datasets.layout import (
    IMAGES,
    Files,
    Labels,
    are_train_ids,
    build_labels,
    choose_split,
    find_folder,
    is_folder,
    list_files,
    sample_ids,
)
from udaseg.data.images.read import png_kind
from udaseg.errors import UdasegError

SPLITS = {"train": "train"}
IMAGE_COUNTS = {"train": 9_400}
SHARES = {  # share of each of the 16 classes in the pixels, from the class weights of the depth-distribution paper
    "road": 0.191, "sidewalk": 0.200, "building": 0.303, "wall": 0.0028, "fence": 0.0028, "pole": 0.0108,
    "traffic light": 0.0004, "traffic sign": 0.00105, "vegetation": 0.107, "sky": 0.071, "person": 0.044,
    "rider": 0.0049, "car": 0.042, "bus": 0.0158, "motorcycle": 0.0021, "bicycle": 0.0023,
}  # fmt: skip
DOWNLOAD_HINT = (
    "download SYNTHIA-RAND-CITYSCAPES from https://synthia-dataset.net/downloads/ and unpack it: RGB/*.png, "
    "GT/LABELS/*.png, Depth/Depth/*.png"
)
LABELS = ("GT/LABELS", "parsed_LABELS", "GT/parsed_LABELS", "synthia_mapped_to_cityscapes")
DEPTH = ("Depth/Depth", "Depth")
_CODING_OF_FOLDER = {"parsed_LABELS": "synthia", "synthia_mapped_to_cityscapes": "cityscapes"}


def images(root: Path, split: str) -> Files:
    """List the images by name. The only split is "train"."""
    choose_split(split, SPLITS, "synthia")
    return list_files(find_folder(root, ["RGB"], "the images of SYNTHIA", DOWNLOAD_HINT), IMAGES)


def labels(root: Path, split: str) -> Labels:
    """List the labels and the depth maps; detect the encoding of the labels from the files.

    Encodings: 16-bit RGB (class id in the red channel), 8-bit raw ids, Cityscapes label ids, train ids. Raises
    UdasegError where no encoding fits, or where it differs from the one that the directory's name states.
    """
    choose_split(split, SPLITS, "synthia")
    folder = find_folder(root, LABELS, "the labels of SYNTHIA", DOWNLOAD_HINT)
    others = [name for name in LABELS if is_folder(root / name) and root / name != folder]
    notes = [f"other labels, not used: {', '.join(others)}"] if others else []
    files = {s: p for s, p in list_files(folder, [".png"]).items() if not s.endswith("_labelTrainIds")}
    if files:
        coding, description = _detect_encoding(folder, files)
    else:
        files = list_files(folder, [".png"], "_labelTrainIds")
        coding, description = "trainids", "train ids (*_labelTrainIds.png)"
    depth = _depth(root)
    notes += [f"labels: {description} in {folder.relative_to(root)}/", f"depth: {'16-bit, in cm' if depth else 'none'}"]
    return build_labels(files, coding, *notes, depth=depth)


def _depth(root: Path) -> dict[str, Path]:
    for name in DEPTH:
        if is_folder(root / name) and (files := list_files(root / name, [".png"])):
            return files
    return {}


def _is_16_bit_rgb(path: Path) -> bool:
    with suppress(UdasegError):
        return png_kind(path) == (16, 2)
    return False


def matches(root: Path) -> bool:
    """Return whether a directory has the layout of SYNTHIA-RAND-CITYSCAPES."""
    return is_folder(root / "RGB") and not is_folder(root / "Semantic")  # IDDA


def _detect_encoding(folder: Path, files: dict[str, Path]) -> tuple[str, str]:
    if any(map(_is_16_bit_rgb, spread(files, 20))):
        return "synthia", "16-bit RGB, class id in the red channel"
    ids = sample_ids(files, "synthia", lambda ids: bool(ids & set(range(23, 35))))
    if are_train_ids(ids):
        coding, description = "trainids", "8-bit train ids (255 and nothing above 18 occur)"
    elif 22 < max(ids - {255}, default=0) <= 34:
        coding, description = "cityscapes", "8-bit Cityscapes label ids (ids above 22 occur)"
    elif max(ids, default=0) <= 22 and ids & {1, 2, 3}:
        coding, description = "synthia", "8-bit raw ids (nothing above 22; sky, building or road as 1, 2, 3)"
    else:
        raise UdasegError(
            f"{folder}: expected labels of SYNTHIA, "
            + (f"found ids {sorted(ids)} that fit none of its encodings" if ids else "found none that can be read"),
            "use GT/LABELS of the official archive; a copy that reads as zeros was made with a tool that dropped the "
            "low byte of the 16-bit labels",
        )
    if _CODING_OF_FOLDER.get(folder.name, coding) != coding:
        raise UdasegError(
            f"{folder}: expected {_CODING_OF_FOLDER[folder.name]} ids by its name, found {description}",
            "rename the folder to GT/LABELS: there, the ids decide the encoding",
        )
    return coding, description
