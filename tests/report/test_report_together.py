"""Runs side by side, and runs read against the bounds of others."""

import re

import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.report import collect, render, write


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("<body>") :])).replace("&nbsp;", " ")


def test_the_bounds_may_be_other_runs(fake_run):
    run = fake_run("mine", classes=("road", "sky"))
    run.evaluate("evaluate", [0.4, 0.5])
    low, high = fake_run("low", classes=("road", "sky")), fake_run("high", classes=("road", "sky"))
    low.evaluate("evaluate-warmup", [0.2, 0.3], panels=0)
    high.evaluate("evaluate-warmup", [0.6, 0.7], panels=0)
    data = collect(run.root, bounds={"source": low.root, "oracle": high.root / "evaluate-warmup"})
    text = plain(render(data))
    assert "20.0 points above source-only, which closes 50 % of the gap" in text
    assert "road 50.0 20.0 40.0 +20.0 60.0" in text
    assert f"{low.root / 'evaluate-warmup'} 25.0" in text  # where it was scored


def test_a_bound_without_an_evaluation_is_refused(fake_run):
    run, other = fake_run("mine").whole(), fake_run("other")
    other.training("warmup")
    with pytest.raises(UdasegError, match="other has no finished evaluation"):
        collect(run.root, bounds={"oracle": other.root})


def test_pictures_on_which_runs_disagree_stand_side_by_side(fake_run, tmp_path):
    runs = [fake_run(name, classes=("road", "sky")) for name in ("a", "b", "c")]
    for number, run in enumerate(runs):
        folder = run.evaluate("evaluate", [0.5, 0.6], panels=0)
        for i in range(3):
            label = np.zeros((4, 10), int)
            label[:, : i * number] = 1  # the runs differ on 0, 2 and 4 columns of ten
            run.save(folder / f"panels/{i}-image.png", np.zeros((4, 10, 3), np.uint8))
            run.save(folder / f"panels/{i}-prediction.png", run.palette[label])
    only = runs[0].root / "evaluate/panels"
    runs[0].save(only / "9-prediction.png", runs[0].palette[np.ones((4, 10), int)])  # that no other run has
    text = plain(write([run.root for run in runs], tmp_path / "page.html").read_text())
    part = text.partition("Where the runs disagree")[2].partition("no evaluation")[0]
    shares = re.findall(r"(\w+): not all agree on (\d+) % of the pixels", part)
    assert shares == [("2", "40"), ("1", "20"), ("0", "0")]
    assert "image a b c" in part


def test_every_class_is_drawn_with_its_spread_over_seeds(fake_run):
    runs = [fake_run(f"seed{s}", seed=s).whole(0.2, 0.3 + s / 10) for s in range(3)]
    html = render([collect(run.root) for run in runs])
    chart = re.search(r'<svg[^>]*aria-label="IoU of every class in every run.*?</svg>', html)[0]
    assert "<title>bicycle: 58.0 ± 10.0</title>" in chart
    assert chart.count("<circle") == chart.count('class="whisker') == 19
    assert re.findall(r'text-anchor="end">([^<]+)<', chart)[0] == "bicycle"  # the best first
    assert "its mean over seeds" in html


def test_runs_of_other_classes_have_no_chart_together(fake_run):
    runs = [fake_run("a").whole(), fake_run("b", classes=("road", "sky")).whole()]
    html = render([collect(run.root) for run in runs])
    assert "IoU of every class in every run" not in html
    assert "2 runs side by side" in html


def test_the_same_seed_twice_is_no_further_seed(fake_run):
    runs = [fake_run(name, seed=4).whole(0.2, 0.3).root for name in ("a", "b")]
    text = plain(render([collect(run) for run in runs]))
    assert "±" not in text


def test_seeds_have_a_mean_without_source_only_scores_and_with_a_stage_beside_the_rest(fake_run):
    runs = [fake_run(f"seed{s}", classes=("road", "sky"), seed=s) for s in range(2)]
    for s, run in enumerate(runs):
        run.training("retrain")
        run.evaluate("evaluate", [0.4 + s / 10, 0.5 + s / 10], panels=0)
        run.stage("evaluate", model="runs/demo/retrain/model.pt")
    runs[0].stage("prototypes", {"features": 256}, model="runs/demo/retrain/model.pt")
    text = plain(render([collect(run.root) for run in runs]))
    assert "mean ± sd of 2 seeds – 50.0 ± 7.1 –" in text
