"""Draw the labels of a video's frames over it: a video of overlays, and one beside the input."""

from pathlib import Path

import numpy as np

from udaseg.data.images.loose import LooseImages
from udaseg.data.images.read import read_label_ids
from udaseg.data.images.video import open_writer
from udaseg.inference.apply import Painter
from udaseg.parallel.threads import Progress, map_in_order

OVERLAY, BESIDE = "overlay.mp4", "side-by-side.mp4"


def write_videos(images: LooseImages, labels: Path, out: Path, painter: Painter, progress: Progress | None) -> None:
    """Write `overlay.mp4` and `side-by-side.mp4` (the input on the left) into `out`, with the times of the input.

    `labels` has the label PNG of each frame; a frame without one is left out, and the one before it is shown longer.
    """
    video = images.video
    assert video is not None
    shown = [i for i in range(len(images)) if (labels / f"{images.stems[i]}.png").exists()]

    def draw(i: int) -> tuple[int, np.ndarray, np.ndarray]:
        image = video.image(i)
        return i, image, painter.blend(image, read_label_ids(labels / f"{images.stems[i]}.png", "trainids"))

    width = video.shape[1]
    with open_writer(out / OVERLAY, video, width) as overlay, open_writer(out / BESIDE, video, 2 * width) as beside:
        for done, (i, image, blended) in enumerate(map_in_order(draw, shown), 1):
            overlay(i, blended)
            beside(i, np.concatenate([image, blended], axis=1))
            if progress is not None:
                progress(done, len(shown))
