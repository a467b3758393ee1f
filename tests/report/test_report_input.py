"""Broken files are refused by name; odd but honest ones are drawn."""

import json
import re

import h5py
import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.pipeline.format import count, duration, number, percent, points, share, size
from udaseg.report import collect, render
from udaseg.report.depth_charts import mean_distance
from udaseg.report.training_curves import curves
from udaseg.statistics.gmm import Gmm


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize(
    ("file", "values", "words"),
    [
        ("evaluate/metrics.json", {"iou": [0.5] * 18}, "iou should have 19 values, found 18"),
        ("evaluate/metrics.json", {"iou": [30.5] * 19}, "iou.0 should be less than or equal to 1, found 30.5"),
        ("evaluate/metrics.json", {"miou": "high"}, "miou should be a valid number, found 'high'"),
        ("evaluate/metrics.json", {"classes": None}, "classes should be a valid list, found None"),
        ("evaluate/metrics.json", {"confusion": [[1] * 18] * 19}, "confusion should have 19 values, found 18"),
        ("pseudolabel/thresholds.json", {"kept": None}, "kept should be a valid list, found None"),
        ("refine/refine.json", {"after": [-1] * 19}, "after.0 should be greater than or equal to 0, found -1"),
    ],
)
def test_results_that_do_not_fit_are_refused_by_file_and_entry(fake_run, file, values, words):
    run = fake_run().whole()
    change(run.root / file, **values)
    with pytest.raises(UdasegError) as caught:
        collect(run.root)
    assert file in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("file", ["warmup/manifest.json", "pseudolabel/thresholds.json", "gmm/gmm.h5"])
def test_files_that_do_not_parse_are_named(fake_run, file):
    run = fake_run().whole()
    (run.root / file).write_text('{"half":')
    with pytest.raises(UdasegError, match=re.escape(file)):
        collect(run.root)


def test_a_finished_stage_without_its_result_is_refused(fake_run):
    run = fake_run().whole()
    (run.root / "evaluate/metrics.json").unlink()
    with pytest.raises(UdasegError, match=r"evaluate has a manifest and no metrics\.json"):
        collect(run.root)


def test_mixtures_whose_arrays_do_not_fit_are_refused(fake_run):
    run = fake_run().whole()
    with h5py.File(run.root / "gmm/gmm.h5", "a") as file:
        del file["means"]
        file["means"] = np.zeros((19, 2, 2))
    with pytest.raises(UdasegError, match=r"gmm\.h5: weights .* expected \[C, K\] and \[C, K, 3\]"):
        collect(run.root)


def test_a_picture_that_cannot_be_read_is_named(fake_run):
    run = fake_run().whole()
    (run.root / "evaluate/panels/town_000000-truth.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(UdasegError, match=r"town_000000-truth\.png"):
        collect(run.root)


def test_evaluations_of_different_classes_are_not_compared(fake_run):
    run = fake_run().whole()
    fake_run(classes=("road", "sky")).evaluate("evaluate-oracle", [0.5, 0.5])
    with pytest.raises(UdasegError, match="score different classes"):
        render(collect(run.root))


def test_a_run_that_is_not_there_and_an_empty_one_are_errors(tmp_path):
    with pytest.raises(UdasegError, match="there is no such directory"):
        collect(tmp_path / "nowhere")
    with pytest.raises(UdasegError, match="holds no stage"):
        collect(tmp_path)


def test_a_log_may_be_cut_only_at_the_end_of_an_unfinished_stage(fake_run):
    run = fake_run()
    folder = run.training("warmup", steps=20)
    with (folder / "log.jsonl").open("a") as log:
        log.write('{"step": 30, "lo')
    with pytest.raises(UdasegError, match=r"warmup/log\.jsonl, line 4"):
        collect(run.root)
    (folder / "manifest.json").unlink()
    assert [record["step"] for record in collect(run.root).stages[0].log] == [0, 10, 20]


def coordinates(chart: str) -> np.ndarray:
    pairs = re.findall(r"([-\d.]+),([-\d.]+)", " ".join(re.findall(r'points="([^"]+)"', chart)))
    return np.array(pairs, float).reshape(-1, 2)


@pytest.mark.parametrize(
    "values",
    [[1.0], [0.0, 0.0], [5.0, 5.0, 5.0], [-2.0, 3.0], [1e-6, 1e6], [2.0, float("nan"), 1.0, 0.9], list(range(1000))],
)
def test_any_losses_stay_inside_their_chart(values):
    log = [{"step": 10 * i, "loss": value} for i, value in enumerate(values)]
    chart = str(curves(log, ["loss"], "a loss"))
    _, _, width, height = (float(v) for v in re.search(r'viewBox="([^"]+)"', chart)[1].split())
    inside = coordinates(chart)
    assert "nan" not in chart
    assert (inside >= 0).all()
    assert (inside <= [width, height]).all()


def test_a_loss_that_is_not_finite_leaves_a_gap_and_a_word(fake_run):
    run = fake_run()
    folder = run.training("warmup")
    values = [3.0, 2.0, None, 1.5, 1.4]
    lines = [json.dumps({"step": i, "loss": value, "lr": 0.1}) for i, value in enumerate(values)]
    lines[2] = lines[2].replace("null", "NaN")
    (folder / "log.jsonl").write_text("\n".join(lines) + "\n")
    html = render(collect(run.root))
    assert "The loss is not finite at step 2." in html
    assert html.count("<polyline") == 2


def test_a_log_of_nothing_finite_is_no_crash(fake_run):
    run = fake_run()
    (run.training("warmup") / "log.jsonl").write_text('{"step": 1, "loss": NaN, "lr": 0.1}\n')
    assert "not finite at step 1" in render(collect(run.root))


def test_the_distance_of_a_mixture_is_in_metres():
    inverse = 65536 / (np.array([[1000.0, 1000.0]]) + 1)  # 10 m, from centimetres
    means = np.concatenate([np.zeros((1, 2, 2)), inverse[..., None]], -1)
    gmm = Gmm(np.array([[0.3, 0.7]]), means, np.ones((1, 2, 3)), ("car",), (12, 24))
    assert mean_distance(gmm, 0) == pytest.approx(10.0)


def test_a_class_without_a_mixture_is_left_out(fake_run):
    run = fake_run(classes=("road", "sky"))
    with h5py.File(run.gmm() / "gmm.h5", "a") as file:
        file["weights"][1], file["means"][1] = 0.0, 0.0
    html = render(collect(run.root))
    assert "where road lies" in html
    assert "where sky lies" not in html


@pytest.mark.parametrize(
    ("printed", "expected"),
    [
        (percent(0.2345), "23.4"),
        (percent(None), "–"),
        (points(-0.0512), "−5.1"),
        (points(0.0001), "0.0"),
        (share(0.0004), "0.04"),
        (share(0.00001), "<0.1"),
        (count(1234567), "1\u202f234\u202f567"),
        (duration(0.84), "0.8 s"),
        (duration(110), "110 s"),
        (duration(7260), "2 h 01 min"),
        (duration(None), "–"),
        (size(44_700_000), "45 MB"),
        (size(999), "999 B"),
        (number(0.123456), "0.1235"),
        (number(-3), "−3"),
        (number(True), "True"),
        (number("cbst"), "cbst"),
    ],
)
def test_numbers_read_as_people_write_them(printed, expected):
    assert printed == expected
