"""The images of the report: selected, scaled down, and embedded as data URIs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.errors import UdasegError

LONGEST = 512  # pixels of the longer side: twice the width at which a panel is shown
MAX_PANELS = 6


@dataclass(frozen=True)
class Panel:
    """An evaluated image: data URIs of the image, its true labels and the prediction of each model."""

    stem: str
    image: str | None
    truth: str | None
    predictions: tuple[str | None, ...]  # in the order of the models
    changed: float | None  # share of pixels on which the models differ


def panels(evaluations: Sequence[Path | None], *, common: bool = False) -> tuple[Panel, ...]:
    """Return the evaluated images on which the models differ most.

    `evaluations` are directories of evaluate stages with `panels/<stem>-{image,truth,prediction}.png` (RGB), or None.
    With `common`, images that an evaluation lacks are left out.
    """
    folders = [folder / "panels" for folder in evaluations if folder]
    each = [{path.name.removesuffix("-prediction.png") for path in f.glob("*-prediction.png")} for f in folders]
    stems = (set.intersection if common else set.union)(*each) if each else set()
    candidates = []
    for stem in sorted(stems):
        predictions = [
            open_image(folder / "panels" / f"{stem}-prediction.png") if folder else None for folder in evaluations
        ]
        candidates.append((_disagreement(predictions), stem, predictions))
    candidates.sort(key=lambda entry: (-(entry[0] or 0.0), entry[1]))
    return tuple(
        Panel(
            stem,
            uri(_first(folders[::-1], f"{stem}-image.png"), photo=True),
            uri(_first(folders[::-1], f"{stem}-truth.png")),
            tuple(uri(prediction) for prediction in predictions),
            changed,
        )
        for changed, stem, predictions in candidates[:MAX_PANELS]
    )


def _disagreement(images: Sequence[Image.Image | None]) -> float | None:
    """Return the share of pixels whose colour differs between images; None where they cannot be compared."""
    if len(images) < 2 or None in images or len({image.size for image in images}) > 1:
        return None
    first, *others = (np.asarray(image) for image in images)
    return float(np.any([(first != other).any(axis=-1) for other in others], axis=0).mean())


def sample_evenly(stems: Sequence[str], count: int) -> list[str]:
    """Return `count` names at even distances in a sorted list: a sample without a choice."""
    indices = (
        [(2 * i + 1) * len(stems) // (2 * count) for i in range(count)] if len(stems) > count else range(len(stems))
    )
    return [stems[i] for i in indices]


def label_palette(folders: Sequence[Path | None]) -> tuple[tuple[int, int, int], ...] | None:
    """Return the colours in the first palette PNG of the folders, or None where there is none."""
    for path in (path for folder in folders if folder for path in sorted(folder.glob("*.png"))[:1]):
        values = open_label(path).getpalette()
        if values:
            return tuple(zip(values[0::3], values[1::3], values[2::3], strict=True))
    return None


def _first(folders: Sequence[Path], name: str) -> Image.Image | None:
    return next((image for folder in folders if (image := open_image(folder / name))), None)


def open_image(path: Path) -> Image.Image | None:
    if not path.exists():
        return None
    try:
        with path.open("rb") as file, Image.open(file) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UdasegError(f"cannot read image {path}: {error}", "remove it and run its stage again") from None


def open_label(path: Path) -> Image.Image | None:
    if not path.exists():
        return None
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError) as error:
        raise UdasegError(f"cannot read label {path}: {error}", "remove it and run its stage again") from None
    if image.mode not in ("P", "L"):
        raise UdasegError(
            f"{path} should be a palette PNG of train ids, found mode {image.mode}", "make the labels again"
        )
    return image


def uri(image: Image.Image | None, *, photo: bool = False) -> str | None:
    """Encode an image at report size: photographs as JPEG, labels exactly in their colours as palette PNG."""
    if image is None:
        return None
    scale = min(1.0, LONGEST / max(image.size))
    size = tuple(max(1, round(side * scale)) for side in image.size)
    # Labels take the nearest pixel: averaging would invent colours, which are classes.
    small = image.resize(size, Image.Resampling.LANCZOS if photo else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    if photo:
        small.save(stream, "JPEG", quality=80, optimize=True)
    else:
        _as_palette(small).save(stream, "PNG", optimize=True)
    return data_uri(stream.getvalue(), "jpeg" if photo else "png")


def data_uri(image: bytes, kind: str) -> str:
    """Return the data URI of an encoded image."""
    return f"data:image/{kind};base64,{base64.b64encode(image).decode('ascii')}"


def _as_palette(image: Image.Image) -> Image.Image:
    rgb = np.asarray(image.convert("RGB")).astype(np.uint32)
    colours, index = np.unique((rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2], return_inverse=True)
    if len(colours) > 256:
        return image
    packed = Image.fromarray(index.reshape(rgb.shape[:2]).astype(np.uint8)).convert("L")
    packed = packed.copy()
    packed.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes())
    return packed
