"""What a data set of 100, 1,000 and 10,000 pictures costs: processor time a picture, and memory."""

import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import scene

from udaseg import recipe
from udaseg.labels import SPACES
from udaseg.predictions import Predictions, PredictionsWriter
from udaseg.pseudo.pseudolabel import pseudolabel
from udaseg.refine.refine import refine

SPACE = SPACES["cs19"]
SIZE = 64, 128  # small pictures, so that ten thousand of them fit everywhere; the cost is of pixels
COUNTS = 100, 1_000, 10_000


def written(folder: Path, count: int) -> Path:
    rng, logits_CHW = np.random.default_rng(0), scene.logits((512, 1024))
    height, width = (side // scene.STRIDE for side in SIZE)
    with PredictionsWriter(folder, SPACE.classes, False) as writer:
        for i in range(count):
            y, x = (
                int(rng.integers(0, whole - part))
                for whole, part in zip(logits_CHW.shape[1:], (height, width), strict=True)
            )
            writer.put(f"{i:05}", logits_CHW[:, y : y + height, x : x + width], *SIZE)
    return folder / "predictions.h5"


def passes(folder: Path, path: Path) -> dict[str, Any]:
    """Pseudo-label and refine; give seconds of processor time and the most memory the process ever held."""
    seconds = {}
    with Predictions(path) as predictions:
        begin = time.process_time()
        pseudolabel(predictions, SPACE, recipe.Pseudolabel(), folder / "pseudo")
        seconds["pseudolabel"] = time.process_time() - begin
        begin = time.process_time()
        settings = recipe.Refine(spatial_prior=True, scale_with_area=True)
        pixels = list(range(1, len(SPACE) + 1))
        refine(folder / "pseudo" / "labels", predictions, SPACE, settings, folder / "refined", source_pixels=pixels)
        seconds["refine"] = time.process_time() - begin
    return {"seconds": seconds, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def main() -> None:
    out, found = Path(sys.argv[1]), []
    print(f"growth, pictures of {SIZE[0]}x{SIZE[1]}; processor time a picture, memory of the process at its most")
    fresh = multiprocessing.get_context("spawn")
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as name, fresh.Pool(1) as writer:
            path = writer.apply(written, (Path(name), count))
            with fresh.Pool(1) as reader:
                row = {"pictures": count} | reader.apply(passes, (Path(name), path))
        found.append(row)
        each = ", ".join(f"{stage} {1e3 * taken / count:.2f} ms" for stage, taken in row["seconds"].items())
        print(f"{count:>8,} pictures: {each}; {row['megabytes']:.0f} MB", flush=True)
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
