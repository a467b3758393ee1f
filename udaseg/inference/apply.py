"""Label images that belong to no dataset: label PNGs, overlays to look at, and a legend."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import numpy as np
import yaml
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from udaseg.config import Views
from udaseg.data.image_sets import View
from udaseg.data.images.read import write_label
from udaseg.inference.runner import Runner
from udaseg.io.files import atomic
from udaseg.labels import SPACES, ClassSpace, class_space, flat_palette
from udaseg.parallel.threads import Progress, map_in_order

STRENGTH = 0.55  # of the classes' colours over the image
ROW = 28  # of the legend, in pixels


class Decided(NamedTuple):
    """An image and its label, and its place in the set."""

    index: int
    image: np.ndarray
    label: np.ndarray


def apply(
    model: Path,
    view: View,
    settings: Views,
    out: Path,
    *,
    progress: Progress | None = None,
) -> tuple[ClassSpace, dict[str, Any]]:
    """Write `labels/<stem>.png` (train ids, palette), `overlays/<stem>.jpg` and a legend; return classes and device.

    The images of the view are loose files (`data.images.loose`). They are labelled at their own size, as `evaluate`
    does. Those that have a label are not done again. The legend is `legend.png` for people, and for
    programs `classes.yaml` as `folder` datasets have it.
    """
    runner, shots = Runner(model, None, settings.precision), view.images
    space = _space(runner.classes)
    palette = flat_palette(space)
    colours = np.array(palette, np.float32).reshape(256, 3) * STRENGTH

    def labels(i: int) -> Path:
        return out / "labels" / f"{shots.stems[i]}.png"

    todo = [i for i in range(len(shots)) if not labels(i).exists()]

    def decided() -> Iterator[Decided]:
        def infer(images, at):
            return runner.views(images, at, settings)

        for seen in runner.run(view, todo, settings.batch, infer, scales=settings.scales):
            for place, (i, image) in enumerate(zip(seen.indices, seen.images, strict=True)):
                # One at a time: all classes of a large image take gigabytes on a GPU.
                yield Decided(i, image, runner.label(seen.output, place, image.shape[:2], settings.average))

    def write(one: Decided) -> None:
        blend = one.image * np.float32(1 - STRENGTH) + colours[one.label]
        with atomic(out / "overlays" / f"{shots.stems[one.index]}.jpg", sync=False) as temporary:
            Pillow.fromarray(blend.astype(np.uint8)).save(temporary, format="JPEG", quality=90)
        write_label(labels(one.index), one.label, palette)  # the last: an image with a label is done

    for done, _ in enumerate(map_in_order(write, decided()), len(shots) - len(todo) + 1):
        if progress is not None:
            progress(done, len(shots))
    _write_legend(out, space)
    return space, runner.environment


def _space(classes: tuple[str, ...]) -> ClassSpace:
    """Find the class space of a model, which holds only the names."""
    return next((space for space in SPACES.values() if space.classes == classes), None) or class_space(classes)


def _write_legend(out: Path, space: ClassSpace) -> None:
    font = ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 15)
    texts = [f"{i}  {name}" for i, name in enumerate(space.classes)]
    width = 52 + round(max(font.getlength(text) for text in texts))
    legend = Pillow.new("RGB", (width, ROW * len(space) + 12), "white")
    draw = ImageDraw.Draw(legend)
    for i, (text, colour) in enumerate(zip(texts, space.palette, strict=True)):
        top = 6 + ROW * i
        draw.rectangle((10, top + 3, 32, top + ROW - 4), fill=colour, outline="grey")
        draw.text((42, top + ROW / 2), text, fill="black", font=font, anchor="lm")
    with atomic(out / "legend.png") as temporary:
        legend.save(temporary, format="PNG")
    said = {"names": list(space.classes), "palette": [list(colour) for colour in space.palette]}
    with atomic(out / "classes.yaml") as temporary:
        temporary.write_text(yaml.safe_dump(said, sort_keys=False, allow_unicode=True), encoding="utf-8")
