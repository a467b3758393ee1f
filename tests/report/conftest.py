"""A small run as the stages leave it on disk, with numbers that can be checked by hand."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from udaseg.labels import SPACES, flat_palette

SIZE = (96, 192)


class FakeRun:
    """Writes stage directories one by one, so that a test can leave some out or break them."""

    def __init__(self, root: Path, classes: tuple[str, ...] = SPACES["cs19"].classes, seed: int = 0):
        self.root, self.classes, self.seed, self.clock = root, classes, seed, 0
        self.rng = np.random.default_rng(seed)
        self.palette = np.array(flat_palette(SPACES["cs19"])[: 3 * len(classes)], np.uint8).reshape(-1, 3)

    def stage(self, name: str, metrics: dict | None = None, warnings: tuple[str, ...] = (), **inputs: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        self.clock += 1
        manifest = {
            "schema": 1,
            "stage": name.split("/")[-1].split("-")[0],
            "version": "0.1.0",
            "command": f"udaseg {name} --run {self.root.name}",
            "settings": {"recipe": "demo", "steps": 600},
            "seed": self.seed if name.endswith(("warmup", "retrain")) and "evaluate" not in name else 0,
            "inputs": {key: {"path": path, "digest": "ab12" * 8} for key, path in inputs.items()},
            "outputs": {"count": 3, "bytes": 44_700_000, "digest": "cd34" * 8, "signature": "ef56" * 8},
            "metrics": metrics or {},
            "warnings": list(warnings),
            "environment": {"python": "3.11.9", "torch": "2.14.0", "device": "cpu", "deterministic": True},
            "started": f"2026-01-01T10:{self.clock:02d}:00Z",
            "seconds": 61.5,
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        return folder

    def training(self, name: str, steps: int = 600, **inputs: str) -> Path:
        folder = self.stage(name, {"loss": 0.41, "steps": steps}, **inputs)
        at = range(0, steps + 1, 10)
        lines = [
            {"step": s, "loss": 0.4 + 2.5 * 0.99**s, "source": 0.3 + 2 * 0.99**s, "adversary": 0.69, "lr": 1e-3}
            for s in at
        ]
        (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return folder

    def evaluate(self, name: str, iou: list[float | None], panels: int = 2) -> Path:
        c = len(self.classes)
        known = [value for value in iou if value is not None]
        confusion = np.zeros((c, c), int)
        for i, value in enumerate(iou):
            if value is not None:
                confusion[i, i] = round(1000 * value)
                confusion[i, (i + 1) % c] += 1000 - confusion[i, i]
        miou = sum(known) / len(known)
        folder = self.stage(name, {"miou": miou}, model=f"runs/demo/{name}/model.pt")
        metrics = {"classes": list(self.classes), "iou": iou, "miou": miou, "miou16": None, "miou13": None}
        metrics |= {"pixel_accuracy": 0.875, "absent": [n for n, v in zip(self.classes, iou, strict=True) if v is None]}
        metrics |= {"confusion": confusion.tolist(), "images": 40, "convention": "own resolution"}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        (folder / "panels").mkdir(exist_ok=True)
        for i in range(panels):
            truth = self.labels(i, 0.0)
            prediction = self.labels(i, 0.05 * (i + 1) if name.endswith("evaluate") else 0.3)
            self.save(folder / f"panels/town_{i:06d}-image.png", self.photo(i))
            self.save(folder / f"panels/town_{i:06d}-truth.png", self.palette[truth])
            self.save(folder / f"panels/town_{i:06d}-prediction.png", self.palette[prediction])
        return folder

    def pseudolabel(self, name: str, threshold: list[float], predicted: list[int], kept: list[int]) -> Path:
        folder = self.stage(name, {"kept": sum(kept) / sum(predicted)}, predictions="runs/demo/predict")
        values = {"threshold": threshold, "predicted": predicted, "kept": kept}
        content = {"policy": "cbst", "p": 0.2, "classes": list(self.classes), "round": 1, **values}
        (folder / "thresholds.json").write_text(json.dumps(content))
        self.label_files(folder, 0.5)
        return folder

    def refine(self, name: str, minimum: list[int], before: list[int], after: list[int]) -> Path:
        folder = self.stage(name)
        values = {"minimum": minimum, "before": before, "after": after}
        values |= {"order": ["spatial_prior"], "confidence": 0.5, "flipped": [0] * len(self.classes)}
        (folder / "refine.json").write_text(json.dumps({"classes": list(self.classes), **values}))
        self.label_files(folder, 0.6)
        return folder

    def gmm(self, name: str = "gmm") -> Path:
        folder, c = self.stage(name), len(self.classes)
        with h5py.File(folder / "gmm.h5", "w") as file:
            file.attrs["classes"], file.attrs["grid"] = list(self.classes), (12, 24)
            file["weights"] = np.tile([0.6, 0.4], (c, 1))
            centre = np.stack(
                [self.rng.uniform(4, 20, (c, 2)), self.rng.uniform(3, 9, (c, 2)), np.full((c, 2), 65536 / 1001)], -1
            )
            file["means"], file["variances"] = centre, np.full((c, 2, 3), 4.0)
        return folder

    def prior(self, maps_CHW: np.ndarray) -> Path:
        folder = self.stage("prior", {"classes": len(self.classes)}, source="data/gta5")
        with h5py.File(folder / "prior.h5", "w") as file:
            file.attrs["classes"], file["prior"] = list(self.classes), maps_CHW.astype(np.float32)
        return folder

    def label_files(self, folder: Path, ignored: float) -> None:
        (folder / "labels").mkdir(exist_ok=True)
        for i in range(5):
            label = self.labels(i, 0.0)
            label[self.noise(i) < ignored] = 255
            image = Image.fromarray(label).convert("L").convert("P")
            image.frombytes(label.tobytes())
            image.putpalette([*self.palette.ravel().tolist(), *[0] * (768 - 3 * len(self.palette))])
            image.save(folder / f"labels/train_{i:06d}.png")

    def images(self) -> dict[str, Path]:
        folder = self.root.parent / "photos"
        folder.mkdir(exist_ok=True)
        for i in range(5):
            self.save(folder / f"train_{i:06d}.png", self.photo(i))
        return {path.stem: path for path in folder.glob("*.png")}

    def photo(self, i: int) -> np.ndarray:
        noise = np.random.default_rng(i).normal(0, 12, (*SIZE, 3))
        return np.clip(self.palette[self.labels(i, 0.0)] * 0.5 + 60 + noise, 0, 255).astype(np.uint8)

    def labels(self, i: int, wrong: float) -> np.ndarray:
        rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
        c = len(self.classes)
        label = np.where(rows > 60, 0, np.where(rows > 30 + 20 * (columns // 24 % 2), 2 % c, 10 % c))
        label[40:70, 20 + 30 * i : 60 + 30 * i] = 13 % c
        label[(self.noise(i) < wrong) & (rows > 48)] = 1 % c
        return label.astype(np.uint8)

    def noise(self, i: int) -> np.ndarray:
        coarse = np.random.default_rng(100 + i).random((SIZE[0] // 8, SIZE[1] // 8))
        return np.kron(coarse, np.ones((8, 8)))

    @staticmethod
    def save(path: Path, image_HWC: np.ndarray) -> None:
        Image.fromarray(image_HWC).save(path)

    def whole(self, source: float = 0.2, adapted: float = 0.3, oracle: float | None = 0.6) -> "FakeRun":
        """Write every stage of the chain. The IoU of class c lies c/100 above the given level, mIoU half-way."""
        c = len(self.classes)
        predicted = [10 ** (6 - i % 4) for i in range(c)]
        kept = [round(value * 0.2) for value in predicted]
        self.stage("stylize", {"images": 400}, source="data/gta5", target="data/cityscapes")
        self.training("warmup", source="data/gta5")
        self.stage("predict", {"images": 5}, model="runs/demo/warmup", target="data/cityscapes")
        self.pseudolabel("pseudolabel", [0.9 - 0.02 * i for i in range(c)], predicted, kept)
        self.refine("refine", [50 + i for i in range(c)], kept, [value // 2 for value in kept])
        self.stage("prototypes", {"features": 256}, model="runs/demo/warmup")
        self.gmm()
        self.training("retrain", model="runs/demo/warmup", labels="runs/demo/refine")
        self.evaluate("evaluate-warmup", [source + i / 100 for i in range(c)])
        self.evaluate("evaluate", [adapted + i / 100 for i in range(c)])
        if oracle is not None:
            self.evaluate("evaluate-oracle", [oracle + i / 100 for i in range(c)], panels=0)
        return self


@pytest.fixture
def fake_run(tmp_path):
    """Return a function that starts a fake run of the given name, classes and seed."""

    def start(name: str = "demo", **settings) -> FakeRun:
        return FakeRun(tmp_path / "runs" / name, **settings)

    return start
