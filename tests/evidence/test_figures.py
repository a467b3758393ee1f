"""The figures of a table from metrics files, against numbers computed by hand; Markdown, CSV and the chart of them."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from udaseg.config.load import load_recipe
from udaseg.pipeline.run import Run
from udaseg.stages.cli import STAGES

from .chart import as_svg, ticks_between
from .definitions import Pair, Row, Table
from .document import as_csv, as_markdown, steps
from .figures import figures
from .recipes import row_recipe
from .scores import rarest, read_score

CLASSES = ("road", "car", "sign")
PAIR = Pair(
    "near",
    list(CLASSES),
    (96, 192),
    {"dataset": "gta5", "size": [128, 256]},
    {"dataset": "cityscapes", "size": [128, 256]},
)
TABLE = Table(
    "two", "Two rows", ("near",), "source-gta2city", (Row("A", "source-gta2city"), Row("B | b", "demo", against="A"))
)
# IoU of the classes by seed; the means are in the comments.
IOU = {
    "source-only, random scales": {0: (0.3, 0.2, 0.1), 1: (0.6, 0.4, 0.2)},  # 0.2, 0.4
    "source-only, whole images": {0: (0.1, 0.1, 0.1), 1: (0.3, 0.3, 0.3)},  # 0.1, 0.3
    "A": {0: (0.5, 0.4, 0.0), 1: (0.8, 0.6, 0.1)},  # 0.3, 0.5
    "B | b": {0: (0.8, 0.5, 0.2), 1: (0.5, 0.3, None)},  # 0.5, 0.4
    "oracle, random scales": {0: (0.5, 0.5, 0.5), 1: (0.6, 0.6, 0.6)},  # 0.5, 0.6
    "oracle, whole images": {0: (0.6, 0.6, 0.6), 1: (0.8, 0.8, 0.8)},  # 0.6, 0.8
}
RARE = {"sign": 0.001, "car": 0.02}


def write_run(folder: Path, iou: tuple, seed: int) -> Run:
    """Write what a finished row leaves: metrics, the manifest of its training, the record of its recipe."""
    known = [value for value in iou if value is not None]
    metrics = {
        "classes": CLASSES, "iou": iou, "miou": sum(known) / len(known), "miou16": None, "miou13": None,
        "pixel_accuracy": 0.5, "absent": [], "confusion": [[1] * 3] * 3, "images": 2, "convention": "",
    }  # fmt: skip
    manifest = {
        "schema": 1, "stage": "warmup", "version": "", "command": "", "settings": {}, "seed": seed, "inputs": {},
        "outputs": {"count": 0, "bytes": 0, "digest": "", "signature": ""}, "metrics": {}, "warnings": [],
        "environment": {}, "started": "2026-01-01T00:00:00Z", "seconds": 100.0 + 20 * seed,
    }  # fmt: skip
    record = {"digest": "d1", "scores": "", "commit": "c1+"}
    files = {"evaluate-warmup/metrics.json": metrics, "warmup/manifest.json": manifest, "evidence.json": record}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    recipe = load_recipe("source-gta2city", scale="toy", changes={"seed": seed})
    return Run(recipe.model_copy(update={"chain": ("warmup", "evaluate-warmup")}), folder, {}, STAGES)


@pytest.fixture
def found(tmp_path):
    scores = [
        read_score(row, write_run(tmp_path / row / str(seed), iou, seed))
        for row, seeds in IOU.items()
        for seed, iou in seeds.items()
    ]
    return figures(TABLE, scores, RARE, (0, 1))


@pytest.fixture
def recipes():
    return {row.name: row_recipe(row, TABLE, PAIR, {}) for row in TABLE.all_rows}


def test_a_bound_is_the_better_of_two_augmentations(found):
    assert [line.row.name for line in found.lines] == [
        "source-only, random scales",
        "A",
        "B | b",
        "oracle, whole images",
    ]
    assert [line.row.name for line in found.worse] == ["source-only, whole images", "oracle, random scales"]


def test_figures_are_those_computed_by_hand(found):
    low, a, b, high = found.lines
    assert a.miou == pytest.approx((0.4, 0.141421), abs=1e-6)
    assert b.miou == pytest.approx((0.45, 0.070711), abs=1e-6)
    assert a.difference == {}
    assert b.difference == pytest.approx({0: 0.2, 1: -0.1})
    assert (a.ahead, b.ahead) == (None, (1, 2))
    assert a.share == pytest.approx({0: 0.25, 1: 0.25})  # 0.1 of 0.4, in both seeds
    assert b.share == pytest.approx({0: 0.75, 1: 0.0})  # 0.3 of 0.4, 0.0 of 0.4
    assert low.share == high.share == {}
    assert a.rare == pytest.approx({0: 0.2, 1: 0.35})
    assert b.rare == pytest.approx({0: 0.35, 1: 0.3})  # sign occurs nowhere in seed 1
    assert b.seconds == 110.0


def test_the_pages_say_what_the_figures_are(found, recipes):
    page = as_markdown(PAIR, found, recipes, {"warmup.lr": 0.1})
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in page.splitlines() if line[:1] == "|"]
    assert cells[2] == ["*source-only, random scales*", "30.0 ± 14.1", "22.5 ± 10.6", "", "", "", "", "110 s"]
    assert cells[3] == ["A", "40.0 ± 14.1", "27.5 ± 10.6", "", "", "", "25.0 ± 0.0", "110 s"]
    assert cells[4][1:] == ["45.0 ± 7.1", "32.5 ± 3.5", "A", "+5.0 ± 21.2", "1 of 2", "37.5 ± 53.0", "110 s"]
    assert cells[4][0] == r"B \| b"
    assert cells[5][:2] == ["*oracle, whole images*", "70.0 ± 14.1"]
    assert "sign (0.1 %), car (2.0 %)" in page
    assert "source-only, whole images 20.0 ± 14.1; oracle, random scales 55.0 ± 7.1" in page
    assert "`warmup.lr: 0.1`" in page
    assert "From gta5 at 128x256 to cityscapes at 128x256, 3 classes, crops of 96x192. Seeds 0, 1." in page
    assert cells[-1] == [
        "oracle, whole images", "`source-gta2city`",
        "the target as source, `warmup.augment.crop: null`, `warmup.augment.scale: [1.0, 1.0]`",
        "warmup 600", "c1+", "d1",
    ]  # fmt: skip
    assert "Without a score" not in page


def test_the_csv_has_every_seed_and_class(found, recipes):
    lines = [*csv.DictReader(io.StringIO(as_csv(PAIR, found, recipes, {})))]
    assert len(lines) == 12
    b = next(line for line in lines if line["row"] == "B | b" and line["seed"] == "1")
    assert (b["miou"], b["rare"], b["difference"], b["share"], b["seconds"]) == (
        "40.00",
        "30.00",
        "-10.00",
        "0.00",
        "120",
    )
    assert (b["road"], b["car"], b["sign"]) == ("50.00", "30.00", "")
    assert (b["pair"], b["table"], b["recipe"], b["set"], b["commit"], b["digest"]) == (
        "near", "two", "demo", "", "c1+", "d1",
    )  # fmt: skip


def test_the_chart_has_means_and_intervals_where_its_axes_say(found):
    drawing = ElementTree.fromstring(as_svg(found))
    tag = "{http://www.w3.org/2000/svg}"
    kinds = {name: list(drawing.iter(tag + name)) for name in ("line", "circle", "text")}
    grid = [float(one.get("x1")) for one in kinds["line"] if one.get("class") == "grid"]
    labels = [float(one.text.replace("−", "-")) for one in kinds["text"] if re.fullmatch(r"−?[\d.]+", one.text)]
    start = labels.index(min(labels))  # of the second panel, the one with negative numbers
    panels = [(grid[:start], labels[:start]), (grid[start:], labels[start:])]

    def value(x: str) -> float:
        places, numbers = panels[float(x) >= panels[1][0][0]]
        return numbers[0] + (float(x) - places[0]) / (places[-1] - places[0]) * (numbers[-1] - numbers[0])

    means = [value(one.get("cx")) for one in kinds["circle"] if one.get("class") == "mark s1"]
    assert means == pytest.approx([30, 40, 45, 70, 5], abs=0.05)
    strokes = [(value(one.get("x1")), value(one.get("x2"))) for one in kinds["line"] if "whisker" in one.get("class")]
    expected = [(15.86, 44.14), (25.86, 54.14), (37.93, 52.07), (55.86, 84.14), (-16.21, 26.21)]
    assert [end for pair in strokes for end in pair] == pytest.approx(
        [end for pair in expected for end in pair], abs=0.05
    )
    seeds = [value(one.get("cx")) for one in kinds["circle"] if one.get("class") == "kept"]
    assert seeds == pytest.approx([20, 40, 30, 50, 50, 40, 60, 80, 20, -10], abs=0.05)
    bounds = [value(one.get("x1")) for one in kinds["line"] if one.get("class") in ("link", "oracle tick", "axis-line")]
    assert bounds == pytest.approx([30, 70, 0], abs=0.05)


def test_a_row_without_some_scores_is_compared_in_the_seeds_that_it_has(tmp_path, recipes):
    scores = [
        read_score(row, write_run(tmp_path / row / str(seed), iou, seed))
        for row, seeds in IOU.items()
        for seed, iou in seeds.items()
        if (row, seed) != ("B | b", 1) and not row.startswith("oracle")
    ]
    found = figures(TABLE, scores, RARE, (0, 1))
    b = found.rows[1]
    assert b.miou == pytest.approx((0.5, None))
    assert b.difference == pytest.approx({0: 0.2})
    assert (b.share, found.upper) == ({}, None)
    page = as_markdown(PAIR, found, recipes, {})
    assert "Without a score: B | b, seed 1." in page
    assert "| +20.0 | 1 of 1 | – |" in page
    ElementTree.fromstring(as_svg(found))


@pytest.mark.parametrize(("low", "high"), [(20.1, 71.0), (-3.2, 0.4), (5.0, 5.0), (0.0, 100.0), (-0.1, 0.1)])
def test_ticks_lie_around_the_values(low, high):
    ticks = ticks_between(low, high)
    assert ticks[0] <= low
    assert ticks[-1] >= high
    assert 2 <= len(ticks) <= 7
    assert ticks[0] < ticks[-1]


def test_the_rarest_classes_are_those_that_occur_least():
    assert rarest(["a", "b", "c", "d"], [70, 0, 10, 20], 2) == {"c": 0.1, "d": 0.2}


def test_steps_are_those_of_the_trainings():
    assert steps(load_recipe("cbst-gta2city", scale="toy")) == "warmup 600, retrain 3 x 400"
    assert steps(load_recipe("gta2city", scale="toy")) == "pretrain 600, warmup 400, retrain 3 x 400, distill 1200"
