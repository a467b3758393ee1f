"""Scores from either store: thresholds and labels of confidences within the stated bound, and passes that go on."""

import numpy as np
import pytest

from udaseg.config import Pseudolabel
from udaseg.data.images.read import read_label_ids
from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.io import hdf5
from udaseg.labels import IGNORE, class_space
from udaseg.parallel import processes
from udaseg.pseudo import counted_images
from udaseg.pseudo.collapse import one_class_warnings
from udaseg.pseudo.counted_images import CountedImages
from udaseg.pseudo.label import pseudolabel
from udaseg.pseudo.scores import StoredScores
from udaseg.pseudo.thresholds import ConfidenceHistogram
from udaseg.statistics.spatial_prior import Prior

CLASSES = ("road", "car", "sky", "person")
SPACE = class_space(list(CLASSES))
STEMS = ("a", "b", "c", "d", "e", "f")
SIZE = (96, 192)
BOUNDS = {"threshold": 0.02, "labels": 0.01}  # those of docs/performance.md


def logits_of(stem):
    """Return regions with soft borders, as a network's logits have: 12 of 16x32 points."""
    random = np.random.default_rng(ord(stem))
    rows, columns = np.mgrid[:16, :32]
    logits_CHW = random.normal(size=(4, 16, 32)) * 0.3
    for _ in range(12):
        y, x, size = random.uniform(0, 16), random.uniform(0, 32), random.uniform(3, 7)
        bump = np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / size**2)
        logits_CHW[random.integers(4)] += random.uniform(5, 12) * bump
    return logits_CHW.astype(np.float16)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Give the scores of the same logits from both stores."""
    folder = tmp_path_factory.mktemp("stores")
    opened = {}
    for store in ("logits", "confidence"):
        with PredictionsWriter(folder / store, CLASSES, False, store) as writer:
            for stem in STEMS:
                writer.put_logits(stem, logits_of(stem), *SIZE)
        opened[store] = Predictions(folder / store / "predictions.h5")
    yield {store: StoredScores(predictions) for store, predictions in opened.items()}
    for predictions in opened.values():
        predictions.__exit__()


def label(scores, out, **settings):
    document = pseudolabel(scores, SPACE, Pseudolabel(**settings), out)
    return document, np.stack([read_label_ids(out / "labels" / f"{stem}.png", "trainids") for stem in STEMS])


@pytest.mark.parametrize("p", [0.2, 0.5])
@pytest.mark.parametrize("policy", ["st", "cbst", "percentile", "iast"])
def test_thresholds_and_labels_of_confidences_are_within_the_stated_bounds(stores, tmp_path, policy, p):
    exact, labels_NHW = label(stores["logits"], tmp_path / "logits", policy=policy, p=p)
    stored, others_NHW = label(stores["confidence"], tmp_path / "confidence", policy=policy, p=p)
    assert np.abs(np.subtract(exact.threshold, stored.threshold)).max() <= BOUNDS["threshold"]
    assert (labels_NHW != others_NHW).mean() <= BOUNDS["labels"]
    both = (labels_NHW != IGNORE) & (others_NHW != IGNORE)
    assert (labels_NHW != others_NHW)[both].mean() <= 1e-3
    assert sum(stored.kept) == pytest.approx(sum(exact.kept), rel=0.02)


def test_a_policy_with_a_prior_refuses_confidences(stores, tmp_path):
    prior = Prior(np.ones((4, 2, 2), np.float32), CLASSES)
    with pytest.raises(UdasegError, match="policy cbst-sp weighs the probabilities of all classes") as error:
        pseudolabel(stores["confidence"], SPACE, Pseudolabel(policy="cbst-sp"), tmp_path, prior=prior)
    assert error.value.hint.endswith("udaseg predict --store logits")


def test_only_policies_in_which_another_class_could_win_are_warned_of(stores, tmp_path):
    low, _ = label(stores["confidence"], tmp_path / "low", policy="cbst", p=1.0, p_max=1.0)
    assert min(low.threshold) <= 0.5
    [warning] = one_class_warnings(low)
    assert "could win where another class is more likely" in warning
    assert one_class_warnings(low.model_copy(update={"policy": "percentile"})) == []
    high, _ = label(stores["confidence"], tmp_path / "high", policy="cbst", p=0.2)
    assert one_class_warnings(high) == []


def image(seed):
    random = np.random.default_rng(seed)
    return random.integers(0, 4, (9, 11), np.uint8), random.random((9, 11), np.float32)


def whole_histogram():
    histogram = ConfidenceHistogram(4)
    for seed in range(len(STEMS)):
        histogram.add(*image(seed))
    return histogram


def count(counted, stems):
    for stem in stems:
        counted.histogram.add(*image(STEMS.index(stem)))
        counted.note(stem)


def test_what_several_processes_have_counted_is_continued_by_one(tmp_path, monkeypatch):
    """Three were stopped, and one of their files is left over from a stop while they were added up."""
    monkeypatch.setattr(counted_images, "SECONDS", -1.0)
    for rank, stems in enumerate((["a", "d"], ["b"], ["c"])):
        monkeypatch.setattr(processes, "rank", lambda rank=rank: rank)
        count(CountedImages(tmp_path / str(rank), STEMS, 4), stems)
    monkeypatch.setattr(processes, "rank", lambda: 0)
    folder = tmp_path / "counted"
    folder.mkdir()
    for rank in (1, 2):
        (tmp_path / str(rank) / f"{rank}.h5").rename(folder / f"{rank}.h5")
    (tmp_path / "0" / "0.h5").rename(folder / "0.h5")
    leftover = (folder / "2.h5").read_bytes()
    assert CountedImages(folder, STEMS, 4).missing() == ["e", "f"]
    assert [path.name for path in folder.iterdir()] == ["0.h5"]
    (folder / "2.h5").write_bytes(leftover)
    counted = CountedImages(folder, STEMS, 4)
    assert counted.missing() == ["e", "f"]
    count(counted, ["e", "f"])
    histogram, whole = counted.finish(), whole_histogram()
    np.testing.assert_array_equal(histogram.counts, whole.counts)
    np.testing.assert_array_equal(histogram.predicted, whole.predicted)
    assert CountedImages(folder, STEMS, 4).missing() == []


def test_a_damaged_file_of_counts_names_the_way_out(tmp_path):
    count(counted := CountedImages(tmp_path, STEMS, 4), ["a"])
    counted.finish()
    path = tmp_path / "0.h5"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UdasegError, match="cannot read counted confidences") as error:
        CountedImages(tmp_path, STEMS, 4)
    assert error.value.hint.endswith("udaseg pseudolabel --force")


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "create", None)
    count(counted := CountedImages(None, STEMS, 4), STEMS)
    np.testing.assert_array_equal(counted.finish().counts, whole_histogram().counts)
