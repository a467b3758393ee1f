"""Label images that belong to no dataset: write label PNGs, overlays for people, and a legend."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import yaml
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from udaseg.config import HxW, Views
from udaseg.data.image_sets import View
from udaseg.data.images.read import write_label
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.io.files import atomic
from udaseg.labels import SPACES, ClassSpace, class_space, flat_palette
from udaseg.parallel.threads import Progress, map_in_order

OPACITY = 0.55  # of the classes' colours over the image
ROW_HEIGHT = 28  # of the legend, in pixels


class UnreadableError(UdasegError):
    """None of the images can be read."""


class Painter:
    """Draw labels over images in the colours of their classes."""

    def __init__(self, space: ClassSpace):
        self.palette = flat_palette(space)
        self._colours = np.array(self.palette, np.float32).reshape(256, 3) * OPACITY

    def blend(self, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Return an image, uint8 [H, W, 3], under its label, uint8 [H, W]."""
        return (image * np.float32(1 - OPACITY) + self._colours[label]).astype(np.uint8)


class LabelledImage(NamedTuple):
    """An image, uint8 [H, W, 3], its label, uint8 [H, W], and its index in the set."""

    index: int
    image: np.ndarray
    label: np.ndarray


def apply(
    runner: Runner,
    view: View,
    settings: Views,
    out: Path,
    *,
    broken: dict[int, str] | None = None,
    progress: Progress | None = None,
) -> ClassSpace:
    """Label images with a network; return its class space.

    Writes `labels/<stem>.png` (train ids, palette PNG), `overlays/<stem>.jpg`, `legend.png` and `classes.yaml` (in the
    format of `folder` datasets) into the folder `out`. The frames of a video have no overlays (see `videos`). The
    images of the view are `LooseImages`. Labels have the images' own size. Images that have a label already are not
    labelled again. Where `broken` is a dict, images that cannot be read are left out, and their errors added to it by
    index. Raises UdasegError for such an image otherwise, and UnreadableError where no image can be read.
    """
    images = view.images
    writer = LabelWriter(out, runner.classes, overlays=images.video is None)
    missing = [i for i in range(len(images)) if not writer.label_path(images.stems[i]).exists()]

    def label_images() -> Iterator[LabelledImage]:
        def infer(batch: Sequence[np.ndarray], size: HxW) -> list[Tensor]:
            return runner.infer_views(batch, size, settings)

        for batch in runner.run(view, missing, settings.batch, infer, scales=settings.scales, broken=broken):
            for n, (i, image) in enumerate(zip(batch.indices, batch.images, strict=True)):
                # One at a time: the full-size logits of a large image take gigabytes on a GPU.
                yield LabelledImage(i, image, runner.label(batch.output, n, image.shape[:2], settings.average))

    def write(result: LabelledImage) -> None:
        writer.write(images.stems[result.index], result.image, result.label)

    for done, _ in enumerate(map_in_order(write, label_images()), len(images) - len(missing) + 1):
        if progress is not None:
            progress(done, len(images))
    if broken and len(broken) == len(images):
        raise UnreadableError(f"no image can be read; the first: {broken[min(broken)]}", "copy or unpack them again")
    writer.write_legend()
    return writer.space


def find_space(classes: tuple[str, ...]) -> ClassSpace:
    """Return the class space with these names, with its palette."""
    return next((space for space in SPACES.values() if space.classes == classes), None) or class_space(classes)


class LabelWriter:
    """Write labels, overlays and the legend into a folder; `space` is the class space of a network's class names."""

    def __init__(self, out: Path, classes: tuple[str, ...], *, overlays: bool = True):
        self.space = find_space(classes)
        self._out, self._painter, self._overlays = out, Painter(self.space), overlays

    def label_path(self, stem: str) -> Path:
        """Return the path of the label of an image."""
        return self._out / "labels" / f"{stem}.png"

    def write(self, stem: str, image: np.ndarray, label: np.ndarray) -> None:
        """Write the overlay of an image, uint8 [H, W, 3], and last its label, uint8 [H, W]: then it is complete."""
        if self._overlays:
            blend = self._painter.blend(image, label)
            with atomic(self._out / "overlays" / f"{stem}.jpg", sync=False) as temporary:
                Pillow.fromarray(blend).save(temporary, format="JPEG", quality=90)
        write_label(self.label_path(stem), label, self._painter.palette)

    def write_legend(self) -> None:
        """Write legend.png and classes.yaml."""
        _write_legend(self._out, self.space)


def _write_legend(out: Path, space: ClassSpace) -> None:
    font = ImageFont.load_default(15)
    texts = [f"{i}  {name}" for i, name in enumerate(space.classes)]
    width = 52 + round(max(font.getlength(text) for text in texts))
    legend = Pillow.new("RGB", (width, ROW_HEIGHT * len(space) + 12), "white")
    draw = ImageDraw.Draw(legend)
    for i, (text, colour) in enumerate(zip(texts, space.palette, strict=True)):
        top = 6 + ROW_HEIGHT * i
        draw.rectangle((10, top + 3, 32, top + ROW_HEIGHT - 4), fill=colour, outline="grey")
        draw.text((42, top + ROW_HEIGHT / 2), text, fill="black", font=font, anchor="lm")
    with atomic(out / "legend.png") as temporary:
        legend.save(temporary, format="PNG")
    content = {"names": list(space.classes), "palette": [list(colour) for colour in space.palette]}
    with atomic(out / "classes.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
