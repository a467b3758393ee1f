"""Write frames in the formats of the datasets: file names, encodings and ids."""

from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.data.images import png
from udaseg.data.video.flow_file import write_flow
from udaseg.io.files import atomic, write_json
from udaseg.labels import CODINGS, class_space, train_id_table

from .render import SKY_CM, Frame
from .video import VideoFrame

TRAIN_CITIES = ("aachen", "bochum", "hamburg", "ulm")
VAL_CITIES = ("frankfurt", "lindau")
LAST = 19  # the number of the frame of a sequence that has labels
BASELINE = 0.22  # metres between the two lenses of the stereo camera
_LEVEL = 1  # of compression: fast, because these files are read often and sent rarely


def gta5_files(root: Path, index: int) -> dict[str, Path]:
    """Return the paths of frame `index` (from 0) of GTA5 by part."""
    return {part: root / "gta5" / part / f"{index + 1:05d}.png" for part in ("images", "labels")}


def synthia_files(root: Path, index: int) -> dict[str, Path]:
    """Return the paths of frame `index` (from 0) of SYNTHIA-RAND-CITYSCAPES by part."""
    return {part: root / "synthia" / part / f"{index:07d}.png" for part in ("RGB", "GT/LABELS", "Depth/Depth")}


def cityscapes_files(root: Path, index: int, split: str, depth: bool = False) -> dict[str, Path]:
    """Return the paths of frame `index` of the split "train" or "val" of Cityscapes by part.

    val has disparity and camera. With `depth` train has them too, and the map of a depth network.
    """
    cities = VAL_CITIES if split == "val" else TRAIN_CITIES
    city, sequence = cities[index % len(cities)], index // len(cities)
    names = {"leftImg8bit": "leftImg8bit.png", "gtFine": "gtFine_labelIds.png"}
    if depth or split == "val":
        names |= {"disparity": "disparity.png", "camera": "camera.json"}
    if depth and split == "train":
        names["depth"] = "leftImg8bit.png"  # depth networks keep the name of the image
    folder = root / "cityscapes"
    return {
        part: folder / part / split / city / f"{city}_{sequence:06d}_{LAST:06d}_{name}" for part, name in names.items()
    }


def video_files(root: Path, index: int, offset: int) -> dict[str, Path]:
    """Return the paths of a frame of a video by part, in the layout of Cityscapes' sequences.

    `index` is the training image at the end of the video, and `offset` the place of the frame before it: 0 is that
    image, -1 the frame before. Flow is that to the frame before.
    """
    city, sequence = TRAIN_CITIES[index % len(TRAIN_CITIES)], index // len(TRAIN_CITIES)
    parts = {
        "leftImg8bit_sequence": "leftImg8bit.png", "gtFine_sequence": "gtFine_labelIds.png",
        "disparity_sequence": "disparity.png", "camera": "camera.json", "flow": "flow.png",
    }  # fmt: skip
    stem = f"{city}_{sequence:06d}_{LAST + offset:06d}"
    return {part: root / "cityscapes" / part / "train" / city / f"{stem}_{name}" for part, name in parts.items()}


def write_gta5(files: dict[str, Path], frame: Frame) -> None:
    """Write an RGB image and a palette PNG of Cityscapes label ids."""
    _save(files["images"], Image.fromarray(frame.image))
    label = Image.fromarray(frame.label)
    label.putpalette(_palette())
    _save(files["labels"], label)


def write_synthia(files: dict[str, Path], frame: Frame) -> None:
    """Write an RGB image, 16-bit labels (red: class id, green: instance id) and 16-bit depth (cm, three times)."""
    _save(files["RGB"], Image.fromarray(frame.image))
    label = np.zeros((*frame.label.shape, 3), np.uint16)
    label[:, :, 0], label[:, :, 1] = SYNTHIA_ID[frame.label], frame.instance
    for part, values in (("GT/LABELS", label), ("Depth/Depth", np.repeat(frame.depth_cm[:, :, None], 3, axis=2))):
        with atomic(files[part], sync=False) as temporary:
            temporary.write_bytes(png.encode(values))


def write_cityscapes(files: dict[str, Path], frame: Frame) -> None:
    """Write an RGB image and a grey PNG of label ids, and with paths for them disparity, camera and relative depth."""
    _save(files["leftImg8bit"], Image.fromarray(frame.image))
    _save(files["gtFine"], Image.fromarray(frame.label))
    if "disparity" in files:
        _write_disparity(files["disparity"], files["camera"], frame)
    if "depth" in files:
        _save(files["depth"], Image.fromarray(relative_depth(frame.depth_cm)))


def write_video_frame(files: dict[str, Path], one: VideoFrame) -> None:
    """Write a frame of a video as Cityscapes has them, with labels, disparity, camera and, as KITTI has it, flow."""
    _save(files["leftImg8bit_sequence"], Image.fromarray(one.frame.image))
    _save(files["gtFine_sequence"], Image.fromarray(one.frame.label))
    _write_disparity(files["disparity_sequence"], files["camera"], one.frame)
    if "flow" in files:
        write_flow(files["flow"], one.flow, one.seen)


def _write_disparity(disparity: Path, camera: Path, frame: Frame) -> None:
    pixels = 100 * BASELINE * frame.focal / frame.depth_cm
    stored = np.where(frame.depth_cm == SKY_CM, 0, np.minimum(np.rint(256 * pixels) + 1, 65535))
    _save(disparity, Image.fromarray(stored.astype(np.uint16)))
    write_json(camera, {"extrinsic": {"baseline": BASELINE}, "intrinsic": {"fx": frame.focal}})


def relative_depth(depth_cm: np.ndarray) -> np.ndarray:
    """Return inverse depth as a depth network gives it, uint8 [H, W]: 255 for the nearest pixel, 0 for the farthest.

    Its factor and its constant are of the frame: they say nothing about metres.
    """
    inverse = 1 / depth_cm.astype(np.float64)
    spread = max(inverse.max() - inverse.min(), np.finfo(np.float64).tiny)
    return np.rint(255 * (inverse - inverse.min()) / spread).astype(np.uint8)


def _save(path: Path, image: Image.Image) -> None:
    with atomic(path, sync=False) as temporary:
        image.save(temporary, format="PNG", compress_level=_LEVEL)


def _palette() -> list[int]:
    space = class_space("cs19")
    colors = np.zeros((256, 3), np.uint8)
    train = train_id_table("cityscapes", space)
    named = train < len(space)
    colors[named] = np.array(space.palette, np.uint8)[train[named]]
    return colors.ravel().tolist()


def _synthia_ids() -> np.ndarray:
    by_name = {name: i for i, name in CODINGS["synthia"].classes.items()}
    ids = np.zeros(256, np.uint16)
    for label, name in CODINGS["cityscapes"].classes.items():
        ids[label] = by_name.get(name, 0)
    return ids


SYNTHIA_ID = _synthia_ids()  # of each Cityscapes label id; 0 (void) where SYNTHIA has no such class
