"""udaseg info: what a network costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udaseg.errors import UdasegError

from .terminal.options import parse_size

if TYPE_CHECKING:
    from torch import nn

RULES = {
    "MAC": "multiply-accumulates of the convolutions",
    "MAC+bias": "and the additions of their biases",
    "2*MAC": "multiplications and additions, each counted",
}


def command(
    name: Annotated[str, typer.Argument(help="deeplab, bisenet, fpn; full, light (discriminators); or a model.pt.")],
    size: Annotated[str, typer.Option(help="Height and width of the input.")] = "1024x2048",
    classes: Annotated[int | None, typer.Option(min=1, max=254, help="Default: 19, or those of the model.pt.")] = None,
    backbone: Annotated[str | None, typer.Option(help="resnet18, resnet50 or resnet101.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count the parameters of a network or a discriminator, and its operations by each rule in use.

    Example: udaseg info light --size 1024x2048 --classes 19
    """
    from udaseg.models.complexity import complexity

    height, width = parse_size(size)
    module, channels, classes = _module(name, classes, backbone)
    if min(height, width) < 32:
        raise UdasegError(f"--size {size}: the networks need 32x32 or more", "for example --size 512x1024")
    cost = complexity(module, (height, width), channels)
    operations = {rule: cost.operations(rule) for rule in RULES}
    if as_json:
        said = {"name": name, "input": [channels, height, width], "classes": classes, "parameters": cost.parameters}
        print(json.dumps({**said, "operations": operations}, indent=1))
        return
    from rich.table import Table

    from .terminal.tables import console

    title = f"{name}, {classes} classes, input {channels}x{height}x{width}: {cost.parameters:,} parameters"
    table = Table("rule", "operations", "what is counted", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for rule, count in operations.items():
        table.add_row(rule, f"{count / 1e9:.3f} G", RULES[rule])
    console().print(table)


def _module(name: str, classes: int | None, backbone: str | None) -> tuple[nn.Module, int, int]:
    """Make what is meant by a name; give it, the channels of its input, and its classes."""
    import torch

    from udaseg import config
    from udaseg.config.networks import ENCODERS, NETWORKS
    from udaseg.models import checkpoint, construct
    from udaseg.models.discriminators import PATCH

    if name in PATCH:
        if backbone:
            raise UdasegError(f"the discriminator {name} has no backbone", "leave out --backbone")
        classes = classes or 19
        with torch.device("meta"):
            return PATCH[name](classes), classes, classes
    if name in NETWORKS:
        classes, backbone = classes or 19, backbone or ("resnet101" if name == "deeplab" else "resnet18")
        if backbone not in ENCODERS:
            raise UdasegError(f"there is no backbone {backbone!r}", f"known: {', '.join(ENCODERS)}")
        with torch.device("meta"):
            return construct(config.Model(name=name, backbone=backbone, weights="none"), classes), 3, classes
    path = Path(name) / "model.pt" if Path(name).is_dir() else Path(name)
    if not path.is_file():
        raise UdasegError(
            f"there is no network, discriminator or file {str(path)!r}", f"known: {', '.join([*NETWORKS, *PATCH])}"
        )
    if classes or backbone:
        raise UdasegError(f"{name} has its classes and its backbone", "leave out --classes and --backbone")
    model, meta = checkpoint.load(path)
    return model, 3, len(meta["classes"])
