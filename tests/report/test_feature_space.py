"""The sample of features: the same cells in both networks, of true labels or predicted ones; what the page says."""

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from udaseg import models
from udaseg.config import Evaluate, Model
from udaseg.data.augment import resize_label
from udaseg.data.image_sets import View
from udaseg.errors import UdasegError
from udaseg.inference.runner import Runner
from udaseg.labels import class_space
from udaseg.models import checkpoint
from udaseg.report import collect, render
from udaseg.report.feature_pass import Domain, see_domain
from udaseg.report.feature_space import feature_space

SPACE = class_space(["road", "car", "sky"])
NETWORK = Model(encoder="test_efficientnet", decoder="fpn", width=16, weights="none", color="rgb-imagenet")
SETTINGS = Evaluate(batch=2, precision="fp32")
PIXELS = 60  # of each domain in these tests: t-SNE takes as long as there are pixels


@pytest.fixture(autouse=True)
def _few_pixels(monkeypatch):
    monkeypatch.setattr("udaseg.report.feature_space.PIXELS", PIXELS)


@dataclass(frozen=True)
class Record:
    stem: str


@dataclass(frozen=True)
class Images:
    records: tuple[Record, ...] = tuple(Record(stem) for stem in "abcdef")
    first: int = 0
    ignored: bool = False
    root = Path("images")
    split = "val"

    def __len__(self):
        return len(self.records)

    def choose(self, stems):
        return replace(self, records=tuple(one for one in self.records if one.stem in stems))

    def image(self, i):
        return np.random.default_rng(self._seed(i)).integers(0, 255, (32, 64, 3), np.uint8)

    def label(self, i):
        label_HW = np.random.default_rng(self._seed(i)).integers(0, 3, (4, 8)).repeat(8, 0).repeat(8, 1)
        return np.where(self.ignored, 255, label_HW).astype(np.uint8)

    def _seed(self, i):
        return self.first + ord(self.records[i].stem)


def domain(first=0, is_labelled=True, ignored=False):
    return Domain((View(Images(first=first, ignored=ignored), (32, 64)),), is_labelled)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    folder, both = tmp_path_factory.mktemp("models"), []
    for seed, name in enumerate(("warmup", "retrain")):
        torch.manual_seed(seed)
        checkpoint.save(folder / f"{name}.pt", models.construct(NETWORK, 3), NETWORK, SPACE.classes)
        both.append((name, folder / f"{name}.pt"))
    return both


def test_images_are_taken_at_even_distances_and_from_all_views():
    several = Domain((*domain().views, *domain(first=9).views), True)
    assert [[one.stem for one in view.images.records] for view in several.sample(3).views] == [["b", "e"], ["d"]]
    assert several.sample(1).images == 1
    assert several.sample(100).images == 12


def test_cells_have_the_labels_and_the_features_of_their_place(networks):
    runner, sample, counted = Runner(networks[0][1], SPACE.classes, "fp32"), [], []
    seen = see_domain(runner, domain(), sample, SETTINGS, np.random.default_rng(0), counted.append)
    assert counted == [2, 2, 2]
    assert all(one.predicted is None for one in sample)  # no true label is kept
    start = 0
    for i, one in enumerate(sample):
        # The batch is the one of the pass: in another, the last bits differ.
        pair = [Images().image(j) for j in (i - i % 2, i - i % 2 + 1)]
        features_DHW = runner.infer(pair, (32, 64)).features[i % 2].numpy()
        rows, columns = one.cells(features_DHW.shape[1:])
        np.testing.assert_array_equal(seen.features[start : start + len(rows)], features_DHW[:, rows, columns].T)
        label_HW = resize_label(Images().label(i), features_DHW.shape[1:])
        np.testing.assert_array_equal(label_HW[rows, columns], one.classes)
        assert len({*zip(rows.tolist(), columns.tolist(), strict=True)}) == len(rows)
        start += len(rows)
    assert start == len(seen.features)


def test_both_networks_see_the_same_pixels_and_no_more_of_a_class_than_of_another(networks):
    space = feature_space(networks, domain(), domain(50), SPACE.classes, SETTINGS)
    assert [one.name for one in space.networks] == ["warmup", "retrain"]
    assert len(space.label) == len(space.is_target) == len(space.networks[0].pca.points)
    for is_target in (False, True):
        counts = np.bincount(space.label[space.is_target == is_target], minlength=3)
        assert counts.max() <= PIXELS // 3
        assert counts.min() > 0
    alone = feature_space(networks[1:], domain(), domain(50), SPACE.classes, SETTINGS)
    np.testing.assert_array_equal(alone.label, space.label)
    np.testing.assert_array_equal(alone.networks[0].tsne.points, space.networks[1].tsne.points)


def test_without_labels_the_target_has_the_classes_that_the_final_network_predicts(networks):
    space = feature_space(networks, domain(), domain(50, is_labelled=False), SPACE.classes, SETTINGS)
    assert not space.has_target_labels
    assert all(one.reliability is None for one in space.networks)
    predicted = set()
    runner = Runner(networks[1][1], SPACE.classes, "fp32")
    for i in range(6):
        predicted |= set(runner.infer([Images(first=50).image(i)], (32, 64)).logits[0].argmax(0).unique().tolist())
    assert set(space.label[space.is_target].tolist()) <= predicted


def test_progress_reaches_its_total(networks):
    steps = []
    feature_space(networks, domain(), domain(50), SPACE.classes, SETTINGS, lambda *step: steps.append(step))
    assert steps[-1] == (28, 28)
    assert [done for done, _ in steps] == sorted({done for done, _ in steps})


def test_images_without_any_label_are_refused(networks):
    with pytest.raises(UdasegError, match="none of the 6 images of images that were sampled has a label"):
        feature_space(networks, domain(ignored=True), domain(), SPACE.classes, SETTINGS)


def test_networks_of_other_classes_are_refused(networks):
    with pytest.raises(UdasegError, match="classes"):
        feature_space(networks, domain(), domain(), ("road", "car"), SETTINGS)


def test_the_page_draws_every_pixel_once_in_each_map_and_says_whose_labels_these_are(networks, fake_run):
    run = fake_run(classes=SPACE.classes).whole()
    data = collect(run.root)
    space = feature_space(networks, domain(), domain(50), SPACE.classes, SETTINGS)
    html = render(replace(data, features=space))
    assert html == render(replace(data, features=space))
    charts = re.findall(r'<svg[^>]*aria-label="(?:PCA|t-SNE) of the features in \w+".*?</svg>', html)
    assert len(charts) == 4
    for chart in charts:
        paths = re.findall(r'<path d="([^"]+)" class="(\w+)"', chart)
        marks = {style: sum(path.count("M") for path, one in paths if one == style) for style in ("cross", "dot")}
        assert marks == {"cross": (~space.is_target).sum(), "dot": space.is_target.sum()}
        assert chart.count("<title>prototype of") == 6
        places = [float(number) for path, _ in paths for number in re.findall(r"M([\d.-]+) ([\d.-]+)", path)[0]]
        assert all(0 < place < 300 for place in places)
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
    assert "in the target the true ones too" in text
    assert "“Before” is warmup" in text
    assert "warmup, val" in text  # in the table of calibration
    unlabelled = replace(space, has_target_labels=False)
    assert "those that retrain predicts, because no labels are there" in render(replace(data, features=unlabelled))


def test_the_measures_of_several_runs_stand_side_by_side(networks, fake_run):
    runs = [collect(fake_run(name, classes=SPACE.classes).whole().root) for name in ("a", "b", "c")]
    both = feature_space(networks, domain(), domain(50), SPACE.classes, SETTINGS)
    alone = feature_space(networks[:1], domain(), domain(50), SPACE.classes, SETTINGS)
    html = render([replace(runs[0], features=both), replace(runs[1], features=alone), runs[2]])
    head = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("<body") : html.index("<article")]))
    assert "measure a b better" in head
    values = [f"{space.networks[-1].measures.distance:.2f}" for space in (both, alone)]
    assert f"in distances between classes {' '.join(values)} lower" in head
    errors = [f"{100 * space.networks[-1].reliability.error:.1f}" for space in (both, alone)]
    assert f"labelled target images, points {' '.join(errors)} lower" in head


def test_the_page_says_why_there_is_no_map(fake_run):
    data = collect(fake_run().whole().root)
    html = render(replace(data, features="report.images is 0"))
    assert "There is no map of the features: report.images is 0." in html
    assert "Predictions on labelled target images are not judged: report.images is 0." in html


def test_the_networks_are_those_of_the_first_and_the_last_training(fake_run):
    run = fake_run()
    for name in ("warmup", "retrain", "round2/retrain", "distill"):
        (run.training(name) / "model.pt").touch()
        if name == "warmup":
            assert [one for one, _ in collect(run.root).models] == ["warmup"]
        if name == "round2/retrain":
            assert [one for one, _ in collect(run.root).models] == ["warmup", "round2/retrain"]
    assert [one for one, _ in collect(run.root).models] == ["warmup", "distill"]
    (run.root / "distill/model.pt").unlink()
    assert [one for one, _ in collect(run.root).models] == ["warmup", "round2/retrain"]
