"""A whole set in the style of another: which image got which style, and what was read for it."""

import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image as Pillow

from udaseg.config import Stylize
from udaseg.data.image_sets import Image, ImageSet, Labelled, LabelledSet, View
from udaseg.data.style import dataset, fda
from udaseg.labels import SPACES

SOURCES, TARGETS = 21, 2
SETTINGS = Stylize(beta=0.1)


@pytest.fixture
def sets(tmp_path):
    """Give noise as source, in two sizes, and as target."""
    rng = np.random.default_rng(0)

    def written(name, i, size):
        path = tmp_path / name / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)).save(path)
        return path

    paths = [written("source/images", i, (16, 32 + 4 * (i % 2))) for i in range(SOURCES)]
    label = tmp_path / "source" / "label.png"
    Pillow.fromarray(np.zeros((16, 32), np.uint8)).save(label)
    records = tuple(Labelled(path.stem, path, label, None) for path in paths)
    everything = np.arange(256, dtype=np.uint8), np.ones(256, bool)
    source = LabelledSet("folder", tmp_path / "source", "train", SPACES["cs19"], records, "trainids", *everything, ())
    images = tuple(Image(f"t{i}", written("target", i, (20, 40))) for i in range(TARGETS))
    return source, ImageSet("folder", tmp_path / "target", "train", images)


def test_images_are_kept_before_they_are_clipped_where_asked(sets, tmp_path):
    source, target = sets
    view, out = View(source), tmp_path / "out"
    dataset.stylize_set(view, target, SETTINGS.model_copy(update={"keep_float": True}), out, seed=3)
    for record in source.records:
        kept = np.load(out / "float" / "images" / f"{record.stem}.npy")
        rounded = np.asarray(Pillow.open(out / "images" / f"{record.stem}.png"))
        assert kept.dtype == np.float16
        assert kept.shape == rounded.shape
        assert np.abs(np.clip(kept, 0, 255).astype(np.float32) - rounded).max() < 0.6
    assert (kept.min(), kept.max()) < (0, 255)  # what the PNG has lost
    (out / "float" / "images" / "03.npy").unlink()
    before = (out / "images" / "03.png").read_bytes()
    dataset.stylize_set(view, target, SETTINGS.model_copy(update={"keep_float": True}), out, seed=3)
    assert (out / "float" / "images" / "03.npy").exists()
    assert (out / "images" / "03.png").read_bytes() == before
    dataset.stylize_set(view, target, SETTINGS, tmp_path / "plain", seed=3)
    assert not (tmp_path / "plain" / "float").exists()
    assert (tmp_path / "plain" / "images" / "03.png").read_bytes() == before


def test_every_image_has_the_style_of_its_partner_and_a_style_is_read_for_several(sets, tmp_path, monkeypatch):
    source, target = sets
    read, seen = Counter(), []
    before = dataset.read_image
    monkeypatch.setattr(dataset, "read_image", lambda path: read.update([path]) or before(path))
    dataset.stylize_set(
        View(source),
        target,
        SETTINGS,
        tmp_path / "out",
        seed=3,
        progress=lambda done, total: seen.append((done, total)),
    )
    pairs = [json.loads(line) for line in (tmp_path / "out" / "pairs.jsonl").read_text().splitlines()]
    assert [pair["source"] for pair in pairs] == [record.stem for record in source.records]
    by_name = {record.stem: record.image for record in target.records}
    for i, pair in enumerate(pairs):
        image = source.image(i)
        style = np.asarray(Pillow.open(by_name[pair["target"]]).resize(image.shape[1::-1], Pillow.Resampling.BICUBIC))
        own = Pillow.open(tmp_path / "out" / "images" / f"{pair['source']}.png")
        assert np.array_equal(own, fda.stylize(image, fda.low_band(style, SETTINGS.beta)))
    assert sum(read.values()) < SOURCES / 2
    assert seen[-1] == (SOURCES, SOURCES)
    assert sorted(seen) == seen
