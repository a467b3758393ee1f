"""Networks for other programs: as safetensors, ONNX or a torch.export program, each compared with the original.

ONNX and torch.export hold the computation from an RGB image to the logits at the network's stride, colour convention
included; safetensors hold the weights alone. What a program has to know besides is in the file's metadata.
"""

import importlib.util
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

import udaseg
from udaseg.config import HxW, Model
from udaseg.data.augment import resize
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.models import Network, checkpoint, construct
from udaseg.models.normalisation import CONVENTIONS, normalise

SCHEMA = "udaseg.models.export/1"
FACTS = "udaseg.json"  # the metadata's name in a torch.export file
NEEDS = {"safetensors": ("safetensors",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}
RANDOM = 4  # random images in the comparison
AGREEING = 0.999  # the least share of pixels that have to get the same class

Logits = Callable[[Tensor], Tensor]  # from RGB float32 [1, 3, H, W], 0 to 255, to logits float32 [1, C, h, w]


class Parity(NamedTuple):
    """How far an exported file is from the network: in its logits, and in the classes of pixels at the full size."""

    images: int
    difference: float  # the largest of any logit
    spread: float  # of the logits: the largest less the smallest
    agreeing: float  # share of the pixels


class Deployed(nn.Module):
    """A network that takes RGB images, float32 [N, 3, H, W] from 0 to 255, and gives its logits alone."""

    def __init__(self, network: Network, color: str):
        super().__init__()
        self.network, self.color = network, color

    def forward(self, image: Tensor) -> Tensor:
        return self.network(normalise(image, self.color)).logits


def export(model: Path, kind: str, size: HxW, out: Path, images: Sequence[np.ndarray] = ()) -> Parity:
    """Write a network to `out` and compare what was written with it, on random images and on those given.

    kind: safetensors, onnx or torch. size: (height, width) of the input; images, uint8 [H, W, 3], are brought to it.
    Raises UdasegError where a package is missing, or what was written computes something else; then there is no file.
    """
    require(kind)
    network, meta = checkpoint.load(model)
    deployed = Deployed(network, meta["model"]["color"]).eval()
    facts = {key: json.dumps(value, ensure_ascii=False) for key, value in _facts(network, meta, kind, size).items()}
    example = torch.zeros(1, 3, *size)
    with atomic(out) as temporary, torch.no_grad():
        _WRITERS[kind](deployed, example, temporary, facts)
        found = compare(deployed, _READERS[kind](temporary), inputs(size, images), network.align_corners)
        if not found.agreeing >= AGREEING:
            raise UdasegError(
                f"the {kind} export does not compute what {model} computes: {100 * found.agreeing:.2f} % of the pixels "
                f"agree, the logits differ by up to {found.difference:.3g}",
                "nothing was written; another --format may do, and the versions of its packages may be to blame",
            )
    return found


def require(kind: str) -> None:
    """Raise UdasegError, with the command that installs them, where packages of a format are missing."""
    missing = [name for name in NEEDS[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise UdasegError(f"the {kind} format needs {', '.join(missing)}", f"pip install {' '.join(missing)}")


def compare(network: Logits, other: Logits, images: Sequence[Tensor], align_corners: bool) -> Parity:
    """Run both on the same images, RGB float32 [1, 3, H, W] from 0 to 255."""
    difference, low, high, agreeing = 0.0, float("inf"), -float("inf"), []
    for image_13HW in images:
        one, two = network(image_13HW), other(image_13HW)
        difference = max(difference, float((one - two).abs().max()))
        low, high = min(low, float(one.min())), max(high, float(one.max()))
        same_1HW = torch.eq(*(_labels(logits, image_13HW.shape[-2:], align_corners) for logits in (one, two)))
        agreeing.append(float(same_1HW.float().mean()))
    return Parity(len(images), difference, high - low, sum(agreeing) / len(agreeing))


def inputs(size: HxW, images: Sequence[np.ndarray]) -> list[Tensor]:
    """Make random images, noise on a coarse pattern, and bring the given ones to `size`: [1, 3, H, W] each."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(RANDOM):
        coarse = rng.integers(0, 256, (4, 8, 3)).astype(np.uint8)
        noise = rng.integers(-40, 41, (*size, 3))
        made.append(np.clip(resize(coarse, size) + noise, 0, 255).astype(np.uint8))
    whole = [*made, *(resize(image_HWC, size) for image_HWC in images)]
    return [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() for image in whole]


def _labels(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    return interpolate(logits, size=size, mode="bilinear", align_corners=align_corners).argmax(1)


def _facts(network: Network, meta: dict[str, Any], kind: str, size: HxW) -> dict[str, Any]:
    """Say what a program has to know to use the file."""
    convention = CONVENTIONS[meta["model"]["color"]]
    inside = kind != "safetensors"
    return {
        "schema": SCHEMA,
        "udaseg": udaseg.__version__,
        "classes": meta["classes"],
        "model": meta["model"],
        "stride_first": meta["stride_first"],
        "color": meta["model"]["color"],
        "order": convention.order,  # which channel of RGB the network takes first, second, third
        "mean": convention.mean,
        "std": convention.std,
        "normalised": "inside" if inside else "outside",  # by whom: the graph, or whoever runs it
        "input": "RGB, float32 [1, 3, height, width], 0 to 255" if inside else "float32 [N, 3, height, width]",
        "size": list(size),
        "output": "logits, float32 [N, classes, h, w] at the network's stride",
        "align_corners": network.align_corners,  # of the bilinear interpolation that brings logits to an image's size
    }


def _write_safetensors(deployed: Deployed, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    from safetensors.torch import save_file

    state = deployed.network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata=facts)


def _read_safetensors(path: Path) -> Logits:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        facts = {key: json.loads(value) for key, value in file.metadata().items()}
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    network = construct(Model(**facts["model"], weights="none"), len(facts["classes"]))
    if facts["stride_first"]:
        network.move_strides()
    network.load_state_dict(state)
    return Deployed(network, facts["color"]).eval()


def _write_onnx(deployed: Deployed, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    program = torch.onnx.export(
        deployed, (example,), dynamo=True, input_names=["image"], output_names=["logits"], verbose=False
    )
    program.model.metadata_props.update(facts)
    program.save(path, external_data=False)


def _read_onnx(path: Path) -> Logits:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda image_13HW: torch.from_numpy(session.run(["logits"], {"image": image_13HW.numpy()})[0])


def _write_torch(deployed: Deployed, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    program = torch.export.export(deployed, (example,))
    torch.export.save(program, path, extra_files={FACTS: json.dumps({k: json.loads(v) for k, v in facts.items()})})


def _read_torch(path: Path) -> Logits:
    return torch.export.load(path).module()


_WRITERS = {"safetensors": _write_safetensors, "onnx": _write_onnx, "torch": _write_torch}
_READERS = {"safetensors": _read_safetensors, "onnx": _read_onnx, "torch": _read_torch}
