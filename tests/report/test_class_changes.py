"""What changed class by class: gains first, losses named, and the mistakes behind them."""

import json
import re

import pytest

from udaseg.report import collect, render


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("<body>") :])).replace("−", "-")


@pytest.fixture
def run(fake_run):
    run = fake_run(classes=("road", "car", "sky"))
    run.evaluate("evaluate-warmup", [0.5, 0.4, 0.7])
    run.evaluate("evaluate", [0.55, 0.7, 0.6])
    return run


def chart(html):
    return re.search(r'<svg[^>]*aria-label="change of the IoU.*?</svg>', html)[0]


def test_classes_are_in_the_order_of_their_gain_with_both_scores(run):
    html = render(collect(run.root))
    assert "2 of 3 classes gain, most of all car (+30.0); 1 loses, most of all sky (-10.0)." in plain(html)
    drawn = chart(html)
    assert re.findall(r'text-anchor="end">([a-z]+)<', drawn) == ["car", "road", "sky"]
    assert re.findall(r"([\d.]+ → [\d.]+)", drawn) == ["40.0 → 70.0", "50.0 → 55.0", "70.0 → 60.0"]


def test_bars_start_at_zero_on_the_side_of_their_sign_and_are_as_long_as_the_change(run):
    bars = re.findall(r'<rect width="([\d.]+)" class="(\w+)" x="([\d.]+)"', chart(render(collect(run.root))))
    widths = [float(width) for width, _, _ in bars]
    assert [style for _, style, _ in bars] == ["rise", "rise", "fall"]
    assert widths[0] / widths[1] == pytest.approx(6, rel=0.01)
    assert float(bars[2][2]) + widths[2] == pytest.approx(float(bars[0][2]), abs=0.02)
    assert all(float(x) >= 0 and float(x) + float(width) < 440 for width, _, x in bars)


def test_mistakes_that_changed_are_named_with_their_shares(run):
    text = plain(render(collect(run.root)))
    # The fake runs take what is wrong for the next class.
    assert "became rarer, as a share of the true class: car for sky (60 → 30" in text
    assert "became more frequent, as a share of the true class: sky for road (30 → 40" in text


def test_a_class_that_one_model_lacks_has_no_change(run):
    path = run.root / "evaluate/metrics.json"
    metrics = json.loads(path.read_text())
    path.write_text(json.dumps(metrics | {"iou": [0.55, 0.7, None]}))
    html = render(collect(run.root))
    assert re.findall(r'text-anchor="end">([a-z]+)<', chart(html)) == ["car", "road"]
    assert "2 of 2 classes gain" in plain(html)


def test_models_that_are_equal_change_nothing(fake_run):
    run = fake_run(classes=("road", "sky"))
    for name in ("evaluate-warmup", "evaluate"):
        run.evaluate(name, [0.5, 0.4])
    text = plain(render(collect(run.root)))
    assert "0 of 2 classes gain." in text
    assert "Mistakes that became" not in text


def test_a_run_with_one_score_has_no_such_section(fake_run):
    run = fake_run(classes=("road", "sky"))
    run.evaluate("evaluate-warmup", [0.5, 0.4])
    html = render(collect(run.root))
    assert "Changes by class" not in html
