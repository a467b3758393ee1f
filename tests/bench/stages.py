"""Time whole stages from file to file, beside reading and writing their files alone, in images a second."""

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
from udaseg.pseudo.scores import StoredScores

IMAGES, LABELS, DRAWN, REPEATS = 8, 32, 2, 3  # stages that read no images are fast and get more labels
STYLES = 2  # fewer than images: GTA5 has 8 images for each of Cityscapes
SPACE = SPACES["cs19"]
STEMS = [f"image{i}" for i in range(LABELS)]
BETA = 0.01


@dataclass(frozen=True)
class Job:
    """A stage, its reading and writing alone, and its peers; each is called with the folder to write to."""

    name: str
    stage: Callable[[Path], Any]
    files: Callable[[Path], Any]
    images: int
    peers: dict[str, Callable[[Path], Any]]


def write_datasets(root: Path, size: tuple[int, int]) -> tuple[LabelledSet, ImageSet, Path]:
    """Write images of both domains, labels and predictions; return the two sets and the file of the predictions."""
    for name in ("source", "target", "label"):
        (root / name).mkdir()
    drawn = [Pillow.fromarray(scene.image(size, seed)) for seed in range(2 * DRAWN)]
    palette, label_HW = flat_palette(SPACE), scene.labelled(size)[0]
    with PredictionsWriter(root, SPACE.classes, False) as writer:
        for i, stem in enumerate(STEMS):
            if i < IMAGES:
                drawn[i % DRAWN].save(root / "source" / f"{stem}.png")
                drawn[DRAWN + i % DRAWN].save(root / "target" / f"{stem}.png")
            write_label(root / "label" / f"{stem}.png", np.roll(label_HW, 32 * i, 1), palette)
            writer.put(stem, np.roll(scene.logits(size), 4 * i, 2), *size)
    stems = STEMS[:IMAGES]
    records = [Labelled(stem, root / "source" / f"{stem}.png", root / "label" / f"{stem}.png", None) for stem in stems]
    tables = np.arange(256, dtype=np.uint8), np.ones(256, bool)
    source = LabelledSet("folder", root, "train", SPACE, tuple(records), "trainids", *tables, ())
    images = tuple(Image(stem, root / "target" / f"{stem}.png") for stem in stems)
    return source, ImageSet("folder", root, "train", images), root / "predictions.h5"


def write_network(path: Path) -> Path:
    settings = config.Model(name="bisenet", backbone="resnet18", weights="none")
    torch.manual_seed(0)
    checkpoint.save(path, construct(settings, len(SPACE)), settings, SPACE.classes)
    return path


def each(function: Callable[[int], Any], images: int) -> None:
    for _ in map_in_order(function, range(images)):
        pass


def stylize_as_published(paths: tuple[Path, Path, Path]) -> None:
    """Stylize one image as the published code does: whole transforms in float64, PNG with the defaults of Pillow."""
    source, target, out = paths
    image_HWC, other_HWC = (np.asarray(Pillow.open(path).convert("RGB")) for path in (source, target))
    Pillow.fromarray(by_definition(image_HWC, other_HWC, BETA)()).save(out)


def jobs(root: Path, size: tuple[int, int]) -> Iterator[Job]:
    source, target, path = write_datasets(root, size)
    predictions, model, palette = Predictions(path), write_network(root / "model.pt"), flat_palette(SPACE)
    half = size[0] // 2, size[1] // 2
    styles = replace(target, records=target.records[:STYLES])
    label_HW = scene.labelled(size)[0]
    logits_CHW = np.zeros((len(SPACE), half[0] // 8, half[1] // 8), np.float16)

    def reference(out: Path) -> None:
        triples = [(source.records[i].image, styles.records[i % STYLES].image, out / f"{i}.png") for i in range(IMAGES)]
        with ProcessPoolExecutor() as pool:
            list(pool.map(stylize_as_published, triples))

    def stylize_files(out: Path) -> None:
        def one(i: int) -> None:
            if i < STYLES:
                target.image(i)
            (out / f"{i}.png").write_bytes(png.encode(source.image(i), photograph=True))

        each(one, IMAGES)

    def predict_files(out: Path) -> None:
        with PredictionsWriter(out, SPACE.classes, False) as writer:
            for i in range(IMAGES):
                target.image(i)
                writer.put(STEMS[i], logits_CHW, *size)

    def pseudolabel_files(out: Path) -> None:
        each(lambda i: (predictions.logits(STEMS[i]), write_label(out / f"{i}.png", label_HW, palette)), LABELS)

    def refine_files(out: Path, reads_logits: bool) -> None:
        each(
            lambda i: (
                reads_logits and predictions.logits(STEMS[i]),
                write_label(out / f"{i}.png", read_train_ids(root / "label" / f"{STEMS[i]}.png", SPACE), palette),
            ),
            LABELS,
        )

    yield Job(
        f"stylize, beta {BETA}",
        lambda out: stylize_set(View(source), styles, config.Stylize(beta=BETA), out, seed=0),
        stylize_files,
        IMAGES,
        {"reference formula, Pillow's defaults, a process a core": reference},
    )
    yield Job(
        "pseudolabel, cbst",
        lambda out: pseudolabel(StoredScores(predictions), SPACE, config.Pseudolabel(), out),
        pseudolabel_files,
        LABELS,
        {},
    )
    for confidence, name in ((0.9, "confident"), (0.0, "cbst")):  # the latter reads no logits
        settings = config.Refine(aggregate=True, confidence=confidence)
        yield Job(
            f"refine, aggregation, {name}",
            lambda out, settings=settings: refine(
                {stem: root / "label" / f"{stem}.png" for stem in predictions.stems},
                predictions, SPACE, settings, out,
                source_pixels=np.linspace(1, 100, len(SPACE)).astype(int).tolist(),
            ),
            lambda out, reads_logits=confidence > 0: refine_files(out, reads_logits),
            LABELS,
            {},
        )  # fmt: skip
    yield Job(
        f"predict, BiSeNet at {half[0]}x{half[1]}",
        lambda out: predict(model, SPACE, View(target, half), config.Predict(), out),
        predict_files,
        IMAGES,
        {},
    )
    yield Job(
        f"evaluate, BiSeNet at {half[0]}x{half[1]}",
        lambda out: evaluate(model, View(source, half), config.Evaluate(), out),
        lambda out: each(lambda i: (source.image(i), source.label(i)), IMAGES),
        IMAGES,
        {},
    )
    predictions.__exit__()


def time_call(call: Callable[[Path], Any]) -> tuple[float, float]:
    """Return the seconds on the clock and of the processor, children included, for all images."""
    with tempfile.TemporaryDirectory() as out:
        clock, processor = time.perf_counter(), _processor_seconds()
        call(Path(out))
        return time.perf_counter() - clock, _processor_seconds() - processor


def _processor_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(job: Job) -> dict[str, Any]:
    calls = {"udaseg": job.stage, "files": job.files} | job.peers
    time_call(job.stage)  # compiles the kernels, or loads them
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for _ in range(REPEATS):
        for name, call in calls.items():
            times[name].append(time_call(call))
    seconds = {name: statistics.median(clock for clock, _ in values) / job.images for name, values in times.items()}
    processor = {
        name: statistics.median(seconds for _, seconds in values) / job.images for name, values in times.items()
    }
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
    results = []
    print(f"stages, {size[0]}x{size[1]}, {os.cpu_count()} cores; on the clock (processor time)")
    with tempfile.TemporaryDirectory() as folder:
        for job in jobs(Path(folder), size):
            results.append(row := measure(job))
            clock, processor = row["seconds_a_image"], row["processor_seconds_a_image"]
            print(
                f"{job.name:<40}{1 / clock['udaseg']:>7.1f} images/s ({1e3 * processor['udaseg']:.0f} ms)"
                f"   its files alone {1 / clock['files']:.1f} images/s ({1e3 * processor['files']:.0f} ms):"
                f" {row['share_of_files']:.0%} ({row['share_of_files_by_processor']:.0%})"
            )
            for name in job.peers:
                print(
                    f"  {name}: {1 / clock[name]:.2f} images/s ({1e3 * processor[name]:.0f} ms),"
                    f" {row['ratio'][name]:.1f}x ({row['ratio_by_processor'][name]:.1f}x)"
                )
            sys.stdout.flush()
    out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
