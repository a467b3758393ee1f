"""Write a stream: frames of the real domain in blocks of one weather after another, as a `folder` dataset."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from udaseg.io.files import atomic
from udaseg.labels import class_space, train_id_table

from .render import Frame
from .weathers import WEATHERS
from .world import check_settings, render_missing, still_job

SPLIT = 2  # of the random seed: the frames are none of the training or the labelled split
TABLE = train_id_table("cityscapes", class_space("cs19"))


def make_stream(
    out: Path,
    *,
    seed: int = 0,
    frames: int = 50,
    size: tuple[int, int] = (256, 512),
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Render `frames` frames of each weather to out/val, in the order of their names; return how many there are.

    Labels are train ids of the 19 classes, which out/classes.yaml names. Frames whose files are there are kept, and
    not compared with `seed` and `size`: they are those of the same call, stopped. The bytes of a frame depend only on
    `seed`, `size`, its weather and its number. Raises UdasegError for settings out of range.
    """
    check_settings(seed, size, frames=frames)
    jobs = []
    for block, style in enumerate(WEATHERS):
        for i in range(frames):
            name = f"{block}-{style.name}_{i:04d}.png"
            files = {part: out / "val" / part / name for part in ("images", "labels")}
            jobs.append(still_job(seed, size, style, SPLIT, block * 10000 + i, files, _write))
    render_missing(jobs, progress=progress)
    space = class_space("cs19")
    content = {"names": list(space.classes), "palette": [list(colour) for colour in space.palette], "ignore": [255]}
    with atomic(out / "classes.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return len(jobs)


def _write(files: dict[str, Path], frame: Frame) -> None:
    for part, pixels in (("images", frame.image), ("labels", np.asarray(TABLE)[frame.label])):
        with atomic(files[part], sync=False) as temporary:
            Image.fromarray(pixels).save(temporary, format="PNG", compress_level=1)
