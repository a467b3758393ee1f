"""Profile the steps of a training: where their time goes, and what share of the device's arithmetic they use.

python tests/bench/profile_steps.py --network deeplab --kind adversary --out deeplab.json
python tests/bench/profile_steps.py --network tiny --size 64x64 --steps 2 --out tiny.json
"""

import argparse
import json
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from profile_read import read
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import FlopCounterMode
from training import SPACE, StopTraining, matrix_product_speed, write_dataset
from turns import DEVICE

from udaseg import config
from udaseg.data.image_sets import View
from udaseg.models import resolve_color
from udaseg.train.retrain import retrain
from udaseg.train.warmup import warmup

NETWORKS = {
    "deeplab": ({"weights": "none"}, (512, 1024)),
    "mit": ({"encoder": "mit_b5", "decoder": "daformer"}, (512, 512)),
    "vit": ({"encoder": "vit_base_patch14_reg4_dinov2", "decoder": "upscale"}, (512, 512)),
    "tiny": ({"encoder": "test_efficientnet", "decoder": "fpn", "width": 8}, (64, 64)),
}
KINDS = ("labels", "adversary", "teacher")
FIRST = 3  # steps before anything is measured: kernels are chosen, memory is taken
PROFILED = 3
# Operations a second in bf16 without sparsity, from the data sheets of NVIDIA.
PEAKS = {"H200": 989e12, "H100 80GB HBM3": 989e12, "A100": 312e12}


class Watch:
    """Count, time and profile steps, one after the other; called after each step."""

    def __init__(self, steps: int):
        self._steps, self._counter = steps, FlopCounterMode(display=False)
        activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if DEVICE.type == "cuda" else [])]
        self.profiler, self.seconds, self.peak = profile(activities=activities, profile_memory=True), 0.0, 0

    @property
    def operations(self) -> int:
        """The operations of one step, two for a multiplication with its addition."""
        return self._counter.get_total_flops()

    def __call__(self, done: int, _: int) -> None:
        timed = FIRST + 1 + self._steps
        if DEVICE.type == "cuda" and done in (FIRST, FIRST + 1, timed, timed + PROFILED):
            torch.cuda.synchronize()  # not after each step: no training waits there
        if done == FIRST:
            self._counter.__enter__()
        elif done == FIRST + 1:
            self._counter.__exit__(None, None, None)
            if DEVICE.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
            self.seconds = time.perf_counter()
        elif done == timed:
            self.seconds = (time.perf_counter() - self.seconds) / self._steps
            self.peak = torch.cuda.max_memory_allocated() if DEVICE.type == "cuda" else 0
            self.profiler.__enter__()
        elif done == timed + PROFILED:
            self.profiler.__exit__(None, None, None)
            raise StopTraining


def run(network: config.Model, kind: str, size: tuple[int, int], batch: int, watch: Watch, compiled: str) -> None:
    """Train on files of twice the size, as a stage does, until the watch has seen enough steps."""
    plan = {"steps": 10**6, "save_every": 10**6, "batch": batch, "compile": compiled}
    augment = config.Augment(crop=size, jitter=0.2, blur=0.5)
    with tempfile.TemporaryDirectory() as folder, suppress(StopTraining):
        root, out = Path(folder, "files"), Path(folder, "out")
        root.mkdir()
        out.mkdir()
        view = View(write_dataset(root, (2 * size[0], 2 * size[1])), size)
        if kind == "teacher":
            settings = config.Retrain(
                **plan, augment=augment, optimizer="adamw", lr=6e-5, init="weights", labels="none", teacher=0.999,
                online={}, classmix=True, strong={},
            )  # fmt: skip
            retrain(view, view, SPACE.classes, network, settings, out, seed=0, progress=watch)
        else:
            adversary = config.Adversary(align="output" if kind == "adversary" else "none")
            settings = config.Warmup(**plan, augment=augment)
            warmup(view, view, network, settings, out, seed=0, adversary=adversary, progress=watch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=NETWORKS, required=True)
    parser.add_argument("--kind", choices=KINDS, default="labels", help="what the network learns")
    parser.add_argument("--size", help="of the crops, HEIGHTxWIDTH; default: that of published trainings")
    parser.add_argument("--batch", type=int, default=2, help="images of each domain")
    parser.add_argument("--steps", type=int, default=20, help="to time")
    parser.add_argument("--compile", default="none", help="the setting `compile` of the training")
    parser.add_argument("--out", type=Path, required=True, help="a JSON file")
    arguments = parser.parse_args()
    settings, size = NETWORKS[arguments.network]
    if arguments.size is not None:
        height, width = map(int, arguments.size.split("x"))
        size = height, width
    network = resolve_color(config.Model(**{"weights": "none", "bn": "train", **settings}))
    watch = Watch(arguments.steps)
    run(network, arguments.kind, size, arguments.batch, watch, arguments.compile)
    name = torch.cuda.get_device_name() if DEVICE.type == "cuda" else "cpu"
    peak = next((value for device, value in PEAKS.items() if device in name), None)
    images = arguments.batch * (1 if arguments.kind == "labels" else 2)
    result: dict[str, Any] = {
        "network": arguments.network,
        "kind": arguments.kind,
        "compile": arguments.compile,
        "size": size,
        "batch": arguments.batch,
        "device": name,
        "seconds_a_step": watch.seconds,
        "images_per_second": images / watch.seconds,
        "operations_a_step": watch.operations,
        "share_of_peak": None if peak is None else watch.operations / watch.seconds / peak,
        "share_of_matrix_product": watch.operations / watch.seconds / matrix_product_speed(),
        "gpu_memory_bytes": watch.peak,
        **read(watch.profiler.key_averages(), PROFILED, DEVICE.type),
    }
    arguments.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print("\n".join(lines(result)))


def lines(result: dict[str, Any]) -> list[str]:
    """Return the lines that tell the result."""
    share = result["share_of_peak"]
    of_peak = "" if share is None else f"{100 * share:.0f} % of the bf16 peak, "
    return [
        *(f"  {ms:8.2f} ms  {count:6g} calls  {name}" for name, ms, count in result["operators"]),
        f"{result['network']}, {result['kind']}, {result['size'][0]}x{result['size'][1]}, compile={result['compile']},"
        f" {result['device']}: {1e3 * result['seconds_a_step']:.0f} ms a step, {result['images_per_second']:.1f}"
        " images/s",
        f"  {result['operations_a_step'] / 1e12:.2f} T operations a step: {of_peak}"
        f"{100 * result['share_of_matrix_product']:.0f} % of what a product of matrices reaches;"
        f" {result['gpu_memory_bytes'] / 2**30:.1f} GiB on the GPU",
        f"  a step has {result['kernel_ms']:.1f} ms in kernels, and these waits of the host: "
        + (", ".join(f"{name} {count:g}" for name, count in result["waits"].items()) or "none"),
    ]


if __name__ == "__main__":
    main()
