"""udaseg export: a network as a file or a folder for other programs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udaseg.config import Views
from udaseg.errors import UdasegError
from udaseg.pipeline.log import log
from udaseg.pipeline.trained_model import find_model, trained_size

from .terminal.options import WindowOption, WindowStrideOption, check_settings, parse_size, view_changes

if TYPE_CHECKING:
    from udaseg.models.export import Parity

SUFFIXES = {"safetensors": ".safetensors", "onnx": ".onnx", "torch": ".pt2"}
COMPARED = 16  # of the images given
FILES, CARD = ("model.safetensors", "config.json"), "README.md"  # in a folder


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


def _check_place(kind: str, out: Path, encoder: bool, force: bool) -> bool:
    """Return whether a folder is written; raise UdasegError where the place does not fit, or is taken."""
    suffix = SUFFIXES[kind]
    is_folder = kind == "safetensors" and (out.is_dir() or not out.suffix)
    if encoder and not is_folder:
        raise UdasegError(
            "an encoder is exported as a folder of safetensors, with the config.json by which timm builds it",
            f"set --format safetensors, and a folder, as with --out {out.with_suffix('')}",
        )
    if not is_folder and out.suffix != suffix:
        raise UdasegError(
            f"--out {out}: files of the format {kind} end in {suffix}",
            f"for example --out {out / 'model' if out.is_dir() else out.with_suffix('')}{suffix}",
        )
    taken = [path for path in map(out.joinpath, (*FILES, CARD)) if path.exists()] if is_folder else [out]
    if taken and taken[0].exists() and not force:
        raise UdasegError(f"{taken[0]} exists already", "name another place, or write over it with --force")
    return is_folder


def _export_folder(
    model: Path, size: tuple[int, int], out: Path, images: list, views: Views, encoder: bool
) -> tuple["Parity", dict[str, str]]:
    """Write a folder with its card; return how it compares, and the library that builds what is in it."""
    from udaseg.io.files import atomic
    from udaseg.models.export_folder import export_folder
    from udaseg.report.model_card import model_card
    from udaseg.report.model_origin import read_origin

    origin = read_origin(model)
    trained, pad = trained_size(model)
    exported = export_folder(model, size, out, images, views, encoder_alone=encoder, pad=pad)
    name = out.resolve().name
    with atomic(out / CARD) as temporary:
        temporary.write_text(model_card(name, exported, origin, trained), encoding="utf-8")
    if exported.reason is not None:
        log(f"export: segmentation_models_pytorch cannot build this network: {exported.reason}; udaseg can")
    log(f"export: {exported.library} builds what is in {out}; {out / CARD} shows how")
    return exported.parity, {"library": exported.library}


def command(
    model: Annotated[Path, typer.Argument(help="A model.pt, or the directory of the stage that trained it.")],
    kind: Annotated[str, typer.Option("--format", help="safetensors, onnx or torch.")],
    out: Annotated[Path, typer.Option("--out", help="The file to write; of safetensors, or a folder with a card.")],
    encoder: Annotated[bool, typer.Option("--encoder", help="The encoder alone, as timm builds it; a folder.")] = False,
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

    A folder of safetensors has a config.json and a model card too. timm builds the encoder from it, and
    segmentation_models_pytorch the network, where it has the same.

    Example: udaseg export runs/demo/retrain --format onnx --out demo.onnx
    """
    if kind not in SUFFIXES:
        raise UdasegError(f"--format {kind}: there is no such format", f"known: {', '.join(SUFFIXES)}")
    is_folder = _check_place(kind, out, encoder, force)
    views = check_settings(Views, "export", view_changes("export", window=window, window_stride=window_stride))
    model = find_model(model)
    height, width = _size(model, size)
    from udaseg.models.export import export, require

    require(kind)
    what = f"{kind} of {'the encoder of ' if encoder else ''}{model} at {height}x{width}"
    if views.window is not None:
        what += f" in windows of {views.window[0]}x{views.window[1]}"
    log(f"export: {'would write' if dry_run else 'writes'} {what} to {out}")
    if dry_run:
        return
    shown, more = _look(images) if images else [], {}
    if is_folder:
        found, more = _export_folder(model, (height, width), out, shown, views, encoder)
        count = sum((out / name).stat().st_size for name in (*FILES, CARD))
    else:
        found = export(model, kind, (height, width), out, shown, views)
        count = out.stat().st_size
    if as_json:
        said = {"file": str(out), "format": kind, "size": [height, width], "bytes": count, **more}
        print(json.dumps({**said, "parity": found._asdict()}, indent=1))
        return
    print(
        f"{found.images} images: the logits differ by {found.difference:.2g} at most (they spread over "
        f"{found.spread:.3g}), and {100 * found.agreeing:.3f} % of the pixels get the same class"
    )
    log(f"export: {what} in {out}, {count / 1e6:.1f} MB; {100 * found.agreeing:.3f} % of the pixels agree")
