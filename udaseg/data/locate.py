"""Find out which dataset a directory is, or how a recipe can name the images and labels that it holds."""

import shlex
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from udaseg.data.datasets import carla, folder, folder_layout
from udaseg.data.datasets.layout import IMAGES, AbsentError, Files, is_folder, list_directory, list_files
from udaseg.data.datasets.registry import DATASETS, datasets_within, detect
from udaseg.data.images.read import read_label_pixels
from udaseg.data.images.video import SUFFIXES as VIDEOS
from udaseg.errors import UdasegError, join_names

TRAIN = ("train", "training", folder_layout.WHOLE)  # the split to train on or to adapt to: the first that is there
SCORED = ("val", "validation", "test")  # the split to score on
_FEW = 64  # values or colours of a file; a photograph has more


class Place(NamedTuple):
    """A directory as a recipe names it: a dataset, where it lies, and one of its splits."""

    dataset: str
    root: Path
    split: str

    @property
    def folder(self) -> Path:
        """The directory of the split, where it has one of its own, else that of the dataset."""
        return self.root / self.split if self.dataset == "folder" else self.root

    def list_images(self) -> Files:
        """List the images of the split by name; raise UdasegError where there are none."""
        files = DATASETS[self.dataset].images(self.root, self.split)
        if not files:
            raise UdasegError(f"{self.folder}: expected images, found none", _no_images_hint(self.folder))
        return files

    def has_labels(self) -> bool:
        """Return whether the split has files of labels."""
        try:
            if self.dataset == "folder":
                return bool(folder.list_label_files(self.root, self.split)[0])
            return bool(DATASETS[self.dataset].labels(self.root, self.split).files)
        except AbsentError:
            return False


def find_places(root: Path) -> list[Place]:
    """Return what a directory may be, the likeliest first: a known dataset, then a folder of one's own.

    Nothing where images lie beside folders of labels under a name that nobody looks for, as in rgb/ and labels/. Raises
    UdasegError where there is no image, several datasets, or splits of which none is named train.
    """
    _require_images(root)
    names = [name for name, reader in DATASETS.items() if name != "folder" and reader.matches(root)]
    if not names and carla.holds_recordings(root):
        names = ["carla"]
    places = [Place(name, root, _choose(root, list(DATASETS[name].IMAGE_COUNTS))) for name in names]
    if not {*names} <= {"gta5"}:  # whose layout any folder of images and labels has
        return places
    if not places and not folder_layout.named_splits(root) and (several := datasets_within(root, by_name=False)):
        raise UdasegError(
            f"{root} is not a dataset; it holds {join_names([child.name for child in several])}",
            f"name one of them, such as {several[0]}",
        )
    own = folder_layout.splits(root)
    return [*places, Place("folder", root, _choose(root, own))] if own else places


def detect_with_images_alone(root: Path) -> str:
    """Return the name of the dataset that a directory is; images alone, which may be a target, are a folder dataset.

    Raises UdasegError where no layout fits or several do, and where the images seem to have labels beside them.
    """
    name = detect(root, alone=True)
    if name == "folder" and folder_layout.splits(root) == [folder_layout.WHOLE]:
        require_images_alone(Place(name, root, folder_layout.WHOLE))
    return name


def find_scored(place: Place) -> str | None:
    """Return the split of the same dataset that has labels to score on; None where there is none."""
    known = folder_layout.splits(place.root) if place.dataset == "folder" else DATASETS[place.dataset].IMAGE_COUNTS
    splits = [split for split in SCORED if split in known and split != place.split]
    return next((split for split in splits if place._replace(split=split).has_labels()), None)


def find_scored_folder(root: Path) -> Place:
    """Return the split with labels in a directory of one's own; raise UdasegError where there is none."""
    _require_images(root)
    places = [Place("folder", root, split) for split in (*SCORED, *TRAIN)]
    place = next((place for place in places if place.has_labels()), None)
    if place is None:
        raise unlabelled_error(root)
    return place


def join_places(target: Place, scored: Place) -> tuple[Place, str]:
    """Return a target and labelled images in another directory as one folder dataset, and the name of their split.

    Raises UdasegError where the target is a known dataset, whose splits have names of their own.
    """
    if target.dataset != "folder":
        raise UdasegError(
            f"{target.root} has the layout of {target.dataset}; labelled images in another directory, {scored.root}, "
            "go with a folder of images alone",
            "name the folder of the images alone as TARGET, or leave out --val: its own split val is used",
        )
    folders = [place.folder.resolve() for place in (target, scored)]
    root = next(one for one in (folders[0], *folders[0].parents) if folders[1].is_relative_to(one))
    splits = [one.relative_to(root).as_posix() for one in folders]
    return Place("folder", root, splits[0]), splits[1]


def require_images_alone(place: Place) -> None:
    """Raise UdasegError where a folder of images seems to hold labels too, in a folder of any name."""
    if place.dataset != "folder" or folder_layout.image_folders(place.root, place.split)[-1] != place.split:
        return
    if error := _mixed_folders_error(place.folder):
        raise error


def labelled_target_error(root: Path) -> UdasegError:
    """Build the error for a target that holds labels too, and whose images lie where nobody looks for them."""
    return next(filter(None, map(_mixed_folders_error, _with_splits(root))), None) or UdasegError(
        f"{root}: expected images alone, or images/ beside labels/; found {join_names(_folders_of(root))}",
        "name the folder of the images as TARGET",
    )


def _mixed_folders_error(folder: Path) -> UdasegError | None:
    """Build the error for a directory with folders of labels and of images, which names the first of these."""
    folders = _folders_of(folder)
    labels = [name for name in folders if _looks_like_labels(folder / name)]
    images = next((name for name in folders if name not in labels), None)
    if not labels or images is None:
        return None
    return UdasegError(
        f"{folder}: the files in {join_names([f'{name}/' for name in labels])} look like labels, and those "
        f"in {images}/ like images",
        f"name the folder of the images: {folder / images}",
    )


def _with_splits(root: Path) -> list[Path]:
    """Return a directory, and those in it that have the name of a split to train on."""
    return [root, *(root / name for name in TRAIN if name != folder_layout.WHOLE and is_folder(root / name))]


def unlabelled_error(root: Path) -> UdasegError:
    """Build the error for a directory without labels, or with labels where nobody looks for them."""
    message = f"{root}: expected labels of its images, found none"
    for parent in _with_splits(root):
        folders = _folders_of(parent)
        labels = [name for name in folders if _looks_like_labels(parent / name)]
        if len(folders) == 2 and len(labels) == 1:
            images = next(name for name in folders if name not in labels)
            pairs = ((images, "images"), (labels[0], "labels"))
            links = [
                ["ln", "-s", str((parent / old).absolute()), str(parent / new)] for old, new in pairs if old != new
            ]
            return UdasegError(
                f"{message}; the files in {(parent / labels[0]).relative_to(root)}/ look like labels",
                f"give them the names that are read: {' && '.join(map(shlex.join, links))}",
            )
    paths = [Path(one) for one in list_directory(root) if one.is_file() and Path(one).suffix.lower() in IMAGES]
    if paths and Counter(path.stem for path in paths).most_common(1)[0][1] > 1:
        return UdasegError(
            f"{root}: expected images and labels in two folders, found both in one",
            f"move them apart: {_moves(root, paths)}",
        )
    return UdasegError(message, f"add them as PNG files: {folder.DOWNLOAD_HINT}")


def _moves(root: Path, files: Sequence[Path]) -> str:
    """Return the command that moves images and labels in one folder apart, by the suffixes of these files."""
    suffixes = {path.suffix: path for path in sorted(files, reverse=True)}  # with the first file of each
    labels = [suffix for suffix, path in suffixes.items() if _has_few_values(path)]
    if len(labels) != 1:
        labels = [".png"]
    folder = shlex.quote(str(root))
    commands = [f"mkdir {folder}/images {folder}/labels"]
    for name, of_name in (("labels", True), ("images", False)):
        patterns = [f"{folder}/*{suffix}" for suffix in sorted(suffixes) if (suffix in labels) is of_name]
        commands += [f"mv {' '.join(patterns)} {folder}/{name}"] if patterns else []
    return " && ".join(commands)


def _choose(root: Path, known: Sequence[str]) -> str:
    """Return the split to train on or to adapt to; raise UdasegError where none of several has its name."""
    split = next((name for name in TRAIN if name in known), known[0])
    if split not in TRAIN and len(known) > 1:
        raise UdasegError(
            f"{root}: expected a split train, found {join_names(list(known))}",
            f"name the directory of one of them, such as {root / known[0]}",
        )
    return split


def _require_images(root: Path) -> None:
    if root.suffix.lower() in VIDEOS and root.is_file():
        raise UdasegError(f"{root}: expected a directory of images, and that is a video", _frames_hint(root))
    if not is_folder(root):
        problem = "that is a file" if root.exists() else "there is none"
        parent = next(one for one in root.absolute().parents if one.is_dir())
        names = sorted(one.name for one in list_directory(parent) if one.is_dir() and not one.name.startswith("."))
        shown = join_names(names, 8) or "no directory"
        raise UdasegError(f"{root}: expected a directory of images, and {problem}", f"{parent} holds {shown}")
    if not any(Path(name).suffix.lower() in IMAGES for name in list_files(root, (), deep=True).left_out):
        raise UdasegError(f"{root}: expected images, found none", _no_images_hint(root))


def _no_images_hint(root: Path) -> str:
    files = list_files(root, (), deep=True).left_out
    if videos := [root / name for name in files if Path(name).suffix.lower() in VIDEOS]:
        return _frames_hint(videos[0])
    kinds = Counter(Path(name).suffix or "no suffix" for name in files)
    others = join_names([f"{count} {kind}" for kind, count in kinds.most_common()])
    read = ", ".join(suffix[1:] for suffix in IMAGES)
    return f"name a directory with images ({read})" + (f"; the files there are {others}" if others else "")


def _frames_hint(video: Path) -> str:
    frames = shlex.quote(str(video.with_suffix("")))
    command = f"ffmpeg -i {shlex.quote(str(video))} -vf fps=2 -q:v 2 {frames}/%06d.jpg"
    return f"extract the frames of the video: mkdir {frames} && {command}"


def _folders_of(root: Path) -> list[str]:
    return sorted(one.name for one in list_directory(root) if one.is_dir() and not one.name.startswith("."))


def _looks_like_labels(folder: Path) -> bool:
    """Return whether the first file of a directory has so few values that it can be no photograph."""
    first = next(iter(list_files(folder, IMAGES, deep=True).values()), None)
    return first is not None and _has_few_values(first)


def _has_few_values(file: Path) -> bool:
    with suppress(UdasegError):
        pixels = read_label_pixels(file)
        return len(np.unique(pixels.reshape(-1, pixels.shape[2] if pixels.ndim == 3 else 1), axis=0)) <= _FEW
    return False
