"""Write a dataset in the style of another one with FDA, and open or draw such images."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from udaseg.config import Stylize
from udaseg.data.augment import Restyle, resize
from udaseg.data.image_sets import ImageSet, Labelled, LabelledSet, View
from udaseg.data.images import png
from udaseg.data.images.read import read_image
from udaseg.data.places.indexed_path import IndexedPath
from udaseg.data.style import fda
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.parallel.threads import cores

PAIRS = "pairs.jsonl"
FLOATS = "float"  # the folder of the images before they are clipped and rounded
CHUNK = 8  # images of one style that one thread makes
CACHED_STYLES = 2048  # in memory: 52 kB each for the widest published window, beta 0.09 on 512x1024


def stylize_set(
    view: View,
    target: ImageSet,
    settings: Stylize,
    out: Path,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write every source image with the low-frequency amplitudes of a target image, and link its label and depth.

    `view` is the labelled source at the size to write. A target image is resized to its source image. `seed` draws
    the target of each image from permutations of all targets; `pairs.jsonl` lists the pairs. Images that were written
    before are kept: each was written in one piece. With `settings.keep_float` each is also stored before it is clipped
    to 0..255 and rounded, as float16 [H, W, 3] in `float/`; no stage reads that.
    """
    source = view.images
    partners = draw_pairs(len(source), len(target), seed)

    def make(i: int, style: Callable[[tuple[int, int]], fda.LowBand]) -> None:
        record, target_record = source.records[i], _move(source.records[i], source.root, out)
        for path, copy in ((record.label, target_record.label), (record.depth, target_record.depth)):
            if path is not None and not copy.exists():
                _link(path, copy)
        array = out / FLOATS / target_record.image.relative_to(out).with_suffix(".npy")
        is_whole = not settings.keep_float or array.exists()
        if target_record.image.exists() and is_whole:
            return
        image = source.image(i)
        canvas = resize(image, view.size_of(image.shape))
        band = style((canvas.shape[0], canvas.shape[1]))
        with atomic(target_record.image, sync=False) as temporary:
            temporary.write_bytes(png.encode(fda.stylize(canvas, band), photograph=True))
        if settings.keep_float:
            with atomic(array, sync=False) as temporary, temporary.open("wb") as file:
                np.save(file, fda.transfer(canvas, band).astype(np.float16))

    def make_all(indices: np.ndarray) -> int:
        path = target.records[partners[indices[0]]].image

        @cache
        def style(size: tuple[int, int]) -> fda.LowBand:
            return fda.low_band(resize(read_image(path), size), settings.beta, settings.window)

        for i in indices.tolist():
            make(i, style)
        return len(indices)

    done = 0
    with ThreadPoolExecutor(cores()) as pool:
        for count in pool.map(make_all, _group_by_partner(partners)):
            done += count
            if progress is not None:
                progress(done, len(source))
    with atomic(out / PAIRS) as temporary:
        lines = [
            json.dumps({"source": source.records[i].stem, "target": target.records[partner].stem}, ensure_ascii=False)
            for i, partner in enumerate(partners)
        ]
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")


def random_restyle(target: ImageSet, beta: float) -> Restyle:
    """Return a function that gives an image, uint8 [H, W, 3], the style of a random target image (FDA, section 3.2)."""

    @lru_cache(maxsize=CACHED_STYLES)
    def band(index: int, size: tuple[int, int]) -> fda.LowBand:
        return fda.low_band(resize(target.image(index), size), beta)

    def restyle(image_HWC: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = image_HWC.shape[:2]
        return fda.stylize(image_HWC, band(int(rng.integers(len(target))), (height, width)))

    return restyle


def open_stylized(source: LabelledSet, folder: Path) -> LabelledSet:
    """Return the source with the images of a stylize directory and its own labels and depth.

    Raises UdasegError where the directory lacks an image of the source.
    """
    records = tuple(replace(record, image=_move(record, source.root, folder).image) for record in source.records)
    missing = [record.image for record in records if not record.image.is_file()]
    if missing:
        raise UdasegError(
            f"{folder} lacks {len(missing)} of the {len(records)} source images, the first is {missing[0]}",
            "it was made from another source; make that of this one: udaseg stylize",
        )
    return replace(source, root=folder, records=records, resize_labels=True)


def draw_pairs(sources: int, targets: int, seed: int) -> np.ndarray:
    """Draw a target index for each source image, from successive permutations of the targets: int64 [sources]."""
    rng = np.random.default_rng(seed)
    rounds = max(1, -(-sources // targets))
    return np.concatenate([rng.permutation(targets) for _ in range(rounds)])[:sources]


def _group_by_partner(partners: np.ndarray) -> list[np.ndarray]:
    """Group the indices of sources by target, at most 8 in a group: a group reads its target once."""
    order = np.argsort(partners, kind="stable")
    starts = np.flatnonzero(np.diff(partners[order])) + 1
    return [group[i : i + CHUNK] for group in np.split(order, starts) for i in range(0, len(group), CHUNK)]


def _move(record: Labelled, root: Path, folder: Path) -> Labelled:
    def move(path: Path) -> Path:
        return folder / path.relative_to(root)

    return Labelled(
        record.stem, move(record.image).with_suffix(".png"), move(record.label), record.depth and move(record.depth)
    )


def _link(path: Path, copy: Path) -> None:
    copy.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(path, IndexedPath):
        with atomic(copy, sync=False) as temporary:
            temporary.write_bytes(path.read_bytes())
        return
    try:
        os.link(path.resolve(), copy)
    except OSError:  # another file system, or one without hard links
        with atomic(copy, sync=False) as temporary:
            shutil.copyfile(path, temporary)
