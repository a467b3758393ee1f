"""The pictures of the report: chosen, made small, and embedded as data URIs."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from udaseg.errors import UdasegError

LONGEST = 512  # pixels of the longer side: twice the width at which a panel is shown
SHOWN = 6  # panels of the evaluation
PSEUDO_SHOWN = 4


@dataclass(frozen=True)
class Panel:
    """One evaluated picture: data URIs of the image, its truth and the predictions of both models."""

    stem: str
    image: str | None
    truth: str | None
    before: str | None  # source-only
    after: str | None  # adapted
    changed: float | None  # share of pixels on which the two models differ


@dataclass(frozen=True)
class PseudoPanel:
    """One target training picture with its pseudo-label and what refinement left of it."""

    stem: str
    image: str | None
    pseudo: str | None
    refined: str | None
    labelled: tuple[float | None, float | None]  # share of pixels with a label, before and after refinement


def panels(before: Path | None, after: Path | None) -> tuple[Panel, ...]:
    """Pick the evaluation panels on which the two models differ most.

    `before` and `after` are evaluate stages with `panels/<stem>-{image,truth,prediction}.png` (RGB), either None.
    """
    folders = [folder / "panels" for folder in (after, before) if folder]
    stems = {path.name.removesuffix("-prediction.png") for f in folders for path in f.glob("*-prediction.png")}
    found = []
    for stem in sorted(stems):
        pair = [_open(folder / "panels" / f"{stem}-prediction.png") if folder else None for folder in (before, after)]
        changed = None
        if pair[0] and pair[1] and pair[0].size == pair[1].size:
            changed = float((np.asarray(pair[0]) != np.asarray(pair[1])).any(axis=-1).mean())
        found.append((-(changed or 0.0), stem, changed, pair))
    found.sort(key=lambda entry: entry[:2])
    return tuple(
        Panel(
            stem,
            _uri(_first(folders, f"{stem}-image.png"), photo=True),
            _uri(_first(folders, f"{stem}-truth.png")),
            _uri(pair[0]),
            _uri(pair[1]),
            changed,
        )
        for _, stem, changed, pair in found[:SHOWN]
    )


def pseudo_panels(pseudo: Path | None, refined: Path | None, images: Mapping[str, Path]) -> tuple[PseudoPanel, ...]:
    """Take pseudo-labels at even distances through the sorted stems, so that nobody has chosen them."""
    stems = sorted({path.stem for folder in (pseudo, refined) if folder for path in folder.glob("*.png")})
    middle = [(2 * i + 1) * len(stems) // (2 * PSEUDO_SHOWN) for i in range(PSEUDO_SHOWN)]
    shown = []
    for stem in (stems[i] for i in dict.fromkeys(middle) if i < len(stems)):
        pair = [_open_label(folder / f"{stem}.png") if folder else None for folder in (pseudo, refined)]
        image = _open(Path(images[stem])) if stem in images else None
        labelled = tuple(float((np.asarray(label) != 255).mean()) if label else None for label in pair)
        shown.append(PseudoPanel(stem, _uri(image, photo=True), _uri(pair[0]), _uri(pair[1]), labelled))
    return tuple(shown)


def label_palette(folders: Sequence[Path | None]) -> tuple[tuple[int, int, int], ...] | None:
    """Return the colours in the first palette PNG of the folders, or None where there is none."""
    for path in (path for folder in folders if folder for path in sorted(folder.glob("*.png"))[:1]):
        values = _open_label(path).getpalette()
        if values:
            return tuple(zip(values[0::3], values[1::3], values[2::3], strict=True))
    return None


def _first(folders: Sequence[Path], name: str) -> Image.Image | None:
    return next((picture for folder in folders if (picture := _open(folder / name))), None)


def _open(path: Path) -> Image.Image | None:
    if not path.exists():
        return None
    try:
        with Image.open(path) as picture:
            return picture.convert("RGB")
    except (OSError, SyntaxError) as error:
        raise UdasegError(f"cannot read picture {path}: {error}", "remove it and run its stage again") from None


def _open_label(path: Path) -> Image.Image | None:
    if not path.exists():
        return None
    try:
        with Image.open(path) as picture:
            picture.load()
    except (OSError, SyntaxError) as error:
        raise UdasegError(f"cannot read label {path}: {error}", "remove it and run its stage again") from None
    if picture.mode not in ("P", "L"):
        raise UdasegError(f"{path} should be a palette PNG of train ids, found mode {picture.mode}")
    return picture


def _uri(picture: Image.Image | None, *, photo: bool = False) -> str | None:
    """Encode a picture at report size: photographs as JPEG, labels exactly in their colours as palette PNG."""
    if picture is None:
        return None
    scale = min(1.0, LONGEST / max(picture.size))
    size = tuple(max(1, round(side * scale)) for side in picture.size)
    # Labels take the nearest pixel: averaging would invent colours, which are classes.
    small = picture.resize(size, Image.Resampling.LANCZOS if photo else Image.Resampling.NEAREST)
    stream = io.BytesIO()
    if photo:
        small.save(stream, "JPEG", quality=80, optimize=True)
    else:
        _as_palette(small).save(stream, "PNG", optimize=True)
    return data_uri(stream.getvalue(), "jpeg" if photo else "png")


def data_uri(picture: bytes, kind: str) -> str:
    """Write an encoded picture as an address that holds it."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode('ascii')}"


def _as_palette(picture: Image.Image) -> Image.Image:
    rgb = np.asarray(picture.convert("RGB")).astype(np.uint32)
    colours, index = np.unique((rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2], return_inverse=True)
    if len(colours) > 256:
        return picture
    packed = Image.fromarray(index.reshape(rgb.shape[:2]).astype(np.uint8)).convert("L")
    packed = packed.copy()
    packed.putpalette(np.stack([colours >> 16, colours >> 8 & 255, colours & 255], 1).astype(np.uint8).tobytes())
    return packed
