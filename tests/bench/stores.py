"""Compare what `predict` may store: bytes and time an image, and thresholds and labels beside those of the logits.

python tests/bench/stores.py MODEL IMAGES [--size 128x256] [--count 60] [--policies]: a trained model.pt, a folder of
images, the size at which the network sees them. It prints JSON.
"""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from udaseg import config
from udaseg.data.image_sets import Image, ImageSet, View
from udaseg.data.images.read import read_label_ids
from udaseg.inference.predict import predict
from udaseg.inference.predictions import Predictions
from udaseg.labels import IGNORE, SPACES
from udaseg.pseudo.label import pseudolabel
from udaseg.pseudo.scores import NetworkScores, StoredScores

SPACE = SPACES["cs19"]
STORES = ("logits", "confidence", "none")
TURNS = 3
POLICIES = (("st", 0.2), ("st", 0.5), ("cbst", 0.2), ("cbst", 0.5), ("percentile", 0.34), ("iast", 0.2))


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return the seconds of processor time and of the clock that a function took, and its result."""
    start, clock = time.process_time(), time.perf_counter()
    result = work()
    return time.process_time() - start, time.perf_counter() - clock, result


def cost(model: Path, target: View, store: str, out: Path) -> dict[str, float]:
    """Return the bytes an image, and the milliseconds of predict and of pseudolabel (cbst), of one store."""
    settings, size, count = config.Predict(store=store, precision="fp32"), 0, len(target.images)
    predicted, clock = 0.0, 0.0
    with ExitStack() as stack:
        if store != "none":
            predicted, clock, _ = timed(lambda: predict(model, SPACE, target, settings, out))
            size = (out / "predictions.h5").stat().st_size
            stored = stack.enter_context(Predictions(out / "predictions.h5"))

        def label() -> None:
            scores = NetworkScores(model, SPACE.classes, target, settings) if store == "none" else StoredScores(stored)
            pseudolabel(scores, SPACE, config.Pseudolabel(), out)

        labelled, more, _ = timed(label)
    milliseconds = {"predict": predicted, "pseudolabel": labelled, "clock": clock + more}
    return {"bytes": size / count} | {name: 1000 * seconds / count for name, seconds in milliseconds.items()}


def costs(model: Path, target: View, place: Path) -> dict[str, dict[str, float]]:
    """Return the medians of the costs of each store, which take turns after a round that does not count."""
    found: dict[str, list[dict[str, float]]] = {store: [] for store in STORES}
    for turn in range(1 + TURNS):
        for store in STORES:
            found[store].append(cost(model, target, store, place / f"{store}{turn}"))
    return {
        store: {name: float(np.median([row[name] for row in rows[1:]])) for name in rows[0]}
        for store, rows in found.items()
    }


def differences(place: Path) -> dict[str, Any]:
    """Return by how much thresholds and labels of stored confidences differ from those of logits, for each policy."""
    rows = {}
    with ExitStack() as stack:
        paths = [place / f"{store}0" / "predictions.h5" for store in ("logits", "confidence")]
        logits, stored = (stack.enter_context(Predictions(path)) for path in paths)
        differ, sure, pixels = 0, 0, 0
        for stem in logits.stems:
            label_HW, confidence_HW = logits.label_and_confidence(stem)
            other_HW = stored.label(stem)
            differ, pixels = differ + int((label_HW != other_HW).sum()), pixels + label_HW.size
            sure += int(((label_HW != other_HW) & (confidence_HW > 0.9)).sum())
        rows["most likely class"] = {"labels": differ / pixels, "labels_above_0.9": sure / pixels}
        for policy, p in POLICIES:
            settings, found = config.Pseudolabel(policy=policy, p=p, p_max=max(p, 0.5)), []
            for source in (logits, stored):
                out = place / f"{policy}-{p}-{source.store}"
                document = pseudolabel(StoredScores(source), SPACE, settings, out)
                found.append((document, out))
            rows[f"{policy}, p {p}"] = compare(*found)
    return rows


def compare(exact: tuple[Any, Path], stored: tuple[Any, Path]) -> dict[str, Any]:
    """Compare two results of pseudolabel: thresholds by class, kept pixels, and labels pixel by pixel."""
    thresholds = np.array([document.threshold for document, _ in (exact, stored)])
    predicted = np.array(exact[0].predicted)
    difference = np.abs(thresholds[1] - thresholds[0])[predicted > 0]
    counts = np.zeros(4, np.int64)
    for path in sorted((exact[1] / "labels").glob("*.png")):
        one, other = (read_label_ids(folder / "labels" / path.name, "trainids") for _, folder in (exact, stored))
        both = (one != IGNORE) & (other != IGNORE)
        counts += [(one != other).sum(), (both & (one != other)).sum(), (one != IGNORE).sum(), one.size]
    kept = [sum(document.kept) / counts[3] for document, _ in (exact, stored)]
    return {
        "threshold_of_class": dict(zip(exact[0].classes, np.round(thresholds.T, 5).tolist(), strict=True)),
        "largest": float(difference.max()),
        "median": float(np.median(difference)),
        "kept": kept,
        "labels": counts[0] / counts[3],
        "other_class": counts[1] / counts[2],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--size", default="128x256")
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--policies", action="store_true")
    arguments = parser.parse_args()
    paths = sorted(arguments.images.rglob("*.png"))
    paths = [paths[i * len(paths) // arguments.count] for i in range(min(arguments.count, len(paths)))]
    records = tuple(Image(path.stem, path) for path in sorted(paths, key=lambda path: path.stem))
    height, width = map(int, arguments.size.split("x"))
    target = View(ImageSet("folder", arguments.images, "train", records), (height, width))
    with TemporaryDirectory() as folder:
        rows: dict[str, Any] = {"images": len(records), "costs": costs(arguments.model, target, Path(folder))}
        if arguments.policies:
            rows["differences"] = differences(Path(folder))
    print(json.dumps(rows, indent=1, default=float))


if __name__ == "__main__":
    main()
