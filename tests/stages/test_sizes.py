"""The size at which each stage sees the target images, and the size at which labels are scored."""

import json
from pathlib import Path

import pytest
from PIL import Image

from udaseg.inference.predictions import Predictions


@pytest.mark.parametrize(
    ("command", "change", "planned"),
    [
        ("predict", "predict.size=[64,128]", "target.size: [32, 64] -> [64, 128]"),
        ("prototypes", "predict.size=[64,128]", "target.size: [32, 64] -> [64, 128]"),
        ("retrain --set retrain.source=none", "retrain.size=[64,128]", "target.size: [32, 64] -> [64, 128]"),
        ("retrain", "predict.size=[64,128]", "retrain: up to date"),
        ("evaluate", "evaluate.gt_size=[32,64]", "evaluate.gt_size: (not set) -> [32, 64]"),
    ],
)
def test_a_size_of_a_stage_is_among_the_settings_of_its_result(workspace, udaseg, command, change, planned):
    assert planned in udaseg(f"{command} --dry-run --set {change}").err


def test_results_from_before_there_were_sizes_of_stages_stay_up_to_date(finished, manifest):
    for stage, absent in (("predict", "size"), ("retrain", "size"), ("evaluate", "gt_size")):
        assert absent not in manifest(finished / "runs" / "tiny" / stage)["settings"][stage]


def test_predictions_of_another_size_make_labels_of_the_size_of_the_images(workspace, udaseg):
    assert udaseg("predict --set predict.size=[64,128] --out large").code == 0
    with (
        Predictions(Path("runs/tiny/predict/predictions.h5")) as small,
        Predictions(Path("large/predictions.h5")) as large,
    ):
        (stem, *_) = small.stems
        shapes = [one.logits(stem).shape[1:] for one in (small, large)]
        assert shapes[1] == (2 * shapes[0][0], 2 * shapes[0][1])
        assert small.size(stem) == large.size(stem) == (64, 128)
    assert udaseg("pseudolabel --predictions large --out labels").code == 0
    with Image.open(f"labels/labels/{stem}.png") as label:
        assert label.size == (128, 64)
    train = "--set retrain.size=[64,128] --set retrain.augment.crop=[32,64] --steps 1 --out student"
    assert udaseg(f"retrain --labels labels {train}").code == 0
    assert (
        "sees the images at 64x128, as the model did in training"
        in udaseg("apply student data/toytown/cityscapes/leftImg8bit/val --out applied", tiny=False).err
    )


def test_evaluate_scores_labels_of_a_size(workspace, udaseg):
    outcome = udaseg("evaluate --gt-size 16x32 --out made")
    assert outcome.code == 0, outcome.err
    assert "labels resized to 16x32" in " ".join(outcome.out.split())
    # The scores before it are of labels of another size.
    assert "runs/tiny/evaluate-warmup has other images, classes or label sizes" in outcome.err
    document = json.loads(Path("made/metrics.json").read_text())
    assert document["gt_size"] == [16, 32]
    assert 0 < sum(map(sum, document["confusion"])) <= 3 * 16 * 32
    assert "--gt-size 16: expected HEIGHTxWIDTH" in udaseg("evaluate --gt-size 16").err
