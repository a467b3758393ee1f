"""How well scores order models: figures computed by hand, the pages of them, and the program on tiny runs."""

import csv
import io
import shutil
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from udaseg.inference.judgement.scores import SCORES
from udaseg.stages import cli

from . import judge as program
from . import judged
from .judge_document import Found, as_csv, as_markdown, as_svg
from .judge_figures import correlation, error, regrets_of_rows, regrets_of_runs
from .judged import Model


@dataclass(frozen=True)
class FakeRecipe:
    seed: int


@dataclass(frozen=True)
class FakeRun:
    recipe: FakeRecipe


@dataclass(frozen=True)
class FakeTrained:
    pair: str
    run: FakeRun
    digests: tuple[str, ...]


def model(digest: str, miou: float, pair: str = "near", **scores: float | None) -> Model:
    values = dict.fromkeys(SCORES, 0.5) | scores
    return Model(pair, "row", 0, "warmup", digest, values, miou, 0.9, 1.0)


def run(*digests: str, seed: int = 0, pair: str = "near") -> FakeTrained:
    return FakeTrained(pair, FakeRun(FakeRecipe(seed)), digests)


# atc orders them as the truth does but for the last two; entropy, of which less is better, in the reverse order.
NEAR = [model(name, miou, atc=atc, entropy=miou)
        for name, miou, atc in (("a", 0.1, 0.2), ("b", 0.2, 0.3), ("c", 0.4, 0.8), ("d", 0.5, 0.7))]  # fmt: skip
FAR = [model(f"far{i}", 0.8 - 0.1 * i, "far", atc=0.3 - 0.1 * i, entropy=0.1 * i) for i in range(3)]
MODELS = {one.digest: one for one in (*NEAR, *FAR)}


def test_correlations_are_those_computed_by_hand():
    near = correlation([NEAR], "atc")
    assert near.value == pytest.approx(1 - 6 * 2 / (4 * 15))  # Spearman: two ranks differ by one
    assert near.low <= near.value <= near.high == pytest.approx(1)
    assert correlation([NEAR], "entropy").value == pytest.approx(-1)
    assert correlation([FAR], "entropy").value == pytest.approx(1)
    assert correlation([FAR], "atc")[:] == pytest.approx((1, 1, 1))
    assert correlation([FAR], "flip") is None  # all alike
    assert correlation([FAR[:2]], "atc") is None


def test_within_pairs_ranks_are_compared_whatever_the_level_of_the_pair():
    # Of ranks as shares: 4/5 of a near and 2/4 of a far model have a squared sum of 0.2 and 0.125.
    assert correlation([NEAR, FAR], "atc").value == pytest.approx((0.8 * 0.2 + 0.125) / 0.325)
    assert correlation([NEAR, FAR], "entropy").value == pytest.approx((-0.2 + 0.125) / 0.325)
    without = [*FAR, model("far3", 0.9, "far", atc=None)]
    assert correlation([without], "atc").value == pytest.approx(1)


def test_regrets_are_those_computed_by_hand():
    # By atc: c of (a, c, d), where d is the best and the last; b of (b, a), where a is the last.
    runs = [run("a", "c", "d"), run("b", "a", seed=1), run("a", seed=2)]
    regrets = regrets_of_runs(runs, MODELS, "atc")
    assert regrets.mean == pytest.approx((0.05, 0.0707107), abs=1e-6)
    assert regrets.gain == pytest.approx((0.0, 0.1414214), abs=1e-6)
    assert (regrets.ahead, regrets.behind, regrets.groups) == (1, 1, 2)
    # Between the last models of seed 0, d and a, and far1 and far2: entropy chooses a, and far1.
    runs = [run("c", "d"), run("a"), run("d"), run("far1", pair="far"), run("far2", pair="far")]
    regrets = regrets_of_rows(runs, MODELS, "entropy")
    assert regrets.mean.mean == pytest.approx(0.2)
    assert regrets.gain.mean == pytest.approx((0.1 - 0.3 + 0.7 - 0.65) / 2)
    assert (regrets.ahead, regrets.behind, regrets.groups) == (1, 1, 2)
    assert regrets_of_runs([run("a")], MODELS, "atc") is None


def test_the_error_of_a_prediction_is_its_mean_distance():
    assert error(NEAR, "atc", lambda one: one.miou) == pytest.approx((0.2, 0.141421), abs=1e-5)


def test_the_pages_have_every_score_and_model():
    found = Found([run("a", "c", "d"), run("far0", "far1", pair="far")], MODELS, 32)
    page = as_markdown(found)
    cells = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in page.splitlines() if line[:1] == "|"}
    assert {*SCORES} < cells.keys()
    assert cells["atc"][1].startswith("0.80 (")
    assert cells["atc"][4:6] == ["5.0 ± 7.1", "0.0 ± 14.1"]
    assert "7 models of 2 runs (near 4, far 3), judged on 32 images" in page
    lines = [*csv.DictReader(io.StringIO(as_csv(found)))]
    assert [line["digest"] for line in lines] == [*MODELS]
    assert (lines[0]["miou"], lines[0]["atc"], lines[0]["entropy"]) == ("10.00", "0.20000", "0.10000")
    drawing = ElementTree.fromstring(as_svg(found))
    texts = [one.text for one in drawing.iter("{http://www.w3.org/2000/svg}text")]
    assert {*SCORES, "0.88"} < {*texts}  # the correlation of atc within pairs


TINY = {
    "base": "source-gta2city",
    "scale": "toy",
    "model": {"encoder": "test_efficientnet", "decoder": "fpn", "width": 8, "weights": "none"},
    "toytown": {"source": 3, "train": 3, "val": 2, "size": [32, 48]},
    "source": {"size": [32, 48]},
    "target": {"size": [32, 48]},
    "warmup": {"steps": 1, "batch": 1},
}


def test_the_program_judges_each_model_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    oracle = TINY | {"source": {"dataset": "cityscapes", "size": [32, 48]}}
    for name, recipe in (("tiny", TINY), ("oracle", oracle)):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    for row, recipe, seed in (("a", "tiny", 0), ("b", "tiny", 1), ("c", "oracle", 0)):
        words = f"warmup --recipe {recipe}.yaml --seed {seed} --run runs/evidence/pair/table/seed{seed}/{row}"
        assert cli.run(words.split()) == 0
    shutil.copytree("runs/evidence/pair/table/seed0/a", "runs/evidence/pair/other/seed0/a")
    assert program.main(["runs/evidence", "--images", "2"]) == 0
    lines = [*csv.DictReader(io.StringIO(Path("evidence/judge.csv").read_text()))]
    assert [(line["run"], line["stage"]) for line in lines] == [
        ("other/seed0/a", "warmup"),
        ("table/seed1/b", "warmup"),
    ]
    assert lines[0]["networks"] == lines[1]["networks"] != ""
    written = {name: Path(f"evidence/judge.{name}").read_bytes() for name in ("md", "csv", "svg")}
    assert b"2 models of 3 runs" in written["md"]
    monkeypatch.setattr(judged, "judge", None)  # nothing is judged again
    assert program.main(["runs/evidence", "--images", "2"]) == 0
    assert written == {name: Path(f"evidence/judge.{name}").read_bytes() for name in written}
    capsys.readouterr()
    Path("empty").mkdir()
    assert program.main(["empty"]) == 1
    assert "no finished training lies in a pair's directory in empty" in capsys.readouterr().err
