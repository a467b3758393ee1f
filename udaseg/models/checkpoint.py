"""Save, load and check `model.pt`: the tensors of a network, and the facts needed to use it, without code."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import udaseg
from udaseg import config
from udaseg.config.networks import ENCODERS
from udaseg.errors import UdasegError, join_names
from udaseg.io.documents.other_files import MODEL_SCHEMA
from udaseg.io.files import atomic
from udaseg.io.safetensors_file import SUFFIX
from udaseg.models import construct
from udaseg.models.network import Network
from udaseg.models.tensorfile import facts, read, read_export, write

ARCHITECTURE = ("name", "backbone", "encoder", "decoder", "stride", "width", "aspp", "color", "heads", "detail")


def save(
    path: Path,
    model: Network,
    settings: config.Model,
    classes: Sequence[str],
    extra: dict[str, Any] | None = None,
) -> None:
    """Write a network to one file, atomically; equal networks give equal bytes.

    `settings` is the `model` section of the recipe. `classes` are the names in the order of the logits. `extra` holds
    further JSON values, such as the step.
    """
    meta = {
        "schema": MODEL_SCHEMA,
        "udaseg": udaseg.__version__,
        "classes": list(classes),
        "model": settings.model_dump(mode="json", exclude={"weights"}),
        "stride_first": model.stride_first,
        **({} if settings.encoder in (None, *ENCODERS) else {"timm": version("timm")}),
        "extra": json.loads(json.dumps(extra or {}, allow_nan=False)),
    }
    # Cloned into the plain layout: a view would drag its whole storage along, channels_last its strides.
    tensors = {
        name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    with atomic(Path(path)) as temporary, temporary.open("wb") as file:
        write({"meta": meta, "model": tensors}, file)


def load(path: Path, map_location: str | torch.device = "cpu") -> tuple[Network, dict[str, Any]]:
    """Read a network and its facts from a `model.pt`; the network is in evaluation mode on the device `map_location`.

    A safetensors file of a whole network that udaseg has exported is read too. The facts are a dictionary: schema,
    udaseg (the version), classes, model (the section of the recipe, without weights), stride_first, extra, and timm
    (the version) with an encoder of timm. Raises UdasegError for a file that is missing, truncated, of another schema
    or architecture, contains code, or has weights that are not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise UdasegError(f"there is no model at {path}", "run `udaseg warmup` first, or name a model.pt with --model")
    meta, tensors = read_export(path) if path.suffix == SUFFIX else facts(path, read(path))
    settings = config.Model(**meta["model"], weights="none")
    meta["model"] = settings.model_dump(mode="json", exclude={"weights"})  # adds settings that older files lack
    with torch.device("meta"):
        model = construct(settings, len(meta["classes"]))
    if _computed_buffers(model):
        with torch.random.fork_rng(devices=[]):
            model = construct(settings, len(meta["classes"]))
    if meta["stride_first"]:
        model.move_strides()
    if meta.get("layout") == "smp":
        from udaseg.models.smp_layout import to_own_names  # which imports timm

        tensors = to_own_names(model, tensors)
    try:
        model.load_state_dict(tensors, assign=True)
    except RuntimeError:
        raise _other_network(path, meta, model.state_dict(), tensors) from None
    return model.to(map_location).eval(), meta


def require(
    meta: dict[str, Any],
    *,
    classes: Sequence[str] | None = None,
    model: config.Model | None = None,
    source: str = "the model",
) -> None:
    """Raise UdasegError with each difference between a loaded network and the expected one.

    `meta` are the facts of the loaded network. `classes` are the expected names in order. `model` is compared in
    name, backbone, aspp (of deeplab), color, heads, detail, and the presence of an auxiliary classifier. `source` names
    the network in the message.
    """
    differences = []
    if classes is not None and list(classes) != meta["classes"]:
        differences.append(_describe_classes(list(classes), meta["classes"]))
    if model is not None:
        expected = model.model_dump(mode="json")
        for key in ARCHITECTURE:
            one, other = expected.get(key), meta["model"].get(key)
            if one != other and (key != "aspp" or model.architecture == "deeplab"):
                differences.append(f"model.{key}: expected {one}, found {other}")
        # The weight of the auxiliary loss may differ, the presence of the classifier may not.
        weights = [settings["auxiliary"] for settings in (expected, meta["model"])]
        if model.architecture != "bisenet" and (weights[0] is None) != (weights[1] is None):
            differences.append(f"model.auxiliary: expected {weights[0]}, found {weights[1]}")
    if differences:
        raise UdasegError(
            f"{source} does not fit the recipe: " + "; ".join(differences),
            "use the recipe it was trained with, or train it again with this one",
        )


def _computed_buffers(model: Network) -> list[Tensor]:
    """Return the buffers that no file holds, because the encoder computes them when it is built."""
    stored = model.state_dict().keys()
    return [value for name, value in model.named_buffers() if name not in stored]


def _other_network(
    path: Path, meta: dict[str, Any], expected: dict[str, Tensor], tensors: dict[str, Tensor]
) -> UdasegError:
    """Return the error that names the tensors in which a file differs from the network that it names."""
    differences = {
        "missing": [name for name in expected if name not in tensors],
        "unexpected": [name for name in tensors if name not in expected],
        "of another shape": [n for n in expected if n in tensors and expected[n].shape != tensors[n].shape],
    }
    parts = [f"{len(names)} tensors are {kind} ({join_names(names)})" for kind, names in differences.items() if names]
    hint = "train it again"
    if "timm" in meta and meta["timm"] != version("timm"):
        parts.append(f"it was written with timm {meta['timm']}, and timm {version('timm')} is installed")
        hint = f"pip install timm=={meta['timm']}"
    return UdasegError(f"{path} does not hold the network it names: {'; '.join(parts)}", hint)


def _describe_classes(expected: list[str], found: list[str]) -> str:
    if len(expected) != len(found):
        return f"classes: expected {len(expected)} ({', '.join(expected)}), found {len(found)} ({', '.join(found)})"
    pairs = enumerate(zip(expected, found, strict=True))
    differences = [f"{index}: expected {one!r}, found {other!r}" for index, (one, other) in pairs if one != other]
    rest = f", and {len(differences) - 3} more" if len(differences) > 3 else ""
    return "classes: " + ", ".join(differences[:3]) + rest
