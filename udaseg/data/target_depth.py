"""The depth of the target's images, which have no labels: of a stereo camera, in centimetres, or of a depth network.

A depth network knows no unit: its maps are inverse depth up to a factor and a constant of each image. They are
`relative`, and have to be brought to the scale of another map before both are compared.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from udaseg.data.augment import resize_label
from udaseg.data.datasets import cityscapes, folder_layout
from udaseg.data.datasets.layout import Files, find_folder, list_files
from udaseg.data.datasets.names import choose_stems, mark_alike, pair
from udaseg.data.datasets.registry import DATASETS
from udaseg.data.depth import inverse_depth
from udaseg.data.image_sets import ImageSet, have_same_aspect
from udaseg.data.images.nearness import read_nearness
from udaseg.data.images.read import image_size, read_depth
from udaseg.errors import UdasegError, join_names
from udaseg.parallel.threads import Progress, map_in_order, with_progress

Kind = Literal["disparity", "metric", "relative"]
HINTS = {
    "disparity": "unpack disparity_trainvaltest.zip and camera_trainvaltest.zip beside the images",
    "metric": "add a 16-bit PNG in centimetres for each image, of the image's name",
    "relative": "add the grey PNG of a depth network for each image, of the image's name, near pixels brighter",
}
_WITHOUT = "set target.depth=null; toytown has it with `udaseg data make data/toytown --depth`"


@dataclass(frozen=True, slots=True)
class DepthMap:
    """The depth file of an image, and the file of its camera where the depth is a disparity."""

    stem: str
    of_image: Path
    depth: Path
    camera: Path | None


@dataclass(frozen=True)
class TargetDepth:
    """A depth map for each image of the target."""

    dataset: str
    root: Path
    split: str
    kind: Kind
    records: tuple[DepthMap, ...]
    left_out: tuple[str, ...] = ()  # a folder may well hold the maps of other images

    def __len__(self) -> int:
        return len(self.records)

    @cached_property
    def _by_stem(self) -> dict[str, DepthMap]:
        return {record.stem: record for record in self.records}

    def choose(self, stems: Collection[str]) -> "TargetDepth":
        """Return the maps of the images with these stems."""
        chosen = frozenset(stems)
        return replace(self, records=tuple(record for record in self.records if record.stem in chosen))

    def read(self, stem: str) -> np.ndarray:
        """Read the map of an image: float32 [H, W] at the size of the image, 0 where unknown.

        It is inverse depth, 65536 / (cm + 1). With `relative` it is 1 or more, and inverse depth up to a factor and a
        constant. Raises UdasegError for a damaged file, for another aspect than the image's, and where no two pixels
        have different values: nothing can be learnt from such a map.
        """
        record = self._by_stem[stem]
        if self.kind == "relative":
            depth_HW = read_nearness(record.depth).astype(np.float32) + 1
        else:
            cm_HW = cityscapes.read_distance(record.depth) if self.kind == "disparity" else read_depth(record.depth)
            depth_HW = np.where(cm_HW > 0, inverse_depth(cm_HW), np.float32(0))
        size = image_size(record.of_image)
        if not have_same_aspect(depth_HW.shape, size):
            raise UdasegError(
                f"{record.depth}: expected the aspect of its image, {size[0]}x{size[1]}, found "
                f"{depth_HW.shape[0]}x{depth_HW.shape[1]}",
                f"make it again from {record.of_image}",
            )
        known = depth_HW[depth_HW > 0]
        if not known.size or known.min() == known.max():
            found = "one value in all pixels" if known.size else "no pixel with a depth"
            raise UdasegError(f"{record.depth}: expected a depth map, found {found}", "make it again")
        return resize_label(depth_HW, size)


def open_target_depth(images: ImageSet, kind: Kind) -> TargetDepth:
    """Open the depth maps of the target's images: those in disparity/ and camera/, or in depth/ beside the images.

    A map has the name of its image. Raises UdasegError where a folder, a map or a camera is missing.
    """
    files = _list_files(images, kind)
    names = DATASETS[images.dataset].images(images.root, images.split)
    stems = choose_stems(names)
    endings = _endings(names)
    pairs = pair(stems, {_strip(name, endings): path for name, path in files.items()})
    of_stem = {stems[name]: path for name, path in pairs.items()}
    missing = [record.stem for record in images.records if record.stem not in of_stem]
    if missing:
        raise UdasegError(
            f"{images.root}: expected a depth map (target.depth={kind}) for each of {len(images)} images, found none "
            f"for {len(missing)}: {join_names(mark_alike(missing, files))}",
            f"{HINTS[kind]}, or {_WITHOUT}; `list` of the target names the images to use",
        )
    records = tuple(
        DepthMap(record.stem, record.image, of_stem[record.stem], _camera(of_stem[record.stem], kind))
        for record in images.records
    )
    without = [record.camera.name for record in records if record.camera is not None and not record.camera.is_file()]
    if without:
        raise UdasegError(
            f"{images.root}: expected the camera of each of {len(images)} disparity maps, found none for "
            f"{len(without)}: {join_names(without)}",
            HINTS[kind],
        )
    return TargetDepth(images.dataset, images.root, images.split, kind, records)


def require_usable(depth: TargetDepth, progress: Progress | None = None) -> None:
    """Read all depth maps; raise one UdasegError for those that cannot be used."""

    def problem(record: DepthMap) -> UdasegError | None:
        try:
            depth.read(record.stem)
        except UdasegError as error:
            return error
        return None

    results = with_progress(map_in_order(problem, depth.records), len(depth), progress)
    problems = [error for error in results if error is not None]
    if problems:
        raise UdasegError(
            f"{len(problems)} of {len(depth)} depth maps of the target cannot be used: "
            f"{join_names([error.message for error in problems], 3)}",
            f"{problems[0].hint}; or leave these images out: `list` of the target names those to use",
        )


def _list_files(images: ImageSet, kind: Kind) -> Files:
    root, split = images.root, images.split
    if kind == "disparity":
        folder = cityscapes.disparity_folder(split) if images.dataset == "cityscapes" else f"disparity/{split}"
        ending = "_disparity"
    else:
        path = (
            folder_layout.beside_images(root, split, "depth") if images.dataset == "folder" else root / "depth" / split
        )
        folder, ending = path.relative_to(root).as_posix(), ""
    hint = f"{HINTS[kind]}, or {_WITHOUT}"
    found = find_folder(root, [folder], f"the depth of the {split} images (target.depth={kind})", hint)
    return list_files(found, [".png"], ending, deep=True)


def _endings(names: Files) -> tuple[str, ...]:
    """Return what the files of images have in their names beside the names, such as _leftImg8bit."""
    bare = {name.rpartition("/")[2]: path.stem for name, path in names.items()}
    found = {stem.removeprefix(name) for name, stem in bare.items() if stem.startswith(name)}
    return tuple(sorted(found - {""}))


def _strip(name: str, endings: tuple[str, ...]) -> str:
    return name[: -len(ending)] if (ending := next(filter(name.endswith, endings), "")) else name


def _camera(path: Path, kind: Kind) -> Path | None:
    return cityscapes.camera_file(path) if kind == "disparity" else None
