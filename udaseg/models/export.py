"""Export a network as safetensors, ONNX or a torch.export program, and compare the file with the network.

ONNX and torch.export hold the computation from an RGB image to the logits at the network's stride, with the colour
convention and the windows. safetensors hold only the weights. The metadata of a file holds all other facts that a
program needs.
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
from udaseg.config import HxW, Views
from udaseg.data.augment import resize
from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.io.safetensors_file import read_facts
from udaseg.models import Network, checkpoint
from udaseg.models.colors import CONVENTIONS, normalise
from udaseg.models.windows import half, infer_windows, split_image

SCHEMA = "udaseg.models.export/1"
FACTS = "udaseg.json"  # the metadata's name in a torch.export file
PACKAGES = {"safetensors": ("safetensors",), "onnx": ("onnx", "onnxscript", "onnxruntime"), "torch": ()}
RANDOM_IMAGES = 4  # in the comparison
MIN_AGREEMENT = 0.999  # required share of pixels with the same class

Logits = Callable[[Tensor], Tensor]  # from RGB float32 [1, 3, H, W], 0 to 255, to logits float32 [1, C, h, w]


class Parity(NamedTuple):
    """The difference between an exported file and the network: in logits, and in classes of pixels at full size."""

    images: int
    difference: float  # the largest absolute difference of any logit
    spread: float  # the largest logit minus the smallest
    agreeing: float  # share of pixels with the same class


class Deployed(nn.Module):
    """Compute only the logits of a network, from RGB images, float32 [N, 3, H, W] from 0 to 255.

    With a window it averages the logits of several windows, which go through the network in one batch.
    """

    def __init__(self, network: Network, color: str, window: HxW | None = None, window_stride: HxW | None = None):
        super().__init__()
        self.network, self.color, self.window, self.window_stride = network, color, window, window_stride

    def forward(self, image: Tensor) -> Tensor:
        boxes = split_image(image.shape[-2:], self.window, self.window_stride)
        input_N3HW = normalise(image, self.color)
        return infer_windows(lambda images: self.network(images).logits, input_N3HW, boxes, self.network.align_corners)


def export(
    model: Path, kind: str, size: HxW, out: Path, images: Sequence[np.ndarray] = (), views: Views | None = None
) -> Parity:
    """Export a `model.pt` to `out`, and compare both on random images and on `images`.

    `kind` is safetensors, onnx or torch. `size` is the (height, width) of the input; images, uint8 [H, W, 3], are
    resized to it. The windows of `views` become a part of the computation. Raises UdasegError where a package is
    missing. Also raises it, and leaves no file, where fewer than 99.9 % of the pixels get the same class from both.
    """
    require(kind)
    deployed, meta = deploy(model, views)
    facts = collect_facts(deployed, meta, kind, size)
    facts = {key: json.dumps(value, ensure_ascii=False) for key, value in facts.items()}
    example = torch.zeros(1, 3, *size)
    with atomic(out) as temporary, torch.no_grad():
        _WRITERS[kind](deployed, example, temporary, facts)
        return require_parity(f"the {kind} export", model, deployed, _READERS[kind](temporary), inputs(size, images))


def deploy(model: Path, views: Views | None = None) -> tuple[Deployed, dict[str, Any]]:
    """Read a `model.pt` as the network to export, with the windows of `views`, and its facts."""
    network, meta = checkpoint.load(model)
    window, window_stride = (None, None) if views is None else (views.window, views.window_stride)
    return Deployed(network, meta["model"]["color"], window, window_stride).eval(), meta


def require_parity(name: str, model: Path, deployed: Deployed, other: Logits, images: Sequence[Tensor]) -> Parity:
    """Compare an exported file, called `name`, with the network of a `model.pt`.

    Raises UdasegError where fewer than 99.9 % of the pixels get the same class from both.
    """
    parity = compare(deployed, other, images, deployed.network.align_corners)
    if not parity.agreeing >= MIN_AGREEMENT:
        raise UdasegError(
            f"{name} computes other results than {model}: {100 * parity.agreeing:.2f} % of the pixels "
            f"agree, the logits differ by up to {parity.difference:.3g}",
            "nothing was written; try another --format, or other versions of its packages",
        )
    return parity


def require(kind: str) -> None:
    """Raise UdasegError with an installation command where packages of an export format are missing."""
    missing = [name for name in PACKAGES[kind] if importlib.util.find_spec(name) is None]
    if missing:
        raise UdasegError(f"the {kind} format needs {', '.join(missing)}", f"pip install {' '.join(missing)}")


def compare(network: Logits, other: Logits, images: Sequence[Tensor], align_corners: bool) -> Parity:
    """Compare the logits of two networks on the same images, RGB float32 [1, 3, H, W] from 0 to 255.

    `align_corners` is used where logits are enlarged to the size of an image.
    """
    difference, low, high, agreements = 0.0, float("inf"), -float("inf"), []
    for image_13HW in images:
        one, two = network(image_13HW), other(image_13HW)
        difference = max(difference, float((one - two).abs().max()))
        low, high = min(low, float(one.min())), max(high, float(one.max()))
        same_1HW = torch.eq(*(_labels(logits, image_13HW.shape[-2:], align_corners) for logits in (one, two)))
        agreements.append(float(same_1HW.float().mean()))
    return Parity(len(images), difference, high - low, sum(agreements) / len(agreements))


def inputs(size: HxW, images: Sequence[np.ndarray]) -> list[Tensor]:
    """Make random images (noise on a coarse pattern) and resize `images`: float32 [1, 3, height, width] each."""
    rng = np.random.default_rng(0)
    random_images = []
    for _ in range(RANDOM_IMAGES):
        coarse = rng.integers(0, 256, (4, 8, 3)).astype(np.uint8)
        noise = rng.integers(-40, 41, (*size, 3))
        random_images.append(np.clip(resize(coarse, size) + noise, 0, 255).astype(np.uint8))
    resized = [*random_images, *(resize(image_HWC, size) for image_HWC in images)]
    return [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float() for image in resized]


def _labels(logits: Tensor, size: torch.Size, align_corners: bool) -> Tensor:
    return interpolate(logits, size=size, mode="bilinear", align_corners=align_corners).argmax(1)


def collect_facts(deployed: Deployed, meta: dict[str, Any], kind: str, size: HxW) -> dict[str, Any]:
    """Collect the facts that a program needs to use the file."""
    convention = CONVENTIONS[meta["model"]["color"]]
    is_graph = kind != "safetensors"
    return {
        "schema": SCHEMA,
        "udaseg": udaseg.__version__,
        "classes": meta["classes"],
        "model": meta["model"],
        "stride_first": meta["stride_first"],
        "color": meta["model"]["color"],
        "order": convention.order,  # the index in RGB of the first, second and third channel
        "mean": convention.mean,
        "std": convention.std,
        "normalised": "inside" if is_graph else "outside",  # in the graph, or by the program before it
        "input": "RGB, float32 [1, 3, height, width], 0 to 255" if is_graph else "float32 [N, 3, height, width]",
        "size": list(size),
        "output": "logits, float32 [N, classes, h, w] at the network's stride",
        "align_corners": deployed.network.align_corners,  # of the bilinear interpolation to an image's size
        **_window_facts(kind, deployed.window, deployed.window_stride),
    }


def _window_facts(kind: str, window: HxW | None, window_stride: HxW | None) -> dict[str, Any]:
    """Return the facts about windows; none without a window."""
    if window is None:
        return {}
    return {
        "window": list(window),
        "window_stride": list(window_stride or half(window)),
        "windows": "inside" if kind != "safetensors" else "outside",  # averaged in the graph, or by the program
    }


def _write_safetensors(deployed: Deployed, example: Tensor, path: Path, facts: dict[str, str]) -> None:
    from safetensors.torch import save_file

    state = deployed.network.state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, path, metadata=facts)


def _read_safetensors(path: Path) -> Logits:
    network, _ = checkpoint.load(path)
    facts = read_facts(path)
    return Deployed(network, facts["color"], facts.get("window"), facts.get("window_stride")).eval()


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
