"""Write a folder dataset from the annotations of a labelling tool."""

import json
import os
import shlex
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

from udaseg.data.convert.coco import is_coco, read_coco
from udaseg.data.convert.labelme import is_labelme, read_labelme
from udaseg.data.convert.labelstudio import is_labelstudio, read_labelstudio
from udaseg.data.convert.panoptic import find_masks, is_panoptic, read_panoptic
from udaseg.data.convert.regions import AnnotatedImage
from udaseg.data.convert.sources import Annotations, ImageIndex, collect
from udaseg.data.datasets.folder import read_classes
from udaseg.data.datasets.folder_layout import named_splits
from udaseg.data.datasets.names import choose_stems
from udaseg.data.images.read import image_size, write_label
from udaseg.errors import UdasegError, join_names
from udaseg.io.files import atomic
from udaseg.labels import IGNORE, class_space, flat_palette
from udaseg.parallel.threads import Progress, map_in_order

BACKGROUND = "background"  # the class of pixels in no region, id 0
_BACKGROUNDS = (BACKGROUND, "_background_")
_IGNORED = "__ignore__"  # Labelme's name of pixels without a class
_FORMATS_HINT = (
    "expected are COCO's or Label Studio's JSON, or a directory of Labelme's; a mask export of CVAT or Pascal VOC "
    "needs no conversion: unpack it into the directory of a split"
)


class Conversion(NamedTuple):
    """What was written: the number of images, the names of the classes by id, and what the user has to know of it."""

    images: int
    classes: dict[int, str]
    notes: Sequence[str]


def convert(
    source: Path, out: Path, split: str, *, images: Path | None = None, progress: Progress | None = None
) -> Conversion:
    """Write the annotations of a JSON file, or of all in a directory, as a split of a folder dataset.

    Copies the images, which lie below the directory `images`, or below that of the annotations. Pixels in no region
    get the class "background"; those in no segment of COCO's panoptic format are ignored. Ids of an earlier split in
    `out` stay. Raises UdasegError for an unknown format, a missing image, and a split that exists.
    """
    folder = out / split
    if not split or split != Path(split).name or split.startswith("."):
        raise UdasegError(f"--split {split}: expected the name of a directory", "for example --split train")
    if folder.exists() or out.is_file():
        raise UdasegError(f"{folder if folder.exists() else out} exists", "name another directory, or another --split")
    names, annotated, left_out, has_void = _read(source, images, out)
    if not annotated:
        raise UdasegError(f"{source}: expected annotated images, found none", "annotate some, and export again")
    notes = [
        "pixels in no segment are ignored"
        if has_void
        else f"pixels in no region have the class {BACKGROUND}; a space without this class ignores them",
        *(f"left out: {text}" for text in left_out),
    ]
    if empty := sum(not entry.names for entry in annotated):
        fate = "ignored" if has_void else BACKGROUND
        notes.append(f"{empty} of {len(annotated)} images have no region: all their pixels are {fate}")
    stems = _choose_stems([entry.image for entry in annotated])
    ids = _choose_ids(out, names)
    partial = out / f".{split}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    for part in ("images", "labels"):
        (partial / part).mkdir(parents=True)
    palette = flat_palette(class_space([ids.get(i, f"unused {i}") for i in range(max(ids) + 1)]))
    by_name = {name: i for i, name in ids.items()} | dict.fromkeys(_BACKGROUNDS, 0) | {_IGNORED: IGNORE}

    def write(item: tuple[AnnotatedImage, str]) -> None:
        entry, stem = item
        label = _draw(entry, by_name)
        shutil.copyfile(entry.image, partial / "images" / f"{stem}{entry.image.suffix}")
        write_label(partial / "labels" / f"{stem}.png", label, palette)

    try:
        for done, _ in enumerate(map_in_order(write, list(zip(annotated, stems, strict=True))), 1):
            if progress:
                progress(done, len(annotated))
    except UdasegError:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    with atomic(out / "classes.yaml") as temporary:
        content = {"names": ids, "ignore": [IGNORE]}
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    partial.rename(folder)
    return Conversion(len(annotated), ids, notes)


def _read(source: Path, images: Path | None, out: Path) -> Annotations:
    if not source.exists():
        raise UdasegError(f"there is no file or directory {source}", _FORMATS_HINT)
    above = source if source.is_dir() else source.parent
    root = images or (above.parent if above.name == "annotations" else above)
    copies = [out / split for split in named_splits(out) if (out / split / "labels").is_dir()] if out.is_dir() else []
    index = ImageIndex(root, copies)
    files = sorted(source.rglob("*.json")) if source.is_dir() else [source]
    whole, labelme, others = [], {}, []
    for file in files:  # one after the other: Labelme's hold the image too
        content = _parse(file)
        if is_coco(content) or is_labelstudio(content):
            whole.append(file)
        elif is_labelme(content):
            labelme[file] = read_labelme(content, file, index)
        else:
            others.append(str(file))
    if not whole and not labelme:
        found = f"JSON of another format: {join_names(others)}" if others else "no JSON file"
        raise UdasegError(
            f"{source}: expected annotations of COCO, Label Studio or Labelme, found {found}", _FORMATS_HINT
        )
    if len(whole) + bool(labelme) != 1:
        words = ["udaseg", "data", "convert", str(whole[0]), f"{source}-drawn", "--split", "train"]
        raise UdasegError(
            f"{source}: expected annotations of one split, found {join_names([str(file) for file in files])}",
            f"name one file, and its split: {shlex.join([*words, '--images', str(source)])}",
        )
    if whole:
        annotations = _read_file(whole[0], root, copies, index)
    else:
        annotated = [entry for entry, _ in labelme.values()]
        points = sum(count for _, count in labelme.values())
        annotations = collect(annotated, {"points and lines, which have no area": points})
    left_out = [f"other JSON files: {join_names(others)}"] if others else []
    return annotations._replace(left_out=[*annotations.left_out, *left_out])


def _read_file(file: Path, root: Path, copies: Sequence[Path], index: ImageIndex) -> Annotations:
    """Read the one JSON file of all images; `root` and `copies` made the index of images."""
    content = _parse(file)
    if is_labelstudio(content):
        return read_labelstudio(content, file, index)
    if is_panoptic(content):  # a PNG of segments may have the name of its image
        return read_panoptic(content, file, ImageIndex(root, [*copies, find_masks(file)]))
    return read_coco(content, file, index)


def _parse(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UdasegError(f"{file}: expected JSON, found: {error}", "export it again, or move it away") from None


def _draw(entry: AnnotatedImage, ids: Mapping[str, int]) -> np.ndarray:
    """Draw the label of an image: uint8 [H, W]."""
    if image_size(entry.image) != entry.size:
        height, width = image_size(entry.image)
        raise UdasegError(
            f"{entry.source}: expected an image of {entry.size[0]}x{entry.size[1]}, found {height}x{width}: "
            f"{entry.image}",
            "convert with the images that were annotated; scale them later",
        )
    return entry.draw(ids)


def _choose_ids(out: Path, names: Sequence[str]) -> dict[int, str]:
    """Give each class an id: those of an earlier split first, then the next free ones."""
    ids = {0: BACKGROUND}
    if (out / "classes.yaml").is_file():
        ids = dict(read_classes(out)[1].classes)
        if ids.get(0) != BACKGROUND:
            raise UdasegError(
                f"{out}/classes.yaml: expected the class {BACKGROUND} with id 0, found {ids.get(0)}",
                "convert into another directory",
            )
    for name in names:
        if name not in (*ids.values(), *_BACKGROUNDS, _IGNORED):
            ids[max(ids) + 1] = name
    if max(ids) > 253:
        raise UdasegError(f"expected up to 254 classes with the background, found {len(ids)}", "annotate fewer")
    return ids


def _choose_stems(files: Sequence[Path]) -> list[str]:
    """Return a stem for each image: its name, with its directories where several images share that."""
    below = Path(os.path.commonpath([file.parent for file in files])) if files else Path()
    names = [file.relative_to(below).with_suffix("").as_posix() for file in files]
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise UdasegError(
            f"expected another name for each image in {below}, found several times: {join_names(repeated)}",
            "annotate each image once, and rename those of one name",
        )
    stems = choose_stems(dict(zip(names, files, strict=True)))
    return [stems[name] for name in names]
