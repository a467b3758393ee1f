"""The stages on pictures from tar shards and from an object store: every file as from folders."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from ..data.places.samples import write_tars

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

RECIPE = """\
name: mine
space: [road, car, sky]
data: .
source: {dataset: folder, root: synthetic, size: [32, 48]}
target: {dataset: folder, root: real, size: [32, 48]}
model: {encoder: test_efficientnet, decoder: fpn, width: 16, weights: none}
warmup: {steps: 2, batch: 2, augment: {crop: null, scale: [1.0, 1.0]}}
predict: {batch: 2}
refine: {aggregate: true, confidence: 0.0, base0: 0, base1: 0}
retrain: {steps: 2, batch: 2, augment: {crop: null, scale: [1.0, 1.0]}}
"""
COMMANDS = (
    "data stats", "warmup", "stylize", "predict", "pseudolabel --p 0.5", "refine", "prototypes", "retrain", "evaluate",
)  # fmt: skip


@pytest.fixture
def data(tmp_path, monkeypatch):
    """Write both domains as folders, the source as shards too, and the target into a store in memory."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, splits in (("synthetic", ("train",)), ("real", ("train", "val"))):
        for split in splits:
            for kind in ("images", "labels"):
                Path(name, split, kind).mkdir(parents=True)
            for i in range(4):
                label = rng.integers(0, 3, (5, 7), np.uint8).repeat(8, 0).repeat(8, 1)
                image = rng.integers(0, 256, (256, 3), np.uint8)[label]
                Image.fromarray(image).save(Path(name, split, "images", f"{i}.jpg"))
                Image.fromarray(label).save(Path(name, split, "labels", f"{i}.png"))
        Path(name, "classes.yaml").write_text(yaml.safe_dump({"names": ["road", "car", "sky"]}))
    write_tars(tmp_path / "shards", tmp_path / "synthetic")
    memory = fsspec.filesystem("memory")
    memory.put(f"{tmp_path}/real", "/fleet/real", recursive=True)
    Path("mine.yaml").write_text(RECIPE)
    recipe = RECIPE.replace("root: synthetic", f"root: file://{tmp_path}/shards")
    Path("places.yaml").write_text(recipe.replace("root: real", "root: memory://fleet/real"))
    yield
    memory.rm("/fleet", recursive=True)


def test_every_stage_writes_the_same_bytes_as_from_folders(data, udaseg, manifest, tmp_path):
    outcome = udaseg("stylize --recipe places.yaml", tiny=False)
    assert outcome.code == 1
    for address in ("memory://fleet/real", f"file://{tmp_path}/shards"):
        assert f"udaseg data index {address} --data ." in outcome.err
        indexed = udaseg(f"data index {address} --data .", tiny=False)
        assert indexed.code == 0, indexed.err
    assert "up to date" in udaseg("data index memory://fleet/real --data .", tiny=False).err
    for recipe in ("mine", "places"):
        for command in COMMANDS:
            outcome = udaseg(f"{command} --recipe {recipe}.yaml --run runs/{recipe}", tiny=False)
            assert outcome.code == 0, outcome.err
    for command in COMMANDS:
        stage = command.removeprefix("data ").split()[0]
        folder, place = manifest(f"runs/mine/{stage}"), manifest(f"runs/places/{stage}")
        assert place["outputs"]["digest"] == folder["outputs"]["digest"], stage
        assert (place["settings"], place["metrics"]) == (folder["settings"], folder["metrics"])
        # The same pictures have the same digests; the paths alone differ.
        digests = [{name: one["digest"] for name, one in made["inputs"].items()} for made in (folder, place)]
        assert digests[0] == digests[1]
    outcome = udaseg("report --recipe places.yaml --run runs/places", tiny=False)
    assert outcome.code == 0, outcome.err
    assert Path("runs/places/report.html").read_text().count("<img") > 4


def test_a_stage_does_not_list_again_and_tells_of_a_missing_picture(data, udaseg, tmp_path):
    assert udaseg(f"data index file://{tmp_path}/real --data .", tiny=False).code == 0
    flags = f"--recipe mine.yaml --set target.root=file://{tmp_path}/real"
    shutil.copy("real/train/images/0.jpg", "real/train/images/9.jpg")
    Path("real/train/images/3.jpg").unlink()
    outcome = udaseg(f"stylize {flags}", tiny=False)
    assert outcome.code == 1
    assert "3.jpg: expected" in outcome.err
    assert f"udaseg data index file://{tmp_path}/real --data . --force" in outcome.err


def test_an_address_says_what_is_wrong_with_it(data, udaseg):
    for address, message in (
        ("bucket/prefix", "expected the address of a place with pictures"),
        ("s3://", "expected the address of a place with pictures"),
        ("file://real", "expected the path from the root of the disk"),
        ("https://user:secret@host/data", "expected an address without a user, a password"),
        ("memory://fleet/nothing", "expected an object, found none"),
        ("nostore://bucket", "no store has addresses that begin with nostore://"),
    ):
        outcome = udaseg(f"data index {address} --data .", tiny=False)
        assert outcome.code == 1
        assert message in outcome.err
        assert "secret" not in outcome.err


def test_a_place_is_checked_as_a_folder_is(data, udaseg, tmp_path):
    address = f"file://{tmp_path}/shards"
    assert udaseg(f"data index {address} --data .", tiny=False).code == 0
    folder, place = (
        udaseg(f"data check {root} --json", tiny=False).json for root in ("synthetic", f"{address} --data .")
    )
    assert place["splits"] == folder["splits"]
    assert place["root"] == address
    missing = udaseg("data check memory://fleet/real", tiny=False)
    assert missing.code == 1
    assert "udaseg data index memory://fleet/real" in missing.err


def test_a_folder_is_written_as_shards(data, udaseg):
    outcome = udaseg("data shard real out --split train", tiny=False)
    assert outcome.out == "4 images, 4 of them with a label, in 1 tar in out/train\n"
    assert sorted(str(path) for path in Path("out").rglob("*.*")) == ["out/classes.yaml", "out/train/000000.tar"]
