"""Several sources as one list: how often each is drawn, what is counted over all, and what each cannot label."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from udaseg.config import Augment, Rare
from udaseg.data import open_labelled
from udaseg.data.batches import Batches, Stream, batches
from udaseg.data.image_sets import View
from udaseg.data.rare_classes import RareClasses
from udaseg.data.samples import labelled
from udaseg.data.sampling import SPAN, ClassBalance, Shares
from udaseg.data.sources import Sources, subset
from udaseg.errors import UdasegError
from udaseg.labels import class_space
from udaseg.statistics.class_counts import class_counts, class_weights
from udaseg.train.setup import require_stackable

from . import corpora

SPACE = class_space("cs19")
MISSING = ("terrain", "truck", "train")


def drawn(shares: Shares, number: int, start: int = 0, key=(3,)) -> np.ndarray:
    return np.array([shares.index(key, position) for position in range(start, start + number)])


def sets_of(shares: Shares, indices: np.ndarray) -> np.ndarray:
    return np.array([shares.locate(int(index))[0] for index in indices])


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ((0.7, 0.3), (2100, 900)),
        ((2, 1), (2000, 1000)),
        ((1, 1, 1), (1000, 1000, 1000)),
        ((24_966, 9_400, 25_000), (1262, 475, 1263)),  # 1261.6, 475.0, 1263.3
        ((1, 100_000), (1, 2999)),
    ],
)
def test_shares_are_exact_over_every_3000_draws(ratios, expected):
    shares = Shares(tuple(range(7, 7 + len(ratios))), ratios)
    assert shares.quotas == expected
    for span in (0, 3):
        counts = np.bincount(sets_of(shares, drawn(shares, SPAN, span * SPAN)), minlength=len(ratios))
        assert tuple(counts) == expected


def test_shares_are_nearly_exact_from_the_start_of_a_training():
    """Stratified draws: of the first n, a source has its part to within two; binomial ones vary ten times more."""
    shares = Shares((50, 50), (0.7, 0.3))
    of_second = np.cumsum(sets_of(shares, drawn(shares, SPAN)))
    assert np.abs(of_second - 0.3 * np.arange(1, SPAN + 1)).max() <= 2
    assert len(set(np.diff(np.flatnonzero(np.diff(of_second))))) > 3  # and no fixed pattern


def test_a_source_draws_each_image_once_before_one_comes_again():
    shares = Shares((40, 7), (0.5, 0.5))
    indices = drawn(shares, 4000, SPAN - 1000)
    second = indices[indices >= 40] - 40
    whole = second[(-(SPAN - 1000) // 2) % 7 :]
    epochs = [sorted(whole[i : i + 7].tolist()) for i in range(0, len(whole) - 6, 7)]
    assert epochs == [list(range(7))] * len(epochs)
    assert len({tuple(whole[i : i + 7]) for i in range(0, 700, 7)}) > 20


def test_a_draw_depends_on_seed_and_position_alone():
    shares = Shares((9, 5), (2, 1))
    forwards = drawn(shares, 200, SPAN - 100)
    backwards = [shares.index((3,), position) for position in reversed(range(SPAN - 100, SPAN + 100))]
    assert forwards.tolist() == backwards[::-1]
    assert drawn(shares, 200, key=(4,)).tolist() != drawn(shares, 200).tolist()


@pytest.fixture
def sources(tmp_path):
    """Four images of GTA5 and three of SYNTHIA, which cannot label three classes."""
    corpora.gta5(tmp_path / "gta5", 4)
    corpora.synthia(tmp_path / "synthia", 3)
    for i in range(3):
        corpora.photo(tmp_path / f"synthia/RGB/{i:07d}.png", seed=100 + i)
    # One of its labels shows terrain all the same: the ids of SYNTHIA have it.
    corpora.synthia_label(tmp_path / "synthia/GT/LABELS/0000002.png", (16, 16, 3))
    sets = [
        open_labelled("gta5", tmp_path / "gta5", "train", SPACE),
        open_labelled("synthia", tmp_path / "synthia", "train", SPACE, missing=MISSING),
    ]
    missing = np.array([[False] * 19, [name in MISSING for name in SPACE.classes]])
    return Sources(("gta5", "synthia"), tuple(View(one, (6, 8)) for one in sets), missing, (0.75, 0.25))


def test_the_images_of_all_sources_are_one_list_with_names_of_its_own(sources):
    stems = [record.stem for record in sources.records]
    assert stems[:4] == [f"gta5_{i:05d}" for i in range(1, 5)]
    assert stems[4:] == [f"synthia_{i:07d}" for i in range(3)]
    assert len(sources) == 7
    for i, (view, own) in enumerate([(0, 0), (0, 3), (1, 0), (1, 2)]):
        index = (0, 3, 4, 6)[i]
        assert np.array_equal(sources.label(index), sources.views[view].images.label(own))
    assert sources.describe() == ("gta5 75.0%, 4 images; synthia 25.0%, 3 images, without terrain, truck, train")


def test_labels_of_missing_classes_are_ignored_and_other_absent_classes_are_still_refused(sources, tmp_path):
    last = sources.label(6)
    assert set(np.unique(last)) == {SPACE.classes.index("road"), 255}
    assert any("labels of missing classes, ignored: terrain" in note for note in sources.views[1].images.notes)
    space = class_space(["road", "caravan", "moped"])
    with pytest.raises(UdasegError, match="no class 'caravan', 'moped'"):
        open_labelled("synthia", tmp_path / "synthia", "train", space)
    with pytest.raises(UdasegError, match="no class 'moped'"):
        open_labelled("synthia", tmp_path / "synthia", "train", space, missing=["caravan"])
    table = open_labelled("synthia", tmp_path / "synthia", "train", space, missing=["caravan", "moped"]).table
    assert (table[3], sorted(set(table.tolist()))) == (0, [0, 255])


def test_a_part_of_the_sources_keeps_their_shares(sources):
    part = subset(sources, 0.5, 0)
    assert [len(view.images) for view in part.views] == [2, 1]
    assert part.shares.shares == (0.75, 0.25)
    by_number = replace(sources, ratios=None)
    assert by_number.shares.shares == pytest.approx((4 / 7, 3 / 7))
    assert subset(by_number, 0.1, 0).shares.shares == by_number.shares.shares
    chosen = sources.choose(["synthia_0000001"])
    assert [record.stem for record in chosen.records] == ["synthia_0000001"]
    assert np.array_equal(chosen.label(0), sources.label(5))
    assert chosen.views[1].images.records == sources.views[1].images.records[1:2]


# --- in a stream


def test_a_batch_says_which_classes_the_label_of_an_image_cannot_have(sources):
    stream = Stream("source", labelled(View(sources)), 8, Augment(flip=0.0))
    batch = Batches([stream], 0)[0]
    assert (batch["source_missing"].shape, batch["source_missing"].dtype) == ((8, 19), torch.bool)
    images = {
        view.images.image(i).tobytes(): place
        for place, view in enumerate(sources.views)
        for i in range(len(view.images))
    }
    for image, missing in zip(batch["source_image"].numpy(), batch["source_missing"].numpy(), strict=True):
        assert np.array_equal(missing, sources.missing[images[image.tobytes()]])
    assert batch["source_missing"].any(1).sum() == 2  # a quarter of 8
    complete = replace(sources, missing=np.zeros_like(sources.missing))
    assert "source_missing" not in Batches([replace(stream, samples=labelled(View(complete)))], 0)[0]


def test_batches_of_several_sources_are_the_same_after_a_resume_and_from_workers(sources):
    stream = Stream("source", labelled(View(sources)), 3, Augment(crop=(4, 4), jitter=0.3))
    alone, resumed = (list(batches([stream], 1, range(first, 6), workers)) for first, workers in ((0, 0), (4, 2)))
    for one, other in zip(alone[4:], resumed, strict=True):
        assert sorted(one) == ["source_image", "source_label", "source_missing"]
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_each_source_has_a_size_of_its_own_before_the_crop(sources):
    views = replace(sources.views[0], size=(12, 16)), replace(sources.views[1], size=(6, 10))
    samples = labelled(View(replace(sources, views=views)))
    assert [samples[i].label.shape for i in (0, 3, 4, 6)] == [(12, 16)] * 2 + [(6, 10)] * 2
    assert samples.size is None
    assert labelled(View(sources)).size == (6, 8)
    cropped = Batches([Stream("source", samples, 6, Augment(crop=(4, 5)))], 0)[0]
    assert cropped["source_label"].shape == (6, 4, 5)


def test_sources_whose_images_have_other_sizes_are_refused_without_a_crop(sources, tmp_path):
    for i in range(3):
        corpora.photo(tmp_path / f"synthia/RGB/{i:07d}.png", (12, 16))
        corpora.synthia_label(tmp_path / f"synthia/GT/LABELS/{i:07d}.png", size=(12, 16))
    own = replace(sources, views=tuple(replace(view, size=None) for view in sources.views))
    stream = Stream("source", labelled(View(own)), 2, Augment())
    with pytest.raises(UdasegError, match=r"source images have several sizes \(\(6, 8\), \(12, 16\)") as caught:
        require_stackable([stream])
    assert "give each source one size, or a crop" in caught.value.hint
    require_stackable([replace(stream, augment=Augment(crop=(4, 4)))])


# --- what is counted over all sources

COUNTS = np.array([[90, 10, 0], [50, 50, 0], [10, 0, 190]])  # of two images of one source, and of one of another
TWO = Shares((2, 1), (3, 1))


def test_class_frequencies_are_averaged_by_the_shares():
    pooled = TWO.pool(COUNTS)
    np.testing.assert_allclose(pooled, 0.75 * np.array([0.7, 0.3, 0]) + 0.25 * np.array([0.05, 0, 0.95]))
    np.testing.assert_allclose(class_weights(pooled), 1 / (3 * pooled))
    np.testing.assert_allclose(RareClasses(COUNTS, Rare(pixels=0), TWO).shares, pooled)
    # Without shares every pixel counts alike.
    np.testing.assert_allclose(RareClasses(COUNTS, Rare(pixels=0)).shares, [0.375, 0.15, 0.475])


def test_rare_class_sampling_draws_a_class_then_a_source_by_share_then_an_image():
    counts = np.zeros((10, 3), int)
    counts[:8, 0], counts[8:, 0] = 10, 10  # in both sources
    counts[0, 1], counts[9, 2] = 5, 5  # in one of them
    sampler = RareClasses(counts, Rare(pixels=0, temperature=100), Shares((8, 2), (1, 3)))
    rng = np.random.default_rng(0)
    found = [sampler.draw(rng) for _ in range(6000)]
    assert all(counts[image, c] for image, c in found)
    assert {image for image, c in found if c == 1} == {0}
    assert {image for image, c in found if c == 2} == {9}
    common = np.array([image for image, c in found if c == 0])
    assert abs((common >= 8).mean() - 0.75) < 3 * np.sqrt(0.75 * 0.25 / len(common))
    assert set(common) == set(range(10))


def test_class_balanced_sampling_draws_a_class_then_a_source_by_share():
    shown = np.zeros((10, 2), bool)
    shown[:, 0], shown[8, 1] = True, True
    balance = ClassBalance(shown, Shares((8, 2), (1, 3)))
    indices = np.array([balance.index((0,), position) for position in range(3000)])
    of_first = indices[indices != 8]
    assert 0.55 < (of_first == 9).mean() < 0.65  # 3/8 of the draws of class 0, besides the same number of image 8
    assert set(indices) == set(range(10))
    assert indices.tolist() == [balance.index((0,), position) for position in range(3000)]


def test_class_counts_are_those_of_all_sources_and_of_each(sources):
    counts = class_counts(sources)
    parts = [class_counts(view.images) for view in sources.views]
    assert counts.pixels == np.sum([part.pixels for part in parts], 0).tolist()
    assert counts.images == np.sum([part.images for part in parts], 0).tolist()
    assert {name: one.pixels for name, one in counts.sources.items()} == {
        name: part.pixels for name, part in zip(("gta5", "synthia"), parts, strict=True)
    }
    assert counts.sources["synthia"].images == parts[1].images
    assert list(counts.per_image) == [record.stem for record in sources.records]
    assert "sources" not in parts[0].content()


def test_one_source_is_drawn_as_before_there_could_be_several():
    """Numbers of the version before: trainings of one source go on, and results stay up to date."""
    kept = np.random.default_rng(1).random((20, 4)) < 0.4
    counts = np.random.default_rng(0).integers(0, 9, (20, 4)) * kept
    balance, rng = ClassBalance(counts > 0), np.random.default_rng(7)
    found = [balance.index((5,), position) for position in (0, 1, 2, 3, 4, 5, 2998, 2999, 3000, 3001)]
    assert found == [3, 2, 18, 9, 10, 16, 4, 7, 5, 12]
    rare = RareClasses(counts, Rare(pixels=2, temperature=0.1))
    assert [rare.draw(rng) for _ in range(6)] == [(15, 1), (17, 2), (2, 1), (9, 3), (7, 0), (18, 3)]
