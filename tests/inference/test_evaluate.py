"""Evaluation and prediction at several scales: averaged where and how it was asked for."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch.nn.functional import interpolate

from udaseg import models
from udaseg.config import Evaluate, Model, Predict
from udaseg.data.image_sets import View
from udaseg.inference.evaluate import evaluate, evaluate_predictions
from udaseg.inference.last_models import earlier_models
from udaseg.inference.predict import predict
from udaseg.inference.predictions import Predictions
from udaseg.inference.runner import Runner
from udaseg.io.documents.metrics import Metrics
from udaseg.io.documents.read import read_document
from udaseg.labels import class_space
from udaseg.metrics import DEPTH_ERRORS, DepthErrors, confusion
from udaseg.models import checkpoint

SPACE = class_space(["road", "car", "sky"])
NETWORK = Model(name="fpn", backbone="resnet18", weights="none")


@dataclass(frozen=True)
class Record:
    stem: str


@dataclass(frozen=True)
class ImageList:
    records: tuple[Record, ...] = tuple(Record(stem) for stem in "abc")
    space = SPACE
    has_depth = False

    def __len__(self):
        return 3

    def image(self, i):
        return np.random.default_rng(i).integers(0, 255, (64, 96, 3), np.uint8)

    def full_label(self, i):
        return np.random.default_rng(10 + i).integers(0, 3, (64, 96)).astype(np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.manual_seed(0)
    checkpoint.save(path, models.construct(NETWORK, 3), NETWORK, SPACE.classes)
    return path


def full_size(runner, i, settings):
    """Average the views of an image at the size of its label, by the book."""
    total = torch.zeros(1, 3, 64, 96)
    for scale in settings.scales:
        size = (round(64 * scale), round(96 * scale))
        for mirrored in (False, True)[: 1 + settings.flip]:
            image = ImageList().image(i)[:, ::-1] if mirrored else ImageList().image(i)
            logits = runner.infer([np.ascontiguousarray(image)], size).logits
            logits = logits.flip(-1) if mirrored else logits
            full = interpolate(logits, size=(64, 96), mode="bilinear", align_corners=runner.model.align_corners)
            total += full.softmax(1) if settings.average == "probs" else full
    return total[0]


@pytest.mark.parametrize("average", ["logits", "probs"])
def test_evaluation_averages_at_the_size_of_the_labels(model, tmp_path, average):
    settings = Evaluate(scales=(0.75, 1.0, 1.25), flip=True, average=average, batch=2, precision="fp32")
    metrics, _ = evaluate(model, View(ImageList()), settings, tmp_path)
    runner, counts = Runner(model, SPACE.classes, "fp32"), np.zeros((3, 3), np.int64)
    for i in range(3):
        predicted = full_size(runner, i, settings).argmax(0).to(torch.uint8).numpy()
        confusion(ImageList().full_label(i), predicted, 3, out=counts)
    # Batches of other sizes round otherwise: a pixel or two on an edge may fall to the other side.
    assert np.abs(np.array(metrics["confusion"]) - counts).sum() <= 6
    assert counts.sum() == 3 * 64 * 96


def test_the_last_models_are_scored_beside_the_last_one(model, tmp_path):
    (tmp_path / "last").mkdir()
    for i, path in enumerate((tmp_path / "last/0000100.pt", tmp_path / "last/0000200.pt", tmp_path / "model.pt")):
        torch.manual_seed(i)
        checkpoint.save(path, models.construct(NETWORK, 3), NETWORK, SPACE.classes)
    earlier, settings = earlier_models(tmp_path / "model.pt"), Evaluate(precision="fp32")
    metrics, _ = evaluate(tmp_path / "model.pt", View(ImageList()), settings, tmp_path / "1", earlier=earlier)
    alone = [evaluate(path, View(ImageList()), settings, None)[0]["miou"] for path in (*earlier, tmp_path / "model.pt")]
    assert metrics["last"]["miou"] == alone
    assert len(set(alone)) == 3
    assert metrics["last"]["mean"] == pytest.approx(np.mean(alone))
    assert metrics["last"]["deviation"] == pytest.approx(np.std(alone, ddof=1))
    assert read_document(tmp_path / "1" / "metrics.json", Metrics).last.miou == alone
    assert earlier_models(earlier[0]) == []
    low, high = metrics["miou_interval"]
    assert low <= metrics["miou"] <= high


@pytest.mark.parametrize(("pad", "size"), [(False, (20, 40)), (True, (20, 30))])
def test_labels_are_resized_before_they_are_counted(model, tmp_path, pad, size):
    settings = Evaluate(precision="fp32", gt_size=(20, 40))
    metrics, _ = evaluate(model, View(ImageList(), pad=pad, size=(64, 96)), settings, tmp_path / "model")
    predict(model, SPACE, View(ImageList()), Predict(precision="fp32"), tmp_path)
    stored = evaluate_predictions(
        tmp_path / "predictions.h5",
        View(ImageList(), (20, 40), pad),
        "logits",
        tmp_path / "stored",
        warn=pytest.fail,
        hint="",
    )
    runner, counts = Runner(model, SPACE.classes, "fp32"), np.zeros((3, 3), np.int64)
    for i in range(3):
        label = np.asarray(Pillow.fromarray(ImageList().full_label(i)).resize(size[::-1], Pillow.Resampling.NEAREST))
        logits = runner.infer([ImageList().image(i)], (64, 96)).logits
        full = interpolate(logits, size=size, mode="bilinear", align_corners=runner.model.align_corners)
        confusion(label, full[0].argmax(0).to(torch.uint8).numpy(), 3, out=counts)
    assert counts.sum() == 3 * size[0] * size[1]
    for found in (metrics, stored):  # the stored logits are rounded to half precision
        assert np.abs(np.array(found["confusion"]) - counts).sum() <= 6
        assert found["gt_size"] == [20, 40]
        assert found["convention"].endswith("; labels are resized to 20x40")
    assert json.loads((tmp_path / "model" / "metrics.json").read_text()) == metrics


def test_one_view_and_its_double_give_the_same_scores(model, tmp_path):
    once, _ = evaluate(model, View(ImageList()), Evaluate(precision="fp32"), tmp_path / "1")
    twice, _ = evaluate(model, View(ImageList()), Evaluate(precision="fp32", scales=(1.0, 1.0)), tmp_path / "2")
    assert np.abs(np.array(once["confusion"]) - twice["confusion"]).sum() <= 6


@pytest.mark.parametrize("average", ["logits", "probs"])
def test_predictions_hold_the_average_at_the_stride(model, tmp_path, average):
    settings = Predict(scales=(0.75, 1.0), flip=True, average=average, precision="fp32")
    predict(model, SPACE, View(ImageList()), settings, tmp_path)
    runner = Runner(model, SPACE.classes, "fp32")
    with Predictions(tmp_path / "predictions.h5") as predictions:
        assert predictions.size("b") == (64, 96)
        expected = runner.average_logits([ImageList().image(1)], None, settings)[0].half().numpy()
        np.testing.assert_array_equal(predictions.logits("b"), expected)
        if average == "probs":
            np.testing.assert_allclose(np.exp(predictions.logits("b").astype(np.float32)).sum(0), 1, rtol=5e-3)


class Deep(ImageList):
    has_depth = True

    def depth(self, i):
        return np.random.default_rng(20 + i).integers(50, 9000, (64, 96)).astype(np.uint16)


@pytest.fixture(scope="module")
def headed(tmp_path_factory):
    path, settings = tmp_path_factory.mktemp("headed") / "model.pt", NETWORK.model_copy(update={"heads": ("depth",)})
    torch.manual_seed(0)
    network = models.construct(settings, 3)
    with torch.no_grad():
        network.heads["depth"][4].bias.fill_(65.0)
    checkpoint.save(path, network, settings, SPACE.classes)
    return path


def test_depth_is_evaluated_at_full_size(model, headed, tmp_path):
    settings = Evaluate(precision="fp32", flip=True, batch=2)
    metrics, _ = evaluate(headed, View(Deep()), settings, tmp_path / "1")
    runner = Runner(headed, SPACE.classes, "fp32", heads=("depth",))
    expected = DepthErrors()
    for i in range(3):
        image = ImageList().image(i)
        maps = [runner.infer([np.ascontiguousarray(one)], None).depth for one in (image, image[:, ::-1])]
        full = [interpolate(one, size=(64, 96), mode="bilinear", align_corners=False) for one in maps]
        inverse = ((full[0] + full[1].flip(-1)) / 2)[0, 0].numpy()
        expected.add(Deep().depth(i) / 100, (65536 / inverse - 1) / 100)
    found, expected = metrics["depth"], expected.document()
    assert 0 < found["pixels"] == expected["pixels"] < 3 * 64 * 96
    assert all(found[name] == pytest.approx(expected[name], rel=1e-3) for name in DEPTH_ERRORS)
    assert 5 < found["rms"] < 80
    assert "depth" not in evaluate(headed, View(ImageList()), settings, tmp_path / "2")[0]
    assert "depth" not in evaluate(model, View(Deep()), settings, tmp_path / "3")[0]


def test_heads_are_run_where_they_are_asked_for(headed):
    image = [ImageList().image(0)]
    assert Runner(headed, SPACE.classes, "fp32").infer(image, None).depth is None
    assert Runner(headed, SPACE.classes, "fp32", heads=("depth", "density")).infer(image, None).depth is not None
