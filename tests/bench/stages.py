"""Whole stages from file to file, beside what reading and writing those files takes, in images a second."""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scene
import torch
from kernels.fda import by_definition
from PIL import Image as Pillow

from udaseg import config
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet, View
from udaseg.data.images import png
from udaseg.data.images.read import read_train_ids, write_label
from udaseg.data.style.dataset import stylize_set
from udaseg.inference.evaluate import evaluate
from udaseg.inference.predict import predict
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.labels import SPACES, flat_palette
from udaseg.models import checkpoint, construct
from udaseg.parallel.threads import map_in_order
from udaseg.pseudo.label import pseudolabel
from udaseg.pseudo.refine import refine

PICTURES, LABELS, DRAWN, REPEATS = 8, 32, 2, 3  # stages that read no image are quick, and go through more
STYLES = 2  # fewer than images: GTA5 has 8 images for each of Cityscapes
SPACE = SPACES["cs19"]
STEMS = [f"image{i}" for i in range(LABELS)]
BETA = 0.01


@dataclass(frozen=True)
class Job:
    """A stage, the reading and writing it cannot do without, and what else does its work; each writes to a folder."""

    name: str
    stage: Callable[[Path], Any]
    files: Callable[[Path], Any]
    images: int
    peers: dict[str, Callable[[Path], Any]]


def world(root: Path, size: tuple[int, int]) -> tuple[LabelledSet, ImageSet, Path]:
    """Write images of both domains, labels and predictions; give the sets and the predictions."""
    for name in ("source", "target", "label"):
        (root / name).mkdir()
    drawn = [Pillow.fromarray(scene.image(size, seed)) for seed in range(2 * DRAWN)]
    palette, label_HW = flat_palette(SPACE), scene.labelled(size)[0]
    with PredictionsWriter(root, SPACE.classes, False) as writer:
        for i, stem in enumerate(STEMS):
            if i < PICTURES:
                drawn[i % DRAWN].save(root / "source" / f"{stem}.png")
                drawn[DRAWN + i % DRAWN].save(root / "target" / f"{stem}.png")
            write_label(root / "label" / f"{stem}.png", np.roll(label_HW, 32 * i, 1), palette)
            writer.put(stem, np.roll(scene.logits(size), 4 * i, 2), *size)
    seen = STEMS[:PICTURES]
    records = [Labelled(stem, root / "source" / f"{stem}.png", root / "label" / f"{stem}.png", None) for stem in seen]
    everything = np.arange(256, dtype=np.uint8), np.ones(256, bool)
    source = LabelledSet("folder", root, "train", SPACE, tuple(records), "trainids", *everything, ())
    images = tuple(Image(stem, root / "target" / f"{stem}.png") for stem in seen)
    return source, ImageSet("folder", root, "train", images), root / "predictions.h5"


def network(path: Path) -> Path:
    settings = config.Model(name="bisenet", backbone="resnet18", weights="none")
    torch.manual_seed(0)
    checkpoint.save(path, construct(settings, len(SPACE)), settings, SPACE.classes)
    return path


def each(function: Callable[[int], Any], images: int) -> None:
    for _ in map_in_order(function, range(images)):
        pass


def as_published(paths: tuple[Path, Path, Path]) -> None:
    """Do one image as the published code does: whole transforms in float64, PNG as Pillow writes it by itself."""
    source, target, out = paths
    image_HWC, other_HWC = (np.asarray(Pillow.open(path).convert("RGB")) for path in (source, target))
    Pillow.fromarray(by_definition(image_HWC, other_HWC, BETA)()).save(out)


def jobs(root: Path, size: tuple[int, int]) -> Iterator[Job]:
    source, target, path = world(root, size)
    predictions, model, palette = Predictions(path), network(root / "model.pt"), flat_palette(SPACE)
    half = size[0] // 2, size[1] // 2
    styles = replace(target, records=target.records[:STYLES])
    label_HW = scene.labelled(size)[0]
    seen_CHW = np.zeros((len(SPACE), half[0] // 8, half[1] // 8), np.float16)

    def reference(out: Path) -> None:
        triples = [
            (source.records[i].image, styles.records[i % STYLES].image, out / f"{i}.png") for i in range(PICTURES)
        ]
        with ProcessPoolExecutor() as pool:
            list(pool.map(as_published, triples))

    def restyled(out: Path) -> None:
        def one(i: int) -> None:
            if i < STYLES:
                target.image(i)
            (out / f"{i}.png").write_bytes(png.encode(source.image(i), photograph=True))

        each(one, PICTURES)

    def written(out: Path) -> None:
        with PredictionsWriter(out, SPACE.classes, False) as writer:
            for i in range(PICTURES):
                target.image(i)
                writer.put(STEMS[i], seen_CHW, *size)

    def labelled(out: Path) -> None:
        each(lambda i: (predictions.logits(STEMS[i]), write_label(out / f"{i}.png", label_HW, palette)), LABELS)

    def refined(out: Path, scored: bool) -> None:
        each(
            lambda i: (
                scored and predictions.logits(STEMS[i]),
                write_label(out / f"{i}.png", read_train_ids(root / "label" / f"{STEMS[i]}.png", SPACE), palette),
            ),
            LABELS,
        )

    yield Job(
        f"stylize, beta {BETA}",
        lambda out: stylize_set(View(source), styles, config.Stylize(beta=BETA), out, seed=0),
        restyled,
        PICTURES,
        {"reference formula, Pillow's defaults, a process a core": reference},
    )
    yield Job(
        "pseudolabel, cbst",
        lambda out: pseudolabel(predictions, SPACE, config.Pseudolabel(), out),
        labelled,
        LABELS,
        {},
    )
    for confidence, what in ((0.9, "confident"), (0.0, "cbst")):  # the latter needs no scores
        settings = config.Refine(aggregate=True, confidence=confidence)
        yield Job(
            f"refine, aggregation, {what}",
            lambda out, settings=settings: refine(
                root / "label", predictions, SPACE, settings, out,
                source_pixels=np.linspace(1, 100, len(SPACE)).astype(int).tolist(),
            ),
            lambda out, scored=confidence > 0: refined(out, scored),
            LABELS,
            {},
        )  # fmt: skip
    yield Job(
        f"predict, BiSeNet at {half[0]}x{half[1]}",
        lambda out: predict(model, SPACE, View(target, half), config.Predict(), out),
        written,
        PICTURES,
        {},
    )
    yield Job(
        f"evaluate, BiSeNet at {half[0]}x{half[1]}",
        lambda out: evaluate(model, View(source, half), config.Evaluate(), out),
        lambda out: each(lambda i: (source.image(i), source.label(i)), PICTURES),
        PICTURES,
        {},
    )
    predictions.__exit__()


def timed(call: Callable[[Path], Any]) -> tuple[float, float]:
    """Give the seconds on the clock and those of the processor, children included, for all images."""
    with tempfile.TemporaryDirectory() as out:
        clock, used = time.perf_counter(), _used()
        call(Path(out))
        return time.perf_counter() - clock, _used() - used


def _used() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measured(job: Job) -> dict[str, Any]:
    calls = {"udaseg": job.stage, "files": job.files} | job.peers
    timed(job.stage)  # compiles, or loads what was compiled
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            times[name].append(timed(call))
    seconds = {name: statistics.median(clock for clock, _ in own) / job.images for name, own in times.items()}
    processor = {name: statistics.median(used for _, used in own) / job.images for name, own in times.items()}
    return {
        "stage": job.name,
        "images": job.images,
        "seconds_a_image": seconds,
        "processor_seconds_a_image": processor,
        "share_of_files": seconds["files"] / seconds["udaseg"],
        "share_of_files_by_processor": processor["files"] / processor["udaseg"],
        "ratio": {name: seconds[name] / seconds["udaseg"] for name in job.peers},
        "ratio_by_processor": {name: processor[name] / processor["udaseg"] for name in job.peers},
    }


def main() -> None:
    out, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
    found = []
    print(f"stages, {size[0]}x{size[1]}, {os.cpu_count()} cores; on the clock (processor time)")
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(Path(folder), size):
            found.append(row := measured(job))
            clock, used = row["seconds_a_image"], row["processor_seconds_a_image"]
            print(
                f"{job.name:<40}{1 / clock['udaseg']:>7.1f} images/s ({1e3 * used['udaseg']:.0f} ms)"
                f"   its files alone {1 / clock['files']:.1f} images/s ({1e3 * used['files']:.0f} ms):"
                f" {row['share_of_files']:.0%} ({row['share_of_files_by_processor']:.0%})"
            )
            for name in job.peers:
                print(
                    f"  {name}: {1 / clock[name]:.2f} images/s ({1e3 * used[name]:.0f} ms),"
                    f" {row['ratio'][name]:.1f}x ({row['ratio_by_processor'][name]:.1f}x)"
                )
            sys.stdout.flush()
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
