"""Every kind of file that the toolkit reads: a sound one of each, and how it is read."""

import json
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from PIL import Image
from torch import nn

from udaseg import config
from udaseg.config.load import load_recipe
from udaseg.data.datasets import cityscapes, folder, lists
from udaseg.data.images import loose, read
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.io.documents.log_lines import read_log
from udaseg.labels import SPACES
from udaseg.models import checkpoint, construct, weights
from udaseg.pipeline.manifest import InputDigest, Job, reasons
from udaseg.pseudo.label_files import read_thresholds
from udaseg.report.image_panels import label_palette
from udaseg.stages import cli
from udaseg.statistics import class_counts, gmm, prototypes, spatial_prior
from udaseg.train import adversary, state, training_log

from ..data.corpora import label, photo, png16, save
from .mutations import (
    BYTES,
    Mutation,
    aliased,
    hdf5_contents,
    json_line,
    json_token,
    nested,
    yaml_token,
)

CLASSES = ("road", "car", "sky")
NOISE = np.random.default_rng(0)
JSON = (*BYTES, json_token, json_token, json_token, json_token, nested)
YAML = (*BYTES, yaml_token, yaml_token, yaml_token, yaml_token, nested, aliased)
HDF5 = (*BYTES, hdf5_contents, hdf5_contents, hdf5_contents)


@dataclass(frozen=True)
class Kind:
    """A kind of file. With `exact`, what is read without an error has to be what was written."""

    name: str
    make: Callable[[Path], Path]  # in a directory
    read: Callable[[Path], Any]
    mutations: tuple[Mutation, ...] = BYTES
    exact: bool = False


def _predictions(place: Path) -> Path:
    with PredictionsWriter(place, CLASSES, True) as writer:
        for stem in ("a", "b"):
            writer.put(stem, NOISE.normal(size=(3, 8, 16)).astype(np.float16), 64, 128)
    return place / "predictions.h5"


def _old_predictions(place: Path) -> Path:
    """Write predictions as other programs do: without sums, and packed."""
    with h5py.File(place / "predictions.h5", "w", libver="earliest") as file:
        file.attrs["classes"], file.attrs["align_corners"] = list(CLASSES), True
        for stem in ("a", "b"):
            data = file.create_dataset(
                f"logits/{stem}", data=NOISE.normal(size=(3, 8, 16)).astype("f2"), chunks=(1, 8, 8), compression="gzip"
            )
            data.attrs["height"], data.attrs["width"] = 64, 128
    return place / "predictions.h5"


def _read_predictions(path: Path) -> Any:
    with Predictions(path) as found:
        return found.classes, found.align_corners, [(s, found.logits(s), found.size(s)) for s in found.stems]


def _prototypes(place: Path) -> Path:
    found = prototypes.Prototypes(NOISE.normal(size=(3, 5)).astype("f4"), np.arange(3) + 1, CLASSES, "features", "d1")
    prototypes.write(place / "prototypes.h5", found)
    return place / "prototypes.h5"


def _gmm(place: Path) -> Path:
    means, variances = NOISE.random((3, 2, 3)), NOISE.random((3, 2, 3)) + 0.3
    gmm.write(place / "gmm.h5", gmm.Gmm(np.full((3, 2), 0.5), means, variances, CLASSES, (8, 16)))
    return place / "gmm.h5"


def _prior(place: Path) -> Path:
    spatial_prior.write(place / "prior.h5", spatial_prior.Prior(NOISE.random((3, 8, 16)).astype("f4"), CLASSES))
    return place / "prior.h5"


def _values(of: Any) -> tuple:
    return tuple(vars(of).values())


def _read_prototypes(path: Path) -> Any:
    """Give what is read but for the centroids of classes never seen, which are NaN."""
    found = prototypes.read(path)
    return found.centroids[found.counts > 0], found.counts, found.classes, found.layer, found.model


def _model(place: Path) -> Path:
    settings = config.Model(name="fpn", backbone="resnet18", weights="none")
    torch.manual_seed(0)
    checkpoint.save(place / "model.pt", construct(settings, 3), settings, CLASSES)
    return place / "model.pt"


def _read_model(path: Path) -> Any:
    model, meta = checkpoint.load(path)
    return meta, model.state_dict()


def _weights(place: Path) -> Path:
    """Write foreign weights."""
    torch.manual_seed(0)
    model = construct(config.Model(name="fpn", backbone="resnet18", weights="none"), 3)
    torch.save({f"module.{name}": value for name, value in model.state_dict().items()}, place / "weights.pth")
    return place / "weights.pth"


def _read_weights(path: Path) -> Any:
    settings = config.Model(name="fpn", backbone="resnet18", weights=str(path))
    model = construct(settings, 3)
    weights.load(model, settings)
    return model.backbone.state_dict()


def _player() -> tuple[dict[str, nn.Module], dict[str, torch.optim.Optimizer]]:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    module(torch.ones(1, 3, 8, 8)).sum().backward()
    optimizer.step()
    return {"model": module}, {"model": optimizer}


def _state(place: Path) -> Path:
    state.save(place / "state.pt", 7, *_player())
    return place / "state.pt"


def _read_state(path: Path) -> Any:
    modules, optimizers = _player()
    step = state.restore(path, modules, optimizers)
    return step, modules["model"].state_dict(), optimizers["model"].state_dict()


def _text(name: str, text: str) -> Callable[[Path], Path]:
    def make(place: Path) -> Path:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
        return place / name

    return make


def _work_reasons(path: Path) -> list[str]:
    return reasons(Job("s", path.parent.with_suffix(""), {"s": {"p": 0.2}}, {"model": InputDigest("model.pt", "ab")}))


def _classes(path: Path) -> Any:
    space, coding = folder.read_classes(path.parent)
    return space.classes, space.palette, sorted(coding.classes.items()), sorted(coding.ids)


def _animation(place: Path) -> Path:
    frames = [Image.fromarray(NOISE.integers(0, 255, (12, 16, 3)).astype("u1")) for _ in range(3)]
    frames[0].save(place / "film.gif", save_all=True, append_images=frames[1:])
    return place / "film.gif"


def _turned(place: Path) -> Path:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(NOISE.integers(0, 255, (12, 16, 3)).astype("u1")).save(place / "shot.jpg", exif=exif)
    return place / "shot.jpg"


def _shots(path: Path) -> Any:
    found = loose.open_loose_images(path)
    return [(found.size(i), found.image(i)) for i in range(min(len(found), 10))]


def _distance(place: Path) -> Path:
    save(place / "disparity/train/a/x_disparity.png", np.full((4, 5), 600, np.uint16))
    camera = {"extrinsic": {"baseline": 0.2}, "intrinsic": {"fx": 2262.5}}
    return _text("camera/train/a/x_camera.json", json.dumps(camera))(place)


STATS = {"classes": CLASSES, "pixels": [5, 0, 7], "images": [1, 0, 2], "per_image": {"a": [5, 0, 3], "b": [0, 0, 4]}}
THRESHOLDS = {
    "policy": "cbst", "p": 0.2, "classes": CLASSES, "threshold": [0.5, 0.25, 1], "predicted": [9, 4, 0],
    "kept": [5, 1, 0], "round": 1,
}  # fmt: skip
WORK = {
    "stage": "s", "settings": {"s": {"p": 0.2}}, "seed": 0, "inputs": {"model": {"path": "model.pt", "digest": "ab"}},
    "owner": {"pid": 7, "host": "here", "since": "2026-01-01T00:00:00Z", "command": "udaseg s"}, "seconds": 1.5,
    "forced": False, "clearing": False,
}  # fmt: skip
LOG = "".join(
    json.dumps({"step": i, "loss": 1 / i, "discriminator_accuracy": 0.6, "lr": 0.1}) + "\n" for i in range(100, 500, 20)
)
RECIPE = """\
base: demo
seed: 3
space: [road, car]
source: {size: [32, 64], split: train}
warmup: {steps: 4, lr: 1.0e-3, augment: {crop: [32, 32], scale: [0.5, 1.5]}}
retrain: {teacher: 0.99, online: {confidence: 0.9}}
toy: {rounds: 2}
"""

READ = (
    Kind("image.png", lambda p: photo(p / "a.png", (20, 30)), read.read_image, exact=True),
    Kind("image.jpg", lambda p: photo(p / "a.jpg", (20, 30)), read.read_image),
    Kind("image_size", lambda p: photo(p / "a.png", (20, 30)), read.image_size, exact=True),
    Kind("shot.jpg", _turned, _shots),
    Kind("film.gif", _animation, _shots),
    Kind("label.png", lambda p: label(p / "a.png", size=(20, 30), palette=True),
         lambda path: read.read_label_ids(path, "cityscapes"), exact=True),
    Kind("pseudo-label.png", lambda p: label(p / "a.png", (0, 1, 2, 255), (20, 30)),
         lambda path: read.read_train_ids(path, SPACES["cs19"]), exact=True),
    Kind("palette", lambda p: label(p / "a.png", (0, 1), (20, 30), palette=True).parent, lambda p: label_palette([p])),
    Kind("synthia.png", lambda p: png16(p / "a.png", NOISE.integers(0, 22, (20, 30, 3))),
         lambda path: read.read_label_ids(path, "synthia"), exact=True),
    Kind("depth.png", lambda p: save(p / "a.png", NOISE.integers(0, 65535, (20, 30)).astype(np.uint16)),
         read.read_depth, exact=True),
    Kind("depth16.png", lambda p: png16(p / "a.png", NOISE.integers(0, 65535, (20, 30, 3))),
         read.read_depth, exact=True),
    Kind("predictions.h5", _predictions, _read_predictions, BYTES, exact=True),
    Kind("predictions.h5, contents", _predictions, _read_predictions, (hdf5_contents,)),
    Kind("predictions.h5, foreign", _old_predictions, _read_predictions, HDF5),
    Kind("prototypes.h5", _prototypes, _read_prototypes, BYTES, exact=True),
    Kind("prototypes.h5, contents", _prototypes, _read_prototypes, (hdf5_contents,)),
    Kind("gmm.h5", _gmm, lambda path: _values(gmm.read(path)), BYTES, exact=True),
    Kind("gmm.h5, contents", _gmm, lambda path: _values(gmm.read(path)), (hdf5_contents,)),
    Kind("prior.h5", _prior, lambda path: _values(spatial_prior.read(path, CLASSES)), BYTES, exact=True),
    Kind("prior.h5, contents", _prior, lambda path: _values(spatial_prior.read(path, CLASSES)), (hdf5_contents,)),
    Kind("model.pt", _model, _read_model, exact=True),
    Kind("weights.pth", _weights, _read_weights, exact=True),
    Kind("state.pt", _state, _read_state, exact=True),
    Kind("recipe.yaml", _text("mine.yaml", RECIPE), lambda path: load_recipe(str(path)).model_dump(), YAML),
    Kind("recipe.yaml, toy", _text("mine.yaml", RECIPE),
         lambda path: load_recipe(str(path), scale="toy").model_dump(), YAML),
    Kind("classes.yaml", _text("classes.yaml", "names: {7: road, 26: car, 3: sky}\nignore: [255]\n"), _classes, YAML),
    Kind("classes.yaml, ids", _text("classes.yaml", "names: [road, car]\nids: {3: road, 4: 1}\nignore: 0\n"
         "palette: [[1, 2, 3], [4, 5, 6]]\n"), _classes, YAML),
    Kind("stats.json", _text("stats.json", json.dumps(STATS)), lambda p: class_counts.read_pixels(p, CLASSES), JSON),
    Kind("stats.json, images", _text("stats.json", json.dumps(STATS)),
         lambda p: class_counts.read_shown(p, CLASSES, ("a", "b")), JSON),
    Kind("thresholds.json", _text("thresholds.json", json.dumps(THRESHOLDS)),
         lambda p: read_thresholds(p, CLASSES).content(), JSON),
    Kind("log.jsonl, loss", _text("log.jsonl", LOG), training_log.last_loss, (*BYTES, json_line, json_line, json_line)),
    Kind("log.jsonl, doubts", _text("log.jsonl", LOG), adversary.training_warnings, (*BYTES, json_line, json_line)),
    Kind("log.jsonl, resumed", _text("log.jsonl", LOG), lambda p: training_log.Log(p, 300) and None,
         (*BYTES, json_line)),
    Kind("log.jsonl, report", _text("log.jsonl", LOG), lambda p: read_log(p, "again") and None,
         (*BYTES, json_line, json_line)),
    Kind("partial.json", _text("s.partial/partial.json", json.dumps(WORK)), _work_reasons, JSON),
    Kind("camera.json", _distance,
         lambda p: cityscapes.read_distance(p.parents[3] / "disparity/train/a/x_disparity.png"), JSON),
    Kind("list.txt", _text("list.txt", "a.png\n# no\nb.jpg x\n"),
         lambda p: lists.select_listed({"a": Path("a.png"), "b": Path("b.jpg")}, p)),
)  # fmt: skip


def commands(run: Path) -> tuple[Kind, ...]:
    """Give the files of a finished run of tiny.yaml, read by the commands that read them."""

    def kind(file: str, *lines: str, mutations: tuple[Mutation, ...] = JSON) -> Kind:
        return Kind(f"{file}: {', '.join(lines)}", lambda _: run / file, lambda _: _said(run, lines), mutations)

    log = (*BYTES, json_line, json_line, json_line)
    return (
        kind("runs/tiny/predict/manifest.json", "status", "predict --dry-run", "pseudolabel", "report"),
        kind("runs/tiny/predict/outputs.json", "status", "predict --force --dry-run", "pseudolabel --dry-run"),
        kind("runs/tiny/warmup/manifest.json", "status", "evaluate --model warmup --dry-run", "report"),
        kind("runs/tiny/evaluate/manifest.json", "evaluate --json", "report"),
        kind("data/toytown/manifest.json", "status", "warmup --dry-run"),
        kind("runs/tiny/run.json", "status --run runs/tiny", "report --run runs/tiny --dry-run"),
        kind("runs/tiny/evaluate/metrics.json", "evaluate --dry-run", "report --force"),
        kind("runs/tiny/pseudolabel/thresholds.json", "report --force"),
        kind("runs/tiny/refine/refine.json", "report --force"),
        kind("runs/tiny/retrain/log.jsonl", "report --force", mutations=log),
        kind("runs/tiny/stats/stats.json", "refine --spatial-prior --dry-run", "refine --spatial-prior --out refined"),
        kind("tiny.yaml", "status", "pseudolabel --dry-run", "recipe show tiny.yaml", mutations=YAML),
    )


def _said(run: Path, lines: tuple[str, ...]) -> list[int]:
    """Run commands; an error is one word on stderr and exit code 1, and what is said is never a traceback."""
    codes = []
    for line in lines:
        out, err = StringIO(), StringIO()
        words = line.split() + ([] if "runs/tiny" in line or "recipe show" in line else ["--recipe", "tiny.yaml"])
        with chdir(run), redirect_stdout(out), redirect_stderr(err):
            code = cli.run(words)
        assert code in (0, 1), (line, code, err.getvalue())
        assert err.getvalue().count("error: ") == code, (line, code, err.getvalue())
        assert "Traceback" not in err.getvalue()
        codes.append(code)
    return codes


def numbers(value: Any) -> bytes:
    """Give the bytes of what a reader gave, in any structure."""
    if isinstance(value, dict):
        return b"{" + b",".join(numbers(key) + b":" + numbers(inner) for key, inner in value.items()) + b"}"
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(numbers, value)) + b"]"
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
    return repr(value).encode()


def wrong(value: Any) -> str | None:
    """Say what in a structure no sound file can hold: a number that is none, or one beyond all reason."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    found = next((said for part in inner if (said := wrong(part))), None)
    if isinstance(value, np.ndarray | torch.Tensor):
        array = np.asarray(value)
        bad = array.dtype.kind == "f" and not np.isfinite(array).all()
        return f"{array.dtype} that are not finite" if bad else None
    if isinstance(value, float) and not np.isfinite(value):
        return repr(value)
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"an integer of {value.bit_length()} bits"
    return found
