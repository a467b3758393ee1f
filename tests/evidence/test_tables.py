"""The tables that are shipped: every row can be run on every pair it is meant for; digests tell changes."""

from dataclasses import replace
from pathlib import Path

import pytest

from udaseg.config.load import change_recipe, load_recipe

from .__main__ import main
from .check import changed_rows
from .definitions import LOWER, UPPER, Row, read_pairs, read_tables, tables_of
from .document import as_csv
from .figures import figures
from .recipes import digest, problems, row_recipe, write_recipe
from .scores import Score

PAIRS, TABLES = read_pairs(), read_tables()
MEANT = [(pair, table) for table in TABLES.values() for pair in table.pairs]


@pytest.mark.parametrize(("pair", "table"), MEANT, ids=lambda one: getattr(one, "name", one))
def test_every_row_can_be_run_on_every_pair_it_is_meant_for(tmp_path, pair, table):
    rows = {row.name: row_recipe(row, table, PAIRS[pair], {}, tmp_path) for row in table.all_rows}
    assert {name: problems(row) for name, row in rows.items()} == {name: [] for name in rows}
    assert len({row.folder for row in table.all_rows}) == len(table.all_rows)
    assert {row.against for row in table.rows} <= {None, *(row.name for row in table.rows)}
    for name, row in rows.items():
        file = tmp_path / f"{name}.yaml"
        write_recipe(file, row)
        assert load_recipe(str(file)) == row.recipe.model_copy(update={"name": name})


def test_every_pair_has_tables_and_every_table_pairs():
    assert {pair for pair, _ in MEANT} == PAIRS.keys()
    assert [table.name for table in tables_of(PAIRS["toytown"], TABLES)] == [
        "ladder",
        "cbst",
        "style",
        "g2l",
        "flagship",
        "realtime",
    ]


def test_bounds_differ_in_what_they_learn_and_nothing_else():
    table, pair = TABLES["cbst"], PAIRS["idda2camvid"]
    low, high = ([*table.bound_rows(bound).values()] for bound in (LOWER, UPPER))
    for one, other in zip(low, high, strict=True):
        source, target = (row_recipe(row, table, pair, {}).recipe for row in (one, other))
        assert source.source.root == "idda"
        assert (target.source.root, target.source.size) == ("camvid", (144, 192))
        assert source.model_copy(update={"source": target.source}) == target
    assert [row_recipe(row, table, pair, {}).recipe.warmup.augment.crop for row in low] == [(96, 192), None]


def test_a_pair_gives_images_and_crops_its_sizes():
    def recipe(row: str, pair: str):
        rows = {one.name: (one, table) for table in TABLES.values() for one in table.rows}
        return row_recipe(*rows[row], PAIRS[pair], {}, Path("data")).recipe

    hrda = recipe("HRDA", "idda2camvid")  # sees images twice as large
    assert (hrda.source.size, hrda.target.size) == ((288, 512), (288, 384))
    assert (hrda.retrain.augment.crop, hrda.evaluate.window, hrda.model.detail) == ((192, 384), (192, 384), (96, 192))
    assert recipe("CBST", "airsim2camvid").retrain.augment.crop == (108, 192)
    assert recipe("G2L", "idda2camvid").distill.augment.crop == (96, 192)  # whole images have two sizes here
    assert recipe("G2L", "toytown").distill.augment.crop is None
    both = recipe("G2L", "toytown2city")
    assert (both.data, both.source.root) == ("data/toytown", None)  # rendered
    assert both.target.root == str(Path("data/cityscapes").resolve())
    assert recipe("G2L", "idda2city").toytown is None


def test_adabn_copies_the_model_of_the_row_above():
    source, adabn, *_ = TABLES["ladder"].rows
    # Of all rows, but for those that change it themselves, or have no such section.
    changes = {"warmup.steps": 9, "retrain.steps": 9, "pretrain.steps": 9}
    one, other = (row_recipe(row, TABLES["ladder"], PAIRS["toytown"], changes).recipe for row in (source, adabn))
    assert one.warmup == other.warmup
    assert (one.warmup.steps, one.retrain.steps, one.pretrain) == (9, 9, None)
    flagship = row_recipe(TABLES["g2l"].rows[0], TABLES["g2l"], PAIRS["toytown"], changes).recipe
    assert flagship.pretrain.steps == 9
    smoke = row_recipe(TABLES["smoke"].rows[0], TABLES["smoke"], PAIRS["toytown"], {"warmup.steps": 9})
    assert smoke.named == {"retrain.steps": 60}  # what the row has of its table
    assert (other.retrain.steps, other.retrain.adabn, other.retrain.batch) == (0, "after", other.warmup.batch)


RECIPE = load_recipe("source-gta2city", scale="toy", changes={"chain": ["warmup", "evaluate-warmup"]})


@pytest.mark.parametrize(
    "change",
    [
        {"warmup.lr": 0.01}, {"warmup.augment.flip": 0.0}, {"model.decoder": "segformer"}, {"space": "syn16"},
        {"source.limit": 5}, {"target.size": [64, 128]}, {"evaluate.flip": True}, {"toytown.source": 5},
        {"chain": ["warmup", "evaluate-warmup", "stats"]}, {"warmup.keep_last": 2},
    ],
    ids=str,
)  # fmt: skip
def test_a_digest_changes_with_what_a_stage_reads(change):
    assert digest(change_recipe(RECIPE, change, "test")) != digest(RECIPE)


@pytest.mark.parametrize(
    "change",
    [
        {"description": "another"}, {"name": "another"}, {"seed": 3}, {"data": "/elsewhere"}, {"retrain.lr": 0.5},
        {"adversary.weight": 0.5}, {"ablation": {"a": {"warmup.lr": 0.1}}}, {"warmup.keep_last": 1}, {"rounds": 2},
        {"warmup.activation_checkpointing": True}, {"target.root": "/elsewhere"},
    ],
    ids=str,
)  # fmt: skip
def test_a_digest_does_not_change_with_what_changes_no_result(change):
    assert digest(change_recipe(RECIPE, change, "test")) == digest(RECIPE)


@pytest.fixture
def stored(tmp_path):
    """Give a function that stores the CSV of a table as if it had been measured with some settings."""

    def store(table, changes):
        recipes = {row.name: row_recipe(row, table, PAIRS["toytown"], changes) for row in table.all_rows}
        scores = [
            Score(name, 0, 0.5, {"road": 0.5}, 1.0, "c1", digest(recipe.recipe)) for name, recipe in recipes.items()
        ]
        path = tmp_path / "toytown-smoke.csv"
        path.write_text(as_csv(PAIRS["toytown"], figures(table, scores, {"road": 0.1}, (0,)), recipes, changes))
        return path

    return store


def test_a_changed_default_is_told_for_the_rows_that_read_it(stored):
    smoke = TABLES["smoke"]
    path = stored(smoke, {"warmup.batch": 3})
    assert changed_rows(path, PAIRS, {"smoke": smoke}) == []
    other = replace(smoke, settings={**smoke.settings, "retrain.steps": 7})
    [line] = changed_rows(path, PAIRS, {"smoke": other})
    assert line.startswith("FDA and CBST would change: measured as ")
    others = replace(smoke, rows=(smoke.rows[0], Row("new", "demo")))
    assert changed_rows(path, PAIRS, {"smoke": others}) == [
        "FDA and CBST is no row of it any more",
        "new has no score",
    ]
    assert changed_rows(path, PAIRS, {}) == ["there is no pair toytown or no table smoke any more"]


def test_the_check_exits_with_1_where_a_row_would_change(stored, capsys):
    path = stored(TABLES["smoke"], {})
    assert main(["--check", "--out", str(path.parent)]) == 0
    assert capsys.readouterr().out == "toytown-smoke: as today\n"
    path.write_text(
        path.read_text().replace(
            digest(row_recipe(TABLES["smoke"].rows[1], TABLES["smoke"], PAIRS["toytown"], {}).recipe), "0"
        )
    )
    assert main(["toytown", "smoke", "--check", "--out", str(path.parent)]) == 1
    assert "FDA and CBST would change: measured as 0, today " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["toytwon"], "there is no pair 'toytwon'", "did you mean 'toytown'?"),
        (["toytown", "laddr"], "there is no table 'laddr'", "did you mean 'ladder'?"),
        (["toytown", "depth"], "not meant for the pair toytown", "toytown-synthia"),
        (["toytown", "--seeds", "0,0"], "each once", "--seeds 0,1,2"),
        (["toytown", "--set", "warmup.stepz=3"], "unknown setting 'warmup.stepz'", "steps"),
        (["toytown", "cbst", "--set", "retrain.labels=none"], "CBST: retrain.labels is none", "evidence/tables.yaml"),
        (["toytown", "smoke", "--set", "prior.sigma=3"], "prior.sigma: nothing would read it", "pseudolabel.policy"),
        (["idda2city"], "reads nowhere/idda, nowhere/cityscapes", "make evidence PAIR=idda2city DATA=/datasets"),
        (["toytown2city"], "reads nowhere/cityscapes", "docs/results.md"),
        (["--check"], "there is no evidence/*-*.csv to check", "make evidence PAIR=toytown"),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said_before_anything_runs(tmp_path, monkeypatch, capsys, words, message, hint):
    monkeypatch.chdir(tmp_path)
    assert main([*words, "--data", "nowhere"]) == 1
    said = capsys.readouterr().err
    assert message in said
    assert hint in said.partition(" hint: ")[2]
    assert not Path("data").exists()
