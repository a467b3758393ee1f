"""The policies end to end: predictions in, labels and thresholds.json out."""

import json

import numpy as np
import pytest

from udaseg.config import Iast, Pseudolabel
from udaseg.data.images.read import read_train_ids
from udaseg.errors import UdasegError
from udaseg.inference.confidence import label_and_confidence
from udaseg.inference.predictions import Predictions, PredictionsWriter
from udaseg.io.documents.thresholds import Thresholds
from udaseg.labels import class_space
from udaseg.pseudo.collapse import collapse_warnings
from udaseg.pseudo.label import pseudolabel
from udaseg.pseudo.label_files import read_thresholds
from udaseg.pseudo.policies import cbst_sp
from udaseg.pseudo.scores import StoredScores
from udaseg.statistics.spatial_prior import Prior

CLASSES = ("road", "car", "sky", "train")
SPACE = class_space(list(CLASSES))
STEMS = ("a", "b", "c")
SIZE = (32, 48)


def logits_of(stem):
    # The train is never the most likely class.
    logits_CHW = np.random.default_rng(ord(stem)).normal(size=(4, 4, 6)) * 2 + [[[1]], [[0]], [[0.5]], [[-9]]]
    return logits_CHW.astype(np.float16)


@pytest.fixture
def predictions(tmp_path):
    with PredictionsWriter(tmp_path, CLASSES, False) as writer:
        for stem in STEMS:
            writer.put(stem, logits_of(stem), *SIZE)
    with Predictions(tmp_path / "predictions.h5") as opened:
        yield opened


def run(predictions, out, prior=None, round=1, **settings):
    document = pseudolabel(StoredScores(predictions), SPACE, Pseudolabel(**settings), out, prior=prior, round=round)
    assert json.loads((out / "thresholds.json").read_text()) == document.content()
    labels = {stem: read_train_ids(out / "labels" / f"{stem}.png", SPACE) for stem in STEMS}
    counts = sum(np.bincount(label.reshape(-1), minlength=256) for label in labels.values())
    assert counts[:4].tolist() == document.kept
    return document, labels


def flat(value=1.0, size=(4, 6)):
    return np.full((4, *size), value, np.float32)


def assert_same(one, other):
    for stem in STEMS:
        np.testing.assert_array_equal(one[stem], other[stem])


@pytest.mark.parametrize("policy", ["st", "cbst"])
@pytest.mark.parametrize("p", [0.2, 0.9])
@pytest.mark.parametrize("value", [1.0, 0.03, 40.0])
def test_a_constant_prior_gives_the_labels_of_the_policy_without_it(predictions, tmp_path, policy, p, value):
    plain, labels = run(predictions, tmp_path / "plain", policy=policy, p=p, p_max=1)
    prior = Prior(flat(value), CLASSES)
    spatial, same = run(predictions, tmp_path / "sp", prior, policy=f"{policy}-sp", p=p, p_max=1)
    assert_same(labels, same)
    assert (spatial.threshold, spatial.predicted, spatial.kept) == (plain.threshold, plain.predicted, plain.kept)
    assert spatial.prior_peak == pytest.approx([value] * 4)


def test_the_scale_of_a_prior_does_not_matter(predictions, tmp_path):
    maps = np.random.default_rng(0).random((4, 5, 7), np.float32)
    one, labels = run(predictions, tmp_path / "1", Prior(maps, CLASSES), policy="cbst-sp")
    # Norms by the sum have values around 5e-7: nothing may be lost.
    other, same = run(predictions, tmp_path / "2", Prior(maps * np.float32(2**-21), CLASSES), policy="cbst-sp")
    assert_same(labels, same)
    assert one.threshold == other.threshold


def test_labels_of_a_class_stay_where_its_prior_is(predictions, tmp_path):
    maps = flat(size=(8, 12))
    maps[1] = 0
    maps[1, 0, 0] = 1
    _, labels = run(predictions, tmp_path / "sp", Prior(maps, CLASSES), policy="cbst-sp", p=1.0)
    for label in labels.values():
        rows, columns = np.nonzero(label == 1)
        assert (rows < 6).all()
        assert (columns < 6).all()


def test_a_class_that_the_source_does_not_have_is_never_chosen(predictions, tmp_path):
    maps = flat()
    maps[0] = 0
    document, labels = run(predictions, tmp_path / "sp", Prior(maps, CLASSES), policy="cbst-sp", p=1.0)
    assert (document.predicted[0], document.kept[0], document.threshold[0]) == (0, 0, 1.0)
    assert not any((label == 0).any() for label in labels.values())


def test_thresholds_of_cbst_sp_are_order_statistics_however_small_the_prior_of_a_class(predictions, tmp_path):
    maps = np.random.default_rng(1).random((4, 4, 6), np.float32)
    maps[0] *= 2e-3  # and there is no other class in the upper half
    maps[1:, :2] = 0
    document, _ = run(predictions, tmp_path / "sp", Prior(maps, CLASSES), policy="cbst-sp", p=0.3)
    peaks = maps.max((1, 2))
    relative_CHW = maps / peaks[:, None, None]
    pixels = [
        cbst_sp.label_and_confidence(predictions.logits(stem), *SIZE, False, relative_CHW, peaks / peaks.max())
        for stem in STEMS
    ]
    labels, confidences = (np.concatenate([part.reshape(-1) for part in parts]) for parts in zip(*pixels, strict=True))
    assert document.predicted == np.bincount(labels, minlength=256)[:4].tolist()
    for c in (0, 1, 2):
        own = np.sort(confidences[labels == c])[::-1]
        assert len(own) > 10
        exact = own[int(0.3 * len(own)) - 1]
        assert exact - 2**-16 <= document.threshold[c] <= exact


def test_st_sp_has_one_threshold_over_prior_times_probability(predictions, tmp_path):
    maps = np.random.default_rng(1).random((4, 4, 6), np.float32)
    maps[0] *= 0.1
    document, labels = run(predictions, tmp_path / "sp", Prior(maps, CLASSES), policy="st-sp", p=0.3)
    ones = np.ones(4, np.float32)
    pixels = [cbst_sp.label_and_confidence(predictions.logits(stem), *SIZE, False, maps / maps.max(), ones)
              for stem in STEMS]  # fmt: skip
    everything = np.sort(np.concatenate([value.reshape(-1) for _, value in pixels]))[::-1]
    exact = everything[int(0.3 * everything.size) - 1]
    (threshold,) = set(document.threshold)
    assert exact - 2**-16 <= threshold <= exact
    for stem, (label, value) in zip(STEMS, pixels, strict=True):
        np.testing.assert_array_equal(labels[stem], np.where(value >= np.float32(threshold), label, 255))


@pytest.mark.parametrize("policy", ["st-sp", "cbst-sp"])
def test_a_policy_with_a_prior_needs_it(predictions, tmp_path, policy):
    with pytest.raises(UdasegError, match=f"policy {policy} needs a spatial prior") as caught:
        run(predictions, tmp_path / "sp", policy=policy)
    assert "udaseg prior" in caught.value.hint


def test_the_share_grows_with_the_round(predictions, tmp_path):
    rounds = [run(predictions, tmp_path / str(k), round=k, p_step=0.1, p_max=0.35)[0] for k in (1, 2, 3, 4)]
    assert [document.p for document in rounds] == [0.2, 0.3, 0.35, 0.35]
    assert [document.round for document in rounds] == [1, 2, 3, 4]
    kept = [sum(document.kept) for document in rounds]
    assert kept[0] < kept[1] < kept[2] == kept[3]


def test_a_stride_estimates_from_fewer_pixels(predictions, tmp_path):
    one, _ = run(predictions, tmp_path / "1")
    four, _ = run(predictions, tmp_path / "4", stride=4)
    assert (one.stride, four.stride) == (1, 4)
    assert one.predicted == four.predicted
    assert one.threshold != four.threshold
    assert one.threshold[:3] == pytest.approx(four.threshold[:3], abs=0.05)


def test_percentiles_are_those_of_fda(predictions, tmp_path):
    document, labels = run(predictions, tmp_path / "percentile", policy="percentile", p=0.34, cap=0.7)
    pixels = {stem: label_and_confidence(predictions.logits(stem), *SIZE, False) for stem in STEMS}
    label, confidence = (np.concatenate([pair[i].reshape(-1) for pair in pixels.values()]) for i in (0, 1))
    for c, threshold in enumerate(document.threshold[:3]):
        own = np.sort(confidence[label == c])
        assert len(own) > 10
        at_66 = own[round(0.66 * len(own))]  # ranks of 0.66 n and of 0.34 n may be a pixel apart
        assert threshold == pytest.approx(min(at_66, 0.7), abs=0.02)
    assert 0.7 in np.round(document.threshold[:3], 6)  # the cap counts for a class, and not for all
    assert min(document.threshold) < 0.7
    assert document.threshold[3] == pytest.approx(0.7)
    assert document.cap == 0.7
    for stem, (label_HW, confidence_HW) in pixels.items():
        least = np.append(np.float32(document.threshold), np.full(252, np.inf, np.float32))
        np.testing.assert_array_equal(labels[stem], np.where(confidence_HW >= least[label_HW], label_HW, 255))


def iast_by_hand(predictions, settings):
    """Follow the images one by one on plain lists."""
    theta, labels = np.full(4, settings.start), {}
    for stem in sorted(STEMS):
        label, confidence = label_and_confidence(predictions.logits(stem), *SIZE, False)
        for c in range(4):
            share = 1 - settings.alpha * theta[c] ** settings.gamma
            own = np.percentile([theta[c], *confidence[label == c].tolist()], 100 * share)
            theta[c] = min(settings.beta * theta[c] + (1 - settings.beta) * own, 0.999)
        labels[stem] = np.where(confidence >= theta[label].astype(np.float32), label, 255)
    return theta, labels


def test_iast_follows_the_pictures_by_name(predictions, tmp_path):
    settings = Iast(alpha=0.4, beta=0.5)
    document, labels = run(predictions, tmp_path / "iast", policy="iast", iast=settings)
    theta, expected = iast_by_hand(predictions, settings)
    assert_same(labels, expected)
    assert document.threshold == pytest.approx(theta.tolist())
    assert document.iast == {"start": 0.9, "alpha": 0.4, "beta": 0.5, "gamma": 8.0}
    assert document.p is None
    assert sum(document.predicted) == 3 * SIZE[0] * SIZE[1]


@pytest.mark.parametrize("policy", ["st", "st-sp", "cbst", "cbst-sp", "percentile", "iast"])
def test_goes_on_after_a_stop_to_the_same_bytes(predictions, tmp_path, policy):
    maps, out, seen = np.random.default_rng(2).random((4, 5, 5), np.float32), tmp_path / "out", []
    settings = Pseudolabel(policy=policy)

    def again():
        seen.clear()
        pseudolabel(
            StoredScores(predictions),
            SPACE,
            settings,
            out,
            prior=Prior(maps, CLASSES),
            progress=lambda *at: seen.append(at),
        )
        return {path.name: path.read_bytes() for path in out.rglob("*.*")}

    whole = again()
    passes = 1 if policy == "iast" else 2
    assert seen == [(done, 3 * passes) for done in range(1, 3 * passes + 1)]
    assert len(whole) == 4
    (out / "labels" / "b.png").unlink()
    (out / "thresholds.json").unlink()
    assert again() == whole


def document(kept, predicted=(9, 9, 9, 9), threshold=(0.9, 0.9, 0.9, 0.9), policy="cbst"):
    values = {"threshold": list(threshold), "predicted": list(predicted), "kept": list(kept)}
    return Thresholds(policy=policy, p=0.2, classes=list(CLASSES), round=1, **values)


def test_watches_for_collapse():
    before = document((5, 6, 0, 1))
    assert collapse_warnings(document((1, 1, 1, 1)), before) == []
    assert collapse_warnings(document((1, 0, 0, 1))) == []
    (vanished,) = collapse_warnings(document((5, 0, 0, 1)), before)
    assert vanished == "car has vanished: 6 pixels were labelled in the round before, none now"
    never, gone = collapse_warnings(document((5, 0, 0, 1), predicted=(9, 0, 9, 9)), before)
    assert never.startswith("car is never predicted")
    assert gone.startswith("car has vanished")
    (chance,) = collapse_warnings(document((1, 1, 1, 1), threshold=(0.9, 0.9, 0.2, 0.9)), before)
    assert chance == "sky: the threshold 0.200 is below chance, 1/4"
    assert collapse_warnings(document((1, 1, 1, 1), threshold=(0.9, 0.9, 0.2, 0.9), policy="cbst-sp")) == []


def test_thresholds_are_read_back_and_others_refused(predictions, tmp_path):
    written, _ = run(predictions, tmp_path / "out")
    path = tmp_path / "out" / "thresholds.json"
    assert read_thresholds(path, CLASSES) == written
    with pytest.raises(UdasegError, match="expected thresholds of road, car"):
        read_thresholds(path, ("road", "car"))
    path.write_text(json.dumps(written.content() | {"kept": [1, 2, "x", 3]}))
    with pytest.raises(UdasegError, match=r"kept\.2 should be a valid integer, found 'x'"):
        read_thresholds(path, CLASSES)
    with pytest.raises(UdasegError, match="does not exist"):
        read_thresholds(tmp_path / "no.json", CLASSES)
