"""Export a network as a folder of safetensors and config.json, from which its own library builds it.

The library is segmentation_models_pytorch where it has the same network, and udaseg elsewhere; timm for the encoder
alone.
"""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from udaseg import config
from udaseg.config import HxW, Views
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.io.safetensors_file import FORMAT, MODEL
from udaseg.models import smp_layout, timm_layout
from udaseg.models.export import (
    Deployed,
    Logits,
    Parity,
    collect_facts,
    deploy,
    inputs,
    require,
    require_parity,
)
from udaseg.models.network import Network
from udaseg.models.tensorfile import read_safetensors
from udaseg.models.timm_layout import TimmEncoderFacts

CONFIG = "config.json"
FILES = (MODEL, CONFIG)


class Exported(NamedTuple):
    """What a folder holds: the library that builds it, why it is not smp's, how the file compares, and its facts."""

    library: str  # the name of its package
    reason: str | None  # why segmentation_models_pytorch has no such network; None where it has
    parity: Parity
    facts: dict[str, Any]
    content: dict[str, Any]  # of config.json
    encoder: TimmEncoderFacts | None  # of an encoder alone


def export_folder(
    model: Path,
    size: HxW,
    out: Path,
    images: Sequence[np.ndarray] = (),
    views: Views | None = None,
    *,
    encoder_alone: bool = False,
    pad: bool = False,
) -> Exported:
    """Write `model.safetensors` and `config.json` of a `model.pt` into the folder `out`, and compare as `export` does.

    With `encoder_alone` they are of the encoder, under timm's names; it is compared through the network's own decoder.
    `size` is height and width in pixels; `images`, uint8 [H, W, 3] each, are those it is compared on, besides noise.
    `pad` is kept as a fact: whether images kept their aspect in training. Raises UdasegError as `export` does, and
    where the library has no such encoder or cannot read images of that size.
    """
    require("safetensors")
    deployed, meta = deploy(model, views)
    network, settings = deployed.network, config.Model(**meta["model"], weights="none")
    reason = None if encoder_alone else smp_layout.difference(settings, network)
    encoder = timm_layout.describe(network, settings) if encoder_alone else None
    facts = collect_facts(deployed, meta, "safetensors", size) | {"pad": pad}
    if encoder is not None:
        library, tensors = "timm", network.backbone.state_dict()
        content = timm_layout.configuration(encoder, facts["color"], size)
    elif reason is None:
        library = smp_layout.PACKAGE
        _require_multiples(deployed.window or size)
        foreign = smp_layout.build(settings, len(meta["classes"]))
        tensors, content = smp_layout.to_foreign_names(network, foreign), smp_layout.configuration(foreign)
    else:
        library, tensors, content = "udaseg", network.state_dict(), facts
    facts["layout"] = {"timm": "timm", "udaseg": "udaseg"}.get(library, "smp")
    with atomic(out / MODEL) as weights, atomic(out / CONFIG) as description, torch.no_grad():
        _write(weights, tensors, facts)
        description.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        other = _read(weights, content, deployed, library, encoder)
        parity = require_parity(f"the network of {library}", model, deployed, other, inputs(size, images))
    return Exported(library, reason, parity, facts, json.loads(json.dumps(content)), encoder)


def _require_multiples(size: HxW) -> None:
    if any(side % smp_layout.MULTIPLE for side in size):
        nearest = "x".join(str(max(1, round(side / smp_layout.MULTIPLE)) * smp_layout.MULTIPLE) for side in size)
        raise UdasegError(
            f"{smp_layout.PACKAGE} reads images whose sides are multiples of {smp_layout.MULTIPLE}, and the network "
            f"sees {size[0]}x{size[1]}",
            f"give such a size, as with --size {nearest}",
        )


def _write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    from safetensors.torch import save_file

    metadata = {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}
    whole = {name: value.contiguous() for name, value in tensors.items()}
    save_file(whole, path, metadata={FORMAT: "pt", **metadata})


def _read(
    weights: Path, content: Mapping[str, Any], deployed: Deployed, library: str, encoder: TimmEncoderFacts | None
) -> Logits:
    """Build what the files hold with their library alone, in the place of the network or of its encoder."""
    tensors, network = read_safetensors(weights), deployed.network
    if encoder is not None:
        other: Network = copy.copy(network)
        other._modules = dict(network._modules)  # the copy has an encoder of its own
        model = timm_layout.read(content, encoder, tensors)
        other.backbone = timm_layout.Adapter(model, encoder, network.backbone.multiple)
    elif library == smp_layout.PACKAGE:
        other = smp_layout.Adapter(smp_layout.read(content, tensors), network.align_corners)
    else:
        from udaseg.models import checkpoint

        other, _ = checkpoint.load(weights)
    return Deployed(other, deployed.color, deployed.window, deployed.window_stride).eval()
