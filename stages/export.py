"""udaseg export: a network as a file for other programs."""

import json
from pathlib import Path
from typing import Annotated

import typer

from udaseg.config import Views
from udaseg.errors import UdasegError
from udaseg.pipeline.log import log
from udaseg.pipeline.trained_model import find_model, trained_size

from .terminal.options import WindowOption, WindowStrideOption, check_settings, parse_size, view_changes

SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torch": ".pt2"}
COMPARED = 16  # of the images given


def _size(model: Path, size: str | None) -> tuple[int, int]:
    height, width = parse_size(size) if size else trained_size(model)[0] or (0, 0)
    if not height:
        raise UdasegError(
            f"nothing beside {model} says at which size it was trained, and an export has one size",
            "give it with --size, for example --size 512x1024",
        )
    if min(height, width) < 32:
        raise UdasegError(f"--size {height}x{width}: the networks need 32x32 or more", "for example --size 512x1024")
    return height, width


def _look(images: Path) -> list:
    import numpy as np

    from udaseg.data.images.loose import open_loose_images

    shots = open_loose_images(images)
    return [shots.image(i) for i in np.unique(np.linspace(0, len(shots) - 1, COMPARED).astype(int))]


def command(
    model: Annotated[Path, typer.Argument(help="A model.pt, or the directory of the stage that trained it.")],
    kind: Annotated[str, typer.Option("--format", help="safetensors, onnx or torch.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write.")],
    size: Annotated[str | None, typer.Option(help="HEIGHTxWIDTH of the input; default: as in training.")] = None,
    window: WindowOption = None,
    window_stride: WindowStrideOption = None,
    images: Annotated[
        Path | None, typer.Option(help="A directory of images to compare on, beside random ones.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over the file.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Write a network as a file for other programs, and compare that file with the network.

    Example: udaseg export runs/demo/retrain --format onnx --out demo.onnx
    """
    if kind not in SUFFIXES:
        raise UdasegError(f"--format {kind}: there is no such format", f"known: {', '.join(SUFFIXES)}")
    if out.suffix != SUFFIXES[kind]:
        raise UdasegError(
            f"--out {out}: files of the format {kind} end in {SUFFIXES[kind]}",
            f"for example --out {out / 'model' if out.is_dir() else out.with_suffix('')}{SUFFIXES[kind]}",
        )
    if out.exists() and not force:
        raise UdasegError(f"{out} exists already", "name another file, or write over it with --force")
    views = check_settings(Views, "export", view_changes("export", window=window, window_stride=window_stride))
    model = find_model(model)
    height, width = _size(model, size)
    from udaseg.models.export import export, require

    require(kind)
    what = f"{kind} of {model} at {height}x{width}"
    if views.window is not None:
        what += f" in windows of {views.window[0]}x{views.window[1]}"
    log(f"export: {'would write' if dry_run else 'writes'} {what} to {out}")
    if dry_run:
        return
    found = export(model, kind, (height, width), out, _look(images) if images else [], views)
    if as_json:
        said = {"file": str(out), "format": kind, "size": [height, width], "bytes": out.stat().st_size}
        print(json.dumps({**said, "parity": found._asdict()}, indent=1))
        return
    print(
        f"{found.images} images: the logits differ by {found.difference:.2g} at most (they spread over "
        f"{found.spread:.3g}), and {100 * found.agreeing:.3f} % of the pixels get the same class"
    )
    log(f"export: {what} in {out}, {out.stat().st_size / 1e6:.1f} MB; {100 * found.agreeing:.3f} % of the pixels agree")
