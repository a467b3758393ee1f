"""Measure stages on 100, 1,000 and 10,000 images: processor time an image, memory, files left open."""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scene
import torch
from PIL import Image as Pillow

from udaseg import config
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet, View
from udaseg.data.images.read import write_label
from udaseg.inference.evaluate import evaluate
from udaseg.inference.predict import predict
from udaseg.inference.predictions import Predictions
from udaseg.labels import SPACES, flat_palette
from udaseg.models import checkpoint, construct
from udaseg.pseudo.label import pseudolabel
from udaseg.pseudo.refine import refine
from udaseg.pseudo.scores import StoredScores

SPACE = SPACES["cs19"]
SIZE = 64, 128  # small images, so that ten thousand of them fit everywhere; the cost is of pixels
FILES = 32  # image files, listed as often as there are images
BATCH = 16
COUNTS = 100, 1_000, 10_000


def write_dataset(folder: Path, count: int) -> tuple[Path, LabelledSet]:
    """Write a network and a few images with labels; return a set that lists them many times."""
    settings = config.Model(name="bisenet", backbone="resnet18", weights="none")
    torch.manual_seed(0)
    checkpoint.save(folder / "model.pt", construct(settings, len(SPACE)), settings, SPACE.classes)
    image_HWC, label_HW = scene.image((512, 1024), 0), scene.labelled((512, 1024))[0]
    for i in range(FILES):
        y, x = 48 * (i // 4), 192 * (i % 4)
        Pillow.fromarray(image_HWC[y : y + SIZE[0], x : x + SIZE[1]]).save(folder / f"image{i}.png")
        write_label(folder / f"label{i}.png", label_HW[y : y + SIZE[0], x : x + SIZE[1]], flat_palette(SPACE))
    files = [(folder / f"image{i}.png", folder / f"label{i}.png") for i in range(FILES)]
    records = tuple(Labelled(f"{i:05}", *files[i % FILES], None) for i in range(count))
    tables = np.arange(256, dtype=np.uint8), np.ones(256, bool)
    return folder / "model.pt", LabelledSet("folder", folder, "train", SPACE, records, "trainids", *tables, ())


def open_files() -> int:
    return sum(1 for _ in Path("/dev/fd").iterdir())


def run_stages(folder: Path, count: int) -> dict[str, Any]:
    """Run the stages one after the other; return what each cost.

    That is seconds of processor time, the peak of memory of the process up to its end, and how many more files were
    open at its end than before the first stage.
    """
    torch.set_num_threads(1)
    model, images = write_dataset(folder, count)
    target = ImageSet("folder", folder, "train", tuple(Image(one.stem, one.image) for one in images.records))
    pixels, before = list(range(1, len(SPACE) + 1)), open_files()
    costs: dict[str, Any] = {"seconds": {}, "megabytes": {}, "open_files": {}}

    def timed(name: str, stage: Callable[[], Any]) -> None:
        start = time.process_time()
        stage()
        costs["seconds"][name] = time.process_time() - start
        costs["megabytes"][name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        costs["open_files"][name] = open_files() - before

    def run_pseudolabel() -> None:
        with Predictions(folder / "predictions.h5") as predictions:
            pseudolabel(StoredScores(predictions), SPACE, config.Pseudolabel(), folder / "pseudo")

    def run_refine() -> None:
        settings = config.Refine(aggregate=True, scale_with_area=True, confidence=0.0)
        with Predictions(folder / "predictions.h5") as predictions:
            labels = {stem: folder / "pseudo" / "labels" / f"{stem}.png" for stem in predictions.stems}
            refine(labels, predictions, SPACE, settings, folder / "refined", source_pixels=pixels)

    timed("predict", lambda: predict(model, SPACE, View(target), config.Predict(batch=BATCH), folder))
    timed("pseudolabel", run_pseudolabel)
    timed("refine", run_refine)
    timed("evaluate", lambda: evaluate(model, View(images), config.Evaluate(batch=BATCH), folder / "scores"))
    return costs


def main() -> None:
    out, results = Path(sys.argv[1]), []
    print(f"growth, images of {SIZE[0]}x{SIZE[1]}; processor time an image, memory of the process at its most so far")
    fresh = multiprocessing.get_context("spawn")
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as name, fresh.Pool(1) as process:
            row = {"images": count} | process.apply(run_stages, (Path(name), count))
        results.append(row)
        each = ", ".join(
            f"{stage} {1e3 * seconds / count:.2f} ms, {row['megabytes'][stage]:.0f} MB"
            for stage, seconds in row["seconds"].items()
        )
        print(f"{count:>8,} images: {each}; files left open: {max(row['open_files'].values())}", flush=True)
    out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
