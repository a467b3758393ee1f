"""Time a training step of udaseg beside a plain loop in float32, and the loader beside the steps."""

import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import scene
import torch
from PIL import Image as Pillow
from torch.nn.functional import cross_entropy, interpolate
from turns import CLOCK, DEVICE, now, seconds, use_one_thread

from udaseg import config
from udaseg.data.batches import Stream, batches
from udaseg.data.image_sets import Labelled, LabelledSet, View
from udaseg.data.images.read import write_label
from udaseg.data.samples import labelled, unlabelled
from udaseg.labels import SPACES, flat_palette
from udaseg.models import build, devices, resolve_color
from udaseg.models.complexity import complexity
from udaseg.train import adversary as adversaries
from udaseg.train import setup
from udaseg.train.loop import Trainable, fit
from udaseg.train.objectives import adaptation

SPACE = SPACES["cs19"]
FILES, IMAGES = 4, 2975  # a few files are listed as often as Cityscapes has images: too many to keep in memory
GPU = DEVICE.type == "cuda"
REPEATS, LOADED = 20 if GPU else 3, 24
SIDE = 8192 if GPU else 2048  # of the matrices whose product tells what the machine can do at most
# Settings of a network, and by what its images are smaller than the files: on a CPU, on a GPU.
NETWORKS = {
    "BiSeNet, ResNet-18": (config.Model(name="bisenet", backbone="resnet18", weights="none", bn="train"), (2, 2)),
    "FPN, EfficientNet-Lite0": (
        resolve_color(config.Model(encoder="tf_efficientnet_lite0", decoder="fpn", weights="none", bn="train")),
        (8, 2),
    ),
    "DeepLab-v2, ResNet-101": (config.Model(weights="none"), (8, 2)),
}
BATCH = 2
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class StopTraining(Exception):  # noqa: N818 - it is no error
    """End a training after the timed steps."""


def write_dataset(root: Path, size: tuple[int, int]) -> LabelledSet:
    """Write a few images with labels; return a set that lists them many times."""
    label_HW, tables = scene.labelled(size)[0], (np.arange(256, dtype=np.uint8), np.ones(256, bool))
    for i in range(FILES):
        Pillow.fromarray(scene.image(size, i)).save(root / f"image{i}.png")
        write_label(root / f"label{i}.png", np.roll(label_HW, 32 * i, 1), flat_palette(SPACE))
    records = [
        Labelled(f"{i}", root / f"image{i % FILES}.png", root / f"label{i % FILES}.png", None) for i in range(IMAGES)
    ]
    return LabelledSet("folder", root, "train", SPACE, tuple(records), "trainids", *tables, ())


def plain_step(settings: config.Model, stream: Stream) -> Callable[[], Any]:
    """Return a textbook's step: float32, the default memory layout, no autocast. The batches are udaseg's."""
    model = setup.network(settings, config.Warmup(), SPACE.classes, 0, DEVICE, print).to(
        memory_format=torch.contiguous_format
    )
    parameters = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=2.5e-4, momentum=0.9, weight_decay=5e-4)
    # Of another seed: images that `fit` has read are kept in memory, and would be free here.
    loader = batches([stream], 1, range(10**6), devices.workers(DEVICE))
    if GPU:  # two loaders would share the cores
        loader = itertools.cycle([next(loader) for _ in range(FILES)])
    mean, std = MEAN.to(DEVICE), STD.to(DEVICE)

    def step() -> None:
        batch = next(loader).to(DEVICE)
        label_NHW = batch["source_label"].long()
        image_N3HW = batch["source_image"].permute(0, 3, 1, 2).float().contiguous() / 255
        output = model((image_N3HW - mean) / std)
        size, aligned = label_NHW.shape[1:], model.align_corners
        full = [
            interpolate(logits, size, mode="bilinear", align_corners=aligned) for logits in (output.logits, *output.aux)
        ]
        loss = torch.stack([cross_entropy(logits_NCHW, label_NHW, ignore_index=255) for logits_NCHW in full]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def time_steps(
    settings: config.Model, stream: Stream, out: Path, target: Stream | None = None
) -> tuple[dict[str, list[float]], int]:
    """Time the steps of `fit`, and in turn with them the steps of the plain loop; return seconds by loop.

    With a target its output maps are aligned, and there is no plain loop. The second result is the peak of memory on a
    GPU, in bytes.
    """
    training = config.Warmup(steps=10**6, save_every=10**6, batch=BATCH)
    model = setup.network(settings, config.Warmup(), SPACE.classes, 0, DEVICE, print)
    autocast, environment = setup.number_format(training, DEVICE)
    trainables, terms, streams = {"model": Trainable(model, setup.optimizer(model, training))}, [], [stream]
    ours, calls = f"udaseg, {environment['precision']}", {}
    if target is None:
        calls["plain loop, fp32"] = plain_step(settings, stream)
    else:
        opponents, terms = adversaries.build_adversaries(
            config.Adversary(align="output"), model, len(SPACE), DEVICE, autocast
        )
        trainables, streams = trainables | opponents, [stream, target]
    times: dict[str, list[float]] = {ours: [], **{name: [] for name in calls}}
    peak = 0
    start = now()

    def progress(done: int, _: int) -> None:
        nonlocal start, peak
        times[ours].append(now() - start)
        peak = max(peak, torch.cuda.max_memory_allocated() if GPU else 0)
        for name, call in calls.items():
            times[name].append(seconds(call))
        if done > REPEATS:
            raise StopTraining
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        start = now()

    with suppress(StopTraining):
        fit(
            trainables,
            adaptation(model, settings, autocast, terms),
            streams,
            training,
            out,
            seed=0,
            device=DEVICE,
            logged_only=adversaries.LOGGED_ONLY,
            progress=progress,
        )
    return {name: values[1:] for name, values in times.items()}, peak


def matrix_product_speed() -> float:
    """Measure the operations a second of a product of large matrices, in udaseg's number format."""
    dtype = torch.bfloat16 if devices.bfloat16("auto", DEVICE) else torch.float32
    one, other = torch.rand(2, SIDE, SIDE, device=DEVICE, dtype=dtype)
    return 2 * SIDE**3 / statistics.median([seconds(lambda: one @ other) for _ in range(8)][1:])


def loader_speed(stream: Stream) -> float:
    """Measure the images a second of the loader, called as `fit` calls it."""
    loader = batches([stream], 0, range(LOADED // BATCH + 1), devices.workers(DEVICE))
    next(loader)  # the first waits for the workers to start
    start = now()
    return BATCH * sum(1 for _ in loader) / (now() - start)


def row(name: str, files: LabelledSet, size: tuple[int, int], out: Path) -> dict[str, Any]:
    settings, smaller = NETWORKS[name]
    height, width = (side // smaller[GPU] for side in size)
    stream = Stream("source", labelled(View(files, (height, width))), BATCH, config.Augment())
    times, peak = time_steps(settings, stream, out)
    medians = {loop: statistics.median(values) for loop, values in times.items()}
    (ours, step), (_, plain) = medians.items()
    rate, need = loader_speed(stream), BATCH / step
    target = Stream("target", unlabelled(View(files, (height, width))), BATCH, config.Augment(jitter=0.0, blur=0.0))
    aligned, aligned_peak = time_steps(settings, stream, out / "aligned", target)
    # A step is three passes: forward, and the gradients of the maps and of the weights.
    operations = 3 * complexity(build(settings, SPACE.classes), (height, width)).operations("2*MAC") * BATCH
    return {
        "network": name,
        "size": [height, width],
        "batch": BATCH,
        "seconds_a_step": medians,
        "seconds_a_step_with_adversary": statistics.median(aligned[ours]),
        "gpu_memory_bytes": [peak, aligned_peak],
        "share_of_matrix_product": operations / step / matrix_product_speed(),
        "ratio": {ours: plain / step},
        "loader": {"workers": devices.workers(DEVICE), "images_per_second": rate, "needed": need},
    }


def gpu_memory(peaks: list[int]) -> str:
    return f"; {peaks[0] / 2**30:.1f} and {peaks[1] / 2**30:.1f} GiB on the GPU" if GPU else ""


def main() -> None:
    out, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
    use_one_thread()
    results = []
    print(f"training, {BATCH} images a step, read from PNG of {size[0]}x{size[1]}; {CLOCK}")
    with tempfile.TemporaryDirectory() as folder:
        files = write_dataset(Path(folder), size)
        for name in NETWORKS:
            run = Path(folder, name)
            (run / "aligned").mkdir(parents=True)
            results.append(result := row(name, files, size, run))
            (ours, seconds_ours), (other, seconds_other) = result["seconds_a_step"].items()
            loader = result["loader"]
            print(
                f"{name} at {result['size'][0]}x{result['size'][1]}: {ours} {1e3 * seconds_ours:.0f} ms a step, {other}"
                f" {1e3 * seconds_other:.0f} ms: x{result['ratio'][ours]:.2f}\n  with an adversary on the output maps"
                f" {1e3 * result['seconds_a_step_with_adversary']:.0f} ms, of two domains; without it"
                f" {100 * result['share_of_matrix_product']:.0f}% of what a product of matrices reaches"
                f"{gpu_memory(result['gpu_memory_bytes'])}\n"
                f"  the loader gives {loader['images_per_second']:.1f} images/s"
                f" ({loader['workers']} processes beside), the steps take {loader['needed']:.1f}:"
                f" x{loader['images_per_second'] / loader['needed']:.1f}",
                flush=True,
            )
    out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
