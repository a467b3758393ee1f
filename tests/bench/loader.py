"""Measure how many images a second one core and several processes load for training, and what each part of it takes."""

import io
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torchvision.io import ImageReadMode, decode_jpeg, decode_png
from training import write_dataset

from udaseg import config
from udaseg.data.augment import augment, distort, fit
from udaseg.data.batches import Stream, batches
from udaseg.data.image_sets import LabelledSet, View
from udaseg.data.samples import labelled
from udaseg.parallel.threads import cores

REPEATS, LOADED, BATCH = 3, 16, 2
# By the height and width of an image before its crop, and those of the crop: as in DeepLab's recipes and DAFormer's.
SIZES = {"1024x2048": ((1024, 2048), None), "512x1024, crops of 512x512": ((512, 1024), (512, 512))}


def milliseconds(call: Callable[[], Any]) -> float:
    """Return the median processor time of a call, after one that is not timed."""
    times = []
    for _ in range(REPEATS + 1):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return 1e3 * statistics.median(times[1:])


def decoders(image_HWC: np.ndarray) -> dict[str, float]:
    """Time the decoders of Pillow, which reads all images here, and of torchvision."""
    times = {}
    for kind, options in {"PNG": {}, "JPEG": {"quality": 95}}.items():
        file = io.BytesIO()
        Pillow.fromarray(image_HWC).save(file, kind, **options)
        data, decode = file.getvalue(), {"PNG": decode_png, "JPEG": decode_jpeg}[kind]
        coded = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        times[f"{kind} by Pillow"] = milliseconds(lambda data=data: np.array(Pillow.open(io.BytesIO(data))))
        times[f"{kind} by torchvision"] = milliseconds(
            lambda coded=coded, decode=decode: decode(coded, mode=ImageReadMode.RGB)
        )
    return times


def parts(files: LabelledSet, settings: config.Augment, size: tuple[int, int]) -> dict[str, float]:
    """Return the milliseconds of each part of loading one image with its label, on one core."""
    rng, read = np.random.default_rng(0), labelled(View(files, None)).read_anew
    pair = read(0)
    fitted = fit(pair, size, False)
    changed = augment(fitted, settings, rng)
    return {
        "read": milliseconds(lambda: read(0)),
        "resize": milliseconds(lambda: fit(pair, size, False)),
        "scale, crop, flip": milliseconds(lambda: augment(fitted, settings, rng)),
        "colours and blur": milliseconds(lambda: distort(changed.image, settings, rng)),
    }


def speed(stream: Stream, workers: int) -> float:
    """Return the images a second of so many processes, by the clock: what a training waits for."""
    loader = batches([stream], 0, range(LOADED // BATCH + 1), workers)
    next(loader)  # the first waits for the processes to start
    start = time.perf_counter()
    return BATCH * sum(1 for _ in loader) / (time.perf_counter() - start)


def main() -> None:
    out, size = Path(sys.argv[1]), (int(sys.argv[2]), int(sys.argv[3]))
    torch.set_num_threads(1)
    results: dict[str, Any] = {"rows": []}
    with tempfile.TemporaryDirectory() as folder:
        files = write_dataset(Path(folder), size)
        results["decoders"] = decoders(files.image(0))
        text = ", ".join(f"{name} {value:.1f} ms" for name, value in results["decoders"].items())
        print(f"loading images of {size[0]}x{size[1]} with their labels, processor time\n  decoders: {text}")
        for name, (sides, crop) in SIZES.items():
            sides = min(sides, size)
            crop = min(crop or sides, sides)
            settings = config.Augment(crop=crop, scale=(0.5, 1.5), jitter=0.2, blur=0.5)
            stream = Stream("source", labelled(View(files, sides)), BATCH, settings)
            times = parts(files, settings, sides)
            counts = [count for count in (1, 2, 4, 8, 15) if count <= cores()]
            rates = {count: speed(stream, count) for count in counts}
            results["rows"].append({"images": name, "milliseconds": times, "images_per_second_by_processes": rates})
            print(
                f"{name}: {', '.join(f'{part} {value:.1f} ms' for part, value in times.items())}; one core"
                f" {1e3 / sum(times.values()):.1f} images/s\n  by the clock: "
                + ", ".join(f"{count} processes {rate:.1f} images/s" for count, rate in rates.items()),
                flush=True,
            )
    out.write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
