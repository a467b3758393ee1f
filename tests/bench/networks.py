"""Measure the frames a second of networks for real time, from an image to its label map."""

import copy
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scene
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.models import segmentation
from turns import CLOCK, DEVICE, medians, seconds, use_one_thread

from udaseg import config
from udaseg.inference.runner import Runner
from udaseg.labels import SPACES
from udaseg.models import checkpoint, construct
from udaseg.models.colors import normalise
from udaseg.models.complexity import complexity
from udaseg.models.devices import bfloat16

SPACE = SPACES["cs19"]
BISENET = config.Model(name="bisenet", backbone="resnet18", weights="none")
PEERS = {
    "LR-ASPP, MobileNetV3": segmentation.lraspp_mobilenet_v3_large,
    "DeepLab-v3, MobileNetV3": segmentation.deeplabv3_mobilenet_v3_large,
}
OURS, ITS_NETWORK = "udaseg's BiSeNet, ResNet-18", "the same network, upsampled by PyTorch"
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}
# Without instructions for bf16 PyTorch computes in float32 and rounds, which takes minutes an image.
PRECISIONS = ("fp32", "bf16") if bfloat16("auto", DEVICE) else ("fp32",)
REPEATS = 5 if DEVICE.type == "cpu" else 50


def upsampled(network: nn.Module, image_13HW: Tensor) -> Tensor:
    """Return logits at the size of the image; the networks of torchvision upsample by themselves."""
    output = network(image_13HW)
    if isinstance(output, dict):
        return output["out"]
    size = (image_13HW.shape[2], image_13HW.shape[3])
    return interpolate(output.logits, size, mode="bilinear", align_corners=network.align_corners)


def label_by_torch(
    network: nn.Module, image_HWC: np.ndarray, bf16: bool, layout: torch.memory_format
) -> Callable[[], Any]:
    """Return a call that labels an image as one does with a network of torchvision."""
    network = copy.deepcopy(network).eval().to(DEVICE, memory_format=layout)

    @torch.inference_mode()
    def call() -> np.ndarray:
        batch_1HWC = torch.from_numpy(image_HWC).to(DEVICE)[None]
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=bf16):
            full_1CHW = upsampled(network, normalise(batch_1HWC, "rgb-imagenet").contiguous(memory_format=layout))
        return full_1CHW[0].argmax(0).to(torch.uint8).cpu().numpy()

    return call


def faster_layout(network: nn.Module, image_HWC: np.ndarray, bf16: bool) -> tuple[Callable[[], Any], str]:
    """Return the call in the memory layout in which a network is faster, and the name of that layout."""
    calls = {name: label_by_torch(network, image_HWC, bf16, layout) for name, layout in LAYOUTS.items()}
    times = {name: (call(), seconds(call))[1] for name, call in calls.items()}  # after a first call
    best = min(times, key=times.__getitem__)
    return calls[best], best


def ours(path: Path, image_HWC: np.ndarray, precision: str) -> Callable[[], Any]:
    """Return a call that labels an image as `udaseg evaluate` and `udaseg apply` do."""
    runner, settings, size = Runner(path, None, precision), config.Views(), image_HWC.shape[:2]
    return lambda: runner.label(runner.infer_views([image_HWC], None, settings), 0, size, settings.average)


def rows(sizes: list[tuple[int, int]], folder: Path) -> Iterator[dict[str, Any]]:
    torch.manual_seed(0)
    bisenet = construct(BISENET, len(SPACE))
    checkpoint.save(folder / "model.pt", bisenet, BISENET, SPACE.classes)
    networks = {ITS_NETWORK: bisenet} | {
        name: make(weights=None, weights_backbone=None, num_classes=len(SPACE)) for name, make in PEERS.items()
    }
    for size in sizes:
        image_HWC = scene.image(size, 0)
        for precision in PRECISIONS:
            calls: dict[str, Callable[[], Any]] = {OURS: ours(folder / "model.pt", image_HWC, precision)}
            layouts = {OURS: "channels_last"}
            for name, network in networks.items():
                calls[name], layouts[name] = faster_layout(network, image_HWC, precision == "bf16")
            times = medians(calls, REPEATS)
            for name in calls:
                cost = complexity(networks.get(name, bisenet), size)
                yield {
                    "size": size,
                    "precision": precision,
                    "network": name,
                    "frames_per_second": 1 / times[name],
                    "times_as_fast_as_udaseg": times[OURS] / times[name],
                    "layout": layouts[name],
                    "parameters": cost.parameters,
                    "macs": cost.macs,
                }


def main() -> None:
    out, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
    use_one_thread()
    results = []
    print(f"networks, an image at a time, {len(SPACE)} classes, label maps at the size of the image; {CLOCK}")
    with tempfile.TemporaryDirectory() as folder:
        for row in rows([(size[0] // 2, size[1] // 2), size], Path(folder)):
            results.append(row)
            image = f"{row['size'][0]}x{row['size'][1]}, {row['precision']}"
            print(
                f"{image:<16}{row['network']:<40}"
                f"{row['frames_per_second']:>8.2f} frames/s, x{row['times_as_fast_as_udaseg']:.2f}"
                f"   {row['parameters'] / 1e6:.1f} M parameters, {row['macs'] / 1e9:.1f} GMAC, {row['layout']}",
                flush=True,
            )
    out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
