"""udaseg info: what a network costs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from udaseg.errors import UdasegError

from .terminal.options import check_settings, parse_size

if TYPE_CHECKING:
    from torch import nn

    from udaseg.config import Model
    from udaseg.models.complexity import TrainingMemory

RULES = {
    "MAC": "multiply-accumulates of convolutions, linear layers and attention",
    "MAC+bias": "and the additions of their biases",
    "2*MAC": "multiplications and additions, each counted",
}
# network -> the encoder of the publication
BACKBONES = {"deeplab": "resnet101", "fcn8s": "vgg16", "dilated": "resnet38"}


def command(
    name: Annotated[
        str, typer.Argument(help="A network or decoder, an encoder, full or light (discriminators), or a model.pt.")
    ],
    size: Annotated[str, typer.Option(help="Height and width of the input.")] = "1024x2048",
    classes: Annotated[int | None, typer.Option(min=1, max=254, help="Default: 19, or those of the model.pt.")] = None,
    backbone: Annotated[str | None, typer.Option("--backbone", "--encoder", help="The encoder of a decoder.")] = None,
    detail: Annotated[
        str | None, typer.Option(help="Add a second resolution: HEIGHTxWIDTH of the detail (model.detail).")
    ] = None,
    train: Annotated[bool, typer.Option("--train", help="Estimate the memory that training takes.")] = False,
    measure: Annotated[bool, typer.Option("--measure", help="Measure frames a second on this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Count the parameters of a network or a discriminator, and its operations by each rule in use.

    Example: udaseg info daformer --encoder mit_b5 --size 512x1024
    """
    from udaseg.models.complexity import complexity
    from udaseg.models.encoders import weights_license
    from udaseg.models.speed import WARM_UP, measure_speed

    height, width = parse_size(size)
    subject = _subject(name, classes, backbone, detail, "cpu" if measure else "meta")
    if min(height, width) < 32:
        raise UdasegError(f"--size {size}: the networks need 32x32 or more", "for example --size 512x1024")
    cost = complexity(subject.module, (height, width), subject.channels)
    # Before what follows, which turns the network into shapes.
    speed = measure_speed(subject.module, (height, width), subject.channels) if measure else None
    operations = {rule: cost.operations(rule) for rule in RULES}
    facts: dict[str, Any] = {}
    if subject.encoder is not None:
        facts["encoder"] = subject.encoder
        facts["stride"] = _stride(subject.module, height, width)
        facts["weights_license"] = weights_license(subject.encoder)
        facts |= _detail_facts(subject.module, (height, width))
    memory = _training_memory(subject, name, (height, width)) if train else {}
    if as_json:
        if memory:
            facts["training_memory_bytes"] = {precision: dict(part._asdict()) for precision, part in memory.items()}
        if speed:
            latency = {"latency_ms": 1000 * speed.latency, "frames_per_second": speed.frames_per_second}
            facts["speed"] = {**latency, "runs": speed.runs, **speed.environment}
        result = {"name": name, "input": [subject.channels, height, width], "classes": subject.classes}
        print(json.dumps({**result, "parameters": cost.parameters, **facts, "operations": operations}, indent=1))
        return
    from rich.table import Table

    from udaseg.pipeline.format import size as size_text

    from .terminal.tables import console

    shape = f"{subject.channels}x{height}x{width}"
    title = f"{name}, {subject.classes} classes, input {shape}: {cost.parameters:,} parameters"
    table = Table("rule", "operations", "what is counted", title=title, title_justify="left")
    table.columns[1].justify = "right"
    for rule, count in operations.items():
        table.add_row(rule, f"{count / 1e9:.3f} G", RULES[rule])
    console().print(table)
    if facts:
        license_ = facts["weights_license"] or "unknown"
        print(f"encoder {facts['encoder']}, logits at stride {facts['stride']}, licence of its weights: {license_}")
    if "detail" in facts:
        print(
            f"the context, and {facts['windows']} windows of the detail; in training the context and one crop, "
            f"{facts['training_macs'] / 1e9:.3f} G MAC"
        )
    for precision, part in memory.items():
        print(
            f"training in {precision}: {size_text(part.activations)} for each image in a step; weights, gradients and "
            f"optimizer {size_text(part.weights + part.sgd)} with sgd, {size_text(part.weights + part.adamw)} "
            "with adamw"
        )
    if speed:
        place = "on {device} in {precision}, {threads} threads".format_map(speed.environment)
        figures = f"{speed.frames_per_second:.1f} frames a second, {1000 * speed.latency:.1f} ms for an image"
        runs = f"the median of {speed.runs} runs after {WARM_UP}, without reading and upsampling"
        print(f"speed: {figures}, {place}; {runs}")


def _training_memory(subject: Subject, name: str, size: tuple[int, int]) -> dict[str, TrainingMemory]:
    """Estimate the memory of training by number format."""
    from udaseg.models.complexity import training_memory

    if subject.encoder is None:
        raise UdasegError(f"--train is for networks, and {name} is a discriminator", "leave out --train")
    return {"fp32": training_memory(subject.module, size), "bf16": training_memory(subject.module, size, bf16=True)}


def _detail_facts(network: nn.Module, size: tuple[int, int]) -> dict[str, Any]:
    """Return what a network of two resolutions sees in an image; nothing for other networks."""
    from udaseg.models.complexity import complexity
    from udaseg.models.windows import split_image

    if network.resolutions is None:
        return {}
    detail = network.resolutions.detail
    if any(part > side for part, side in zip(detail, size, strict=True)):
        raise UdasegError(
            f"--size {size[0]}x{size[1]} is smaller than the detail of {detail[0]}x{detail[1]}",
            f"set --size {2 * detail[0]}x{2 * detail[1]}, or --detail",
        )
    training_macs = complexity(network, size, detail=detail).macs
    return {"detail": list(detail), "windows": len(split_image(size, detail)), "training_macs": training_macs}


class Subject(NamedTuple):
    """A network or a discriminator, the channels of its input, its classes, and the encoder of a network."""

    module: nn.Module
    channels: int
    classes: int
    encoder: str | None = None


def _subject(name: str, classes: int | None, backbone: str | None, detail: str | None, device: str) -> Subject:
    """Build what a name stands for; on the device meta it has shapes alone."""
    import torch

    from udaseg import config
    from udaseg.config.networks import DECODERS, SMP, SMP_NAMES
    from udaseg.models import checkpoint, construct
    from udaseg.models.discriminators import PATCH

    if name in PATCH:
        if backbone or detail:
            raise UdasegError(
                f"the discriminator {name} has no backbone and no detail", "leave out --backbone and --detail"
            )
        classes = classes or 19
        with torch.device(device):
            return Subject(PATCH[name](classes), classes, classes)
    path = Path(name) / "model.pt" if Path(name).is_dir() else Path(name)
    is_decoder = name in (*DECODERS, *(SMP + decoder for decoder in SMP_NAMES))
    if not is_decoder and path.is_file():
        if classes or backbone or detail:
            raise UdasegError(
                f"{name} has its classes, its backbone and its detail",
                "leave out --classes, --backbone and --detail",
            )
        model, meta = checkpoint.load(path)
        return Subject(model, 3, len(meta["classes"]), config.Model(**meta["model"]).encoder_name)
    if not is_decoder and (backbone or Path(name).is_dir() or not _is_encoder(name)):
        raise UdasegError(
            f"there is no network, decoder, encoder, discriminator or file {str(path)!r}",
            f"known: {', '.join([*DECODERS, *PATCH])}, smp/NAME, and the encoders of timm.list_models()",
        )
    settings = _settings(name, backbone) if is_decoder else config.Model(encoder=name, weights="none")
    if detail is not None:
        values = {key: getattr(settings, key) for key in settings.model_fields_set}
        settings = check_settings(config.Model, "info", values | {"detail": parse_size(detail, "--detail")})
    with torch.device(device):
        return Subject(construct(settings, classes or 19), 3, classes or 19, settings.encoder_name)


def _settings(name: str, backbone: str | None) -> Model:
    """Return the settings of a published network, or of a decoder on any encoder."""
    from udaseg.config import Model
    from udaseg.config.networks import ENCODERS, NETWORKS

    backbone = backbone or BACKBONES.get(name, "resnet18")
    if name in NETWORKS and backbone in ENCODERS:
        return Model(name=name, backbone=backbone, weights="none")
    return Model(encoder=backbone, decoder=name, weights="none")


def _is_encoder(name: str) -> bool:
    from udaseg.config.networks import ENCODERS
    from udaseg.models.encoders.names import timm_name

    if name not in ENCODERS:
        try:
            timm_name(name)
        except UdasegError:
            return False
    return True


def _stride(network: nn.Module, height: int, width: int) -> int:
    """Return the rows of an image for each row of the logits, rounded."""
    import torch

    with torch.no_grad():
        output = network.to("meta").eval()(torch.empty(1, 3, height, width, device="meta"))
    return round(height / output.logits.shape[-2])
