"""The depth in the report: how far away the classes are, and the errors of the models."""

import json
import re

import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.metrics import DepthErrors
from udaseg.report.depth_charts import distances
from udaseg.report.page import render
from udaseg.report.run_data import collect
from udaseg.statistics.gmm import Gmm


def curves_of(chart):
    """Read the curves off a chart: (metres, height above the axis) for each."""
    for points in re.findall(r'points="([^"]+)"', chart):
        x, y = np.array([point.split(",") for point in points.split()], float).T
        yield 10 ** (3 * (x - 3) / 94), 36 - y


def mixture(means, variances, weights):
    values = np.zeros((1, len(means), 3))
    values[..., 2] = means
    spread = np.ones_like(values)
    spread[..., 2] = variances
    return Gmm(np.array([weights]), values, spread, ("road",), (12, 24))


def test_a_class_lies_where_its_mixture_says():
    at = [65536 / (100 * metres + 1) for metres in (5, 50)]
    near, far, total = curves_of(distances(mixture(at, [25.0, 1.0], [0.7, 0.3]), 0))
    assert near[0][near[1].argmax()] == pytest.approx(5, rel=0.1)
    assert far[0][far[1].argmax()] == pytest.approx(50, rel=0.1)
    np.testing.assert_allclose(total[1], near[1] + far[1], atol=0.2)
    areas = [curve[1].sum() for curve in (near, far)]
    assert areas[0] / areas[1] == pytest.approx(0.7 / 0.3, rel=0.1)


def test_the_needle_of_the_sky_can_be_seen():
    needle, total = curves_of(distances(mixture([1.0, 0.0], [1e-6, 1.0], [1.0, 0.0]), 0))
    assert needle[0][needle[1].argmax()] == pytest.approx(655, rel=0.05)
    assert total[1].max() == pytest.approx(34, abs=1)


def test_what_lies_nearer_than_the_axis_is_an_empty_chart():
    (_, curve), *_ = curves_of(distances(mixture([65536.0], [1e-6], [1.0]), 0))
    assert curve.max() < 1


def scored(fake_run, **changes):
    run = fake_run().whole()
    for folder, factor in (("evaluate-warmup", 1.5), ("evaluate", 1.1)):
        path = run.root / folder / "metrics.json"
        errors = DepthErrors()
        errors.add(np.full((4, 4), 10.0), np.full((4, 4), 10.0 * factor))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"depth": errors.document() | changes}))
    return run.root


def test_depth_errors_of_both_models_are_in_a_table(fake_run):
    page = render(collect(scored(fake_run)))
    table = re.search(r"<thead><tr><th>estimated depth</th>.*?</table>", page, re.DOTALL)[0]
    cells = re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", table)
    assert cells[1:3] == ["source-only", "adapted"]
    assert cells[3:6] == ["Rel", "0.50", "0.10"]
    assert cells[cells.index("RMS, m") :][:3] == ["RMS, m", "5.00", "1.00"]
    assert cells[cells.index("δ1, %") :][:3] == ["δ1, %", "0.0", "100.0"]
    assert "true depth of at most 80 m" in page
    assert page.count("how far away") >= 19


def test_runs_without_depth_have_no_such_table(fake_run):
    page = render(collect(fake_run().whole().root))
    assert "estimated depth" not in page


@pytest.mark.parametrize("changes", [{"rel": "low"}, {"delta1": 1.5}, {"rms": -1}, {"convention": None}])
def test_depth_errors_that_are_none_are_refused(fake_run, changes):
    with pytest.raises(UdasegError, match=r"metrics\.json: depth"):
        collect(scored(fake_run, **changes))
