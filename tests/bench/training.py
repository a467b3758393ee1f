"""Training: udaseg's own step beside a plain loop in float32, and whether the images come as fast as the steps go."""

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
from turns import CLOCK, DEVICE, alone, now, seconds

from udaseg import config
from udaseg.data.batches import Stream, batches, labelled, unlabelled
from udaseg.data.image_sets import Labelled, LabelledSet, View
from udaseg.data.images.read import write_label
from udaseg.labels import SPACES, flat_palette
from udaseg.models import build, devices
from udaseg.models.complexity import complexity
from udaseg.train import adversary as adversaries
from udaseg.train import setup
from udaseg.train.loop import Trainable, fit
from udaseg.train.objectives import adaptation

SPACE = SPACES["cs19"]
FILES, PICTURES = 4, 2975  # files, in turns, stand for as many images as Cityscapes has: too many to keep in memory
GPU = DEVICE.type == "cuda"
REPEATS, LOADED = 20 if GPU else 3, 24
SIDE = 8192 if GPU else 2048  # of the matrices whose product tells what the machine can do at most
# By the name of the network: its settings, and by how much smaller than the files its images are, on a CPU and on
# a GPU.
NETWORKS = {
    "BiSeNet, ResNet-18": (config.Model(name="bisenet", backbone="resnet18", weights="none", bn="train"), (2, 2)),
    "DeepLab-v2, ResNet-101": (config.Model(weights="none"), (8, 2)),
}
BATCH = 2
MEAN, STD = (torch.tensor(values).view(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


class Enough(Exception):  # noqa: N818 - it ends a training that nobody needs the end of
    """Ends a training after the steps that were timed."""


def world(root: Path, size: tuple[int, int]) -> LabelledSet:
    """Write images with labels, and list them over and over."""
    label_HW, everything = scene.labelled(size)[0], (np.arange(256, dtype=np.uint8), np.ones(256, bool))
    for i in range(FILES):
        Pillow.fromarray(scene.image(size, i)).save(root / f"image{i}.png")
        write_label(root / f"label{i}.png", np.roll(label_HW, 32 * i, 1), flat_palette(SPACE))
    records = [
        Labelled(f"{i}", root / f"image{i % FILES}.png", root / f"label{i % FILES}.png", None) for i in range(PICTURES)
    ]
    return LabelledSet("folder", root, "train", SPACE, tuple(records), "trainids", *everything, ())


def plain(settings: config.Model, stream: Stream) -> Callable[[], Any]:
    """Train as a textbook does: float32, memory as it comes, no autocast. The batches are udaseg's."""
    model = setup.network(settings, SPACE.classes, 0, DEVICE).to(memory_format=torch.contiguous_format)
    learns = [value for value in model.parameters() if value.requires_grad]
    optimizer = torch.optim.SGD(learns, lr=2.5e-4, momentum=0.9, weight_decay=5e-4)
    made = batches([stream], 0, range(10**6), devices.workers(DEVICE))
    if GPU:  # two loaders would share the cores
        made = itertools.cycle([next(made) for _ in range(FILES)])
    mean, std = MEAN.to(DEVICE), STD.to(DEVICE)

    def step() -> None:
        batch = next(made).to(DEVICE)
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


def steps(
    settings: config.Model, stream: Stream, out: Path, target: Stream | None = None
) -> tuple[dict[str, list[float]], int]:
    """Time steps of `fit`, from one report of progress to the next, and between them those of the plain loop.

    With a target its output maps are aligned, and there is no plain loop. Also gives the most bytes held on a GPU.
    """
    training = config.Warmup(steps=10**6, save_every=10**6, batch=BATCH)
    model = setup.network(settings, SPACE.classes, 0, DEVICE)
    autocast, environment = setup.number_format(training, DEVICE)
    trainables, asked, streams = {"model": Trainable(model, setup.optimizer(model, training))}, [], [stream]
    ours, calls = f"udaseg, {environment['precision']}", {}
    if target is None:
        calls["plain loop, fp32"] = plain(settings, stream)
    else:
        opponents, asked = adversaries.build_adversaries(
            config.Adversary(align="output"), model, len(SPACE), DEVICE, autocast
        )
        trainables, streams = trainables | opponents, [stream, target]
    times: dict[str, list[float]] = {ours: [], **{name: [] for name in calls}}
    held = 0
    begun = now()

    def between(done: int, _: int) -> None:
        nonlocal begun, held
        times[ours].append(now() - begun)
        held = max(held, torch.cuda.max_memory_allocated() if GPU else 0)
        for name, call in calls.items():
            times[name].append(seconds(call))
        if done > REPEATS:
            raise Enough
        if GPU:
            torch.cuda.reset_peak_memory_stats()
        begun = now()

    with suppress(Enough):
        fit(
            trainables,
            adaptation(model, settings, autocast, asked),
            streams,
            training,
            out,
            seed=0,
            device=DEVICE,
            logged_only=adversaries.LOGGED_ONLY,
            progress=between,
        )
    return {name: own[1:] for name, own in times.items()}, held


def most() -> float:
    """Measure how many operations a second the machine does in a product of large matrices, in udaseg's format."""
    kind = torch.bfloat16 if devices.bfloat16("auto", DEVICE) else torch.float32
    one, other = torch.rand(2, SIDE, SIDE, device=DEVICE, dtype=kind)
    return 2 * SIDE**3 / statistics.median([seconds(lambda: one @ other) for _ in range(8)][1:])


def given(stream: Stream) -> float:
    """Tell how many images a second the loader gives, as `fit` asks for them."""
    made = batches([stream], 0, range(LOADED // BATCH + 1), devices.workers(DEVICE))
    next(made)  # the first waits for the workers to start
    start = now()
    return BATCH * sum(1 for _ in made) / (now() - start)


def row(name: str, files: LabelledSet, size: tuple[int, int], out: Path) -> dict[str, Any]:
    settings, smaller = NETWORKS[name]
    height, width = (side // smaller[GPU] for side in size)
    stream = Stream("source", labelled(View(files, (height, width))), BATCH, config.Augment())
    times, held = steps(settings, stream, out)
    taken = {loop: statistics.median(own) for loop, own in times.items()}
    (ours, own), (_, other) = taken.items()
    rate, need = given(stream), BATCH / own
    target = Stream("target", unlabelled(View(files, (height, width))), BATCH, config.Augment(jitter=0.0, blur=0.0))
    aligned, aligned_held = steps(settings, stream, out / "aligned", target)
    # A step is three passes: forward, and the gradients of the maps and of the weights.
    operations = 3 * complexity(build(settings, SPACE.classes), (height, width)).operations("2*MAC") * BATCH
    return {
        "network": name,
        "size": [height, width],
        "batch": BATCH,
        "seconds_a_step": taken,
        "seconds_a_step_with_adversary": statistics.median(aligned[ours]),
        "gpu_memory_bytes": [held, aligned_held],
        "share_of_matrix_product": operations / own / most(),
        "ratio": {ours: other / own},
        "loader": {"workers": devices.workers(DEVICE), "images_per_second": rate, "needed": need},
    }


def on_gpu(held: list[int]) -> str:
    return f"; {held[0] / 2**30:.1f} and {held[1] / 2**30:.1f} GiB on the GPU" if GPU else ""


def main() -> None:
    out, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
    alone()
    found = []
    print(f"training, {BATCH} images a step, read from PNG of {size[0]}x{size[1]}; {CLOCK}")
    with tempfile.TemporaryDirectory() as folder:
        files = world(Path(folder), size)
        for name in NETWORKS:
            own = Path(folder, name)
            (own / "aligned").mkdir(parents=True)
            found.append(one := row(name, files, size, own))
            (ours, taken), (other, slower) = one["seconds_a_step"].items()
            loader = one["loader"]
            print(
                f"{name} at {one['size'][0]}x{one['size'][1]}: {ours} {1e3 * taken:.0f} ms a step, {other}"
                f" {1e3 * slower:.0f} ms: x{one['ratio'][ours]:.2f}\n  with an adversary on the output maps"
                f" {1e3 * one['seconds_a_step_with_adversary']:.0f} ms, of two domains; without it"
                f" {100 * one['share_of_matrix_product']:.0f}% of what a product of matrices reaches"
                f"{on_gpu(one['gpu_memory_bytes'])}\n  the loader gives {loader['images_per_second']:.1f} images/s"
                f" ({loader['workers']} processes beside), the steps take {loader['needed']:.1f}:"
                f" x{loader['images_per_second'] / loader['needed']:.1f}",
                flush=True,
            )
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
