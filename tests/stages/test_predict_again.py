"""Predictions of images that have not changed stay when others are added, mended or removed."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from udaseg.data.images import read as read_images

IMAGES = Path("data/toytown/cityscapes/leftImg8bit/train")


def logits(path: str = "runs/tiny/predict/predictions.h5") -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {stem: file[f"logits/{stem}"][()] for stem in file["logits"]}


@pytest.fixture
def images(workspace) -> list[Path]:
    """Give the target images, as files of their own; without AdaBN, whose statistics are those of all images."""
    paths = sorted(IMAGES.rglob("*.png"))
    for path in paths:
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    return paths


def predict(udaseg, *more: str):
    return udaseg("predict --set predict.adabn=false --set predict.batch=1", *more)


@pytest.fixture
def counted(monkeypatch) -> list[str]:
    """Collect the images that are opened, by stem: those that the network sees."""
    stems, read = [], read_images.read_image

    def reading(path):
        image = read(path)
        stems.append(path.name.removesuffix("_leftImg8bit.png"))
        return image

    monkeypatch.setattr(read_images, "read_image", reading)
    return stems


def test_a_mended_an_added_and_a_removed_image(images, udaseg, counted):
    assert predict(udaseg).code == 0
    before = logits()
    counted.clear()
    mended, removed, kept = images[0], images[1], images[2]
    Image.new("RGB", (128, 64), "blue").save(mended)
    added = kept.with_name(kept.name.replace("_leftImg8bit", "9_leftImg8bit"))
    Image.new("RGB", (128, 64), "red").save(added)
    removed.unlink()
    outcome = predict(udaseg)
    assert outcome.code == 0, outcome.err
    assert "2 of 5 images are new or changed, and the others stay" in outcome.err
    stems = {path.name.removesuffix("_leftImg8bit.png") for path in (mended, added)}
    assert set(counted) == stems
    after = logits()
    assert sorted(after) == sorted((before.keys() - {removed.name.removesuffix("_leftImg8bit.png")}) | stems)
    for stem in after.keys() - stems:
        assert np.array_equal(after[stem], before[stem])
    assert predict(udaseg, "--out", "anew").code == 0
    assert Path("anew/predictions.h5").read_bytes() == Path("runs/tiny/predict/predictions.h5").read_bytes()
    assert "predict: up to date" in predict(udaseg).err


def test_a_truncated_image_that_is_mended(images, udaseg, counted):
    whole = images[-1].read_bytes()
    images[-1].write_bytes(whole[: len(whole) // 2])
    assert predict(udaseg).code == 1
    assert len(counted) == 4
    counted.clear()
    images[-1].write_bytes(whole)
    outcome = predict(udaseg)
    assert outcome.code == 0, outcome.err
    assert "predict: continues" in outcome.err
    assert counted == [images[-1].name.removesuffix("_leftImg8bit.png")]
    assert len(logits()) == 5


def test_with_statistics_of_all_images_all_are_predicted_again(images, udaseg, counted):
    changes = ("--set", "predict.adabn=true")
    assert predict(udaseg, *changes).code == 0
    counted.clear()
    Image.new("RGB", (128, 64), "blue").save(images[0])
    outcome = predict(udaseg, *changes)
    assert outcome.code == 0, outcome.err
    assert len(set(counted)) == 5


def test_a_result_without_digests_of_images_is_made_again(images, udaseg, counted):
    """As earlier versions left it: up to date while nothing changes."""
    assert predict(udaseg).code == 0
    Path("runs/tiny/predict/images.json").unlink()
    assert "predict: up to date" in predict(udaseg).err
    counted.clear()
    Image.new("RGB", (128, 64), "blue").save(images[0])
    assert predict(udaseg).code == 0
    assert len(counted) == 5
