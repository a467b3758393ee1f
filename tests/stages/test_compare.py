"""udaseg compare on runs that were made."""

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.report.published import published

MAKEFILE = Path(__file__).parent.parent.parent / "Makefile"
ROWS = ("REALTIME", "REALTIME-EXTRA", "BOUND", "AUGMENTATIONS")


def test_a_run_beside_its_own_start(workspace, udaseg):
    words = "compare runs/tiny/evaluate-warmup runs/tiny"
    outcome = udaseg(words, tiny=False)
    assert outcome.code == 0, outcome.err
    scores = [
        json.loads(Path(f"runs/tiny/{name}/metrics.json").read_text())["miou"]
        for name in ("evaluate-warmup", "evaluate")
    ]
    for score in scores:
        assert f"{100 * score:.1f}" in outcome.out
    said = udaseg(f"{words} --json", tiny=False).json
    assert [row["miou"]["mean"] for row in said["rows"]] == scores
    assert said["rows"][1]["delta"]["mean"] == pytest.approx(scores[1] - scores[0])
    assert len(udaseg(f"{words} --classes --markdown", tiny=False).out.splitlines()) == 22
    assert udaseg(f"{words} --csv", tiny=False).out.count("\n") == 3
    assert "\\begin{tabular}" in udaseg(f"{words} --latex", tiny=False).out


def test_a_run_of_another_network_than_the_published_row_is_told_on_stderr(workspace, udaseg):
    run_file = Path("runs/tiny/run.json")
    content = json.loads(run_file.read_text()) | {"recipe": "cbst-gta2city"}
    run_file.unlink()  # a link to the file of all tests
    run_file.write_text(json.dumps(content))
    warning = (
        "cbst-gta2city beside CBST, ResNet-38: the run is fpn on test_efficientnet, the published network is ResNet-38"
    )
    outcome = udaseg("compare runs/tiny --published cbst-gta2city", tiny=False)
    assert outcome.code == 0, outcome.err
    assert outcome.err == f"compare: warning: {warning}\n"
    assert warning in outcome.out.splitlines()
    for form in ("--csv", "--json", "--latex --classes"):
        assert udaseg(f"compare runs/tiny --published cbst-gta2city {form}", tiny=False).err == outcome.err
    assert udaseg("compare runs/tiny", tiny=False).err == ""


def test_brackets_in_a_name_are_no_markup(workspace, udaseg):
    shutil.copytree("runs/tiny", "runs/a[lr]")
    Path("runs/b[").mkdir()
    shutil.copytree("runs/tiny", "runs/b[/b]")
    outcome = udaseg("compare runs/tiny runs/a[lr] runs/b[/b]", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "runs/a[lr]" in outcome.out
    assert "runs/b[/b]" in outcome.out
    assert "runs/a[lr]" in udaseg("status --run runs/a[lr]", tiny=False).out


def test_a_directory_of_runs_is_all_runs_below_it(workspace, udaseg):
    for name in ("a/tiny", "b/deeper/tiny"):
        Path("many", name).parent.mkdir(parents=True)
        shutil.copytree("runs/tiny", Path("many", name), ignore=shutil.ignore_patterns(".*.lock"))
    shutil.copytree("runs/tiny/warmup", "many/c/warmup")
    shutil.copytree("runs/tiny/report", "many/report")
    outcome = udaseg("compare many", tiny=False)
    assert outcome.code == 0, outcome.err
    rows = udaseg("compare many --json", tiny=False).json["rows"]
    assert [row["method"] for row in rows] == ["many/a/tiny", "many/b/deeper/tiny"]
    assert "compare: warning: 1 of 3 runs have no finished evaluation: many/c" in outcome.err
    assert "many/b/deeper/tiny: many/b/deeper/tiny" in outcome.out
    one = udaseg("compare many/a runs/tiny --json", tiny=False).json["rows"]
    assert [row["runs"][0]["path"] for row in one] == ["many/a/tiny", "runs/tiny"]
    shutil.rmtree("many/a")
    shutil.rmtree("many/b")
    refused = udaseg("compare many", tiny=False)
    assert "none of the 1 runs below many has a finished evaluation" in refused.err
    assert udaseg("compare data", tiny=False).code == 1


def test_what_the_share_of_the_gap_lacks_is_said(workspace, udaseg):
    words = "runs/tiny --oracle runs/tiny/evaluate-warmup"
    assert "name the source-only models before it, as in runs/tiny/eval" in udaseg(f"compare {words}", tiny=False).out
    assert "there is one row" not in udaseg(f"compare runs/tiny/evaluate-warmup {words}", tiny=False).out


def test_a_run_of_a_recipe_that_is_always_small_is_marked_beside_what_was_published(workspace, udaseg):
    assert "runs at toy scale" not in udaseg("compare runs/tiny", tiny=False).out
    assert "runs at toy scale use small networks" in udaseg("compare runs/tiny --published gta2city", tiny=False).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "there is nothing to compare"),
        ("--oracle a", "there is nothing to compare"),
        ("--published realtime-gta2city --oracle a", "--oracle is the upper bound of other runs"),
        ("a --json --csv", "give one of them"),
        ("--published none", "there is no published table 'none'"),
        ("nowhere", "there is no such directory"),
    ],
)
def test_compare_says_what_it_needs(udaseg, words, message):
    outcome = udaseg(f"compare {words}", tiny=False)
    assert outcome.code == 1
    assert message in outcome.err


def test_make_runs_every_row_of_the_real_time_table():
    text = MAKEFILE.read_text().replace("\\\n", " ")
    rows = {name: re.search(rf"^{name} = (.*)$", text, re.MULTILINE)[1].split() for name in ROWS}
    assert [*rows["REALTIME"], *rows["BOUND"]] == [row.recipe for row in published("realtime-gta2city").rows]
    *augmentations, last = rows["AUGMENTATIONS"]
    assert last == "$(BOUND)"
    assert [*augmentations, *rows["BOUND"]] == [row.recipe for row in published("realtime-augmentation").rows]
    # The other rows are ours: the target's statistics of batch norm, for the source alone and for each method.
    methods = {name.replace("realtime-gta2city", "realtime-light-gta2city") for name in rows["REALTIME"][1:]}
    extra = {name.replace("-adabn-", "-") for name in rows["REALTIME-EXTRA"]}
    assert extra == methods | {"adabn-realtime-gta2city"}


@pytest.mark.parametrize("scale", ["full", "toy"])
def test_the_extra_rows_of_the_real_time_table_differ_in_batch_norm_alone(scale):
    names = [name for name in shipped_recipes() if name.startswith("realtime-") and "-adabn-" in name]
    assert len(names) == 6
    for name in names:
        extra, row = (load_recipe(one, scale=scale).model_dump() for one in (name, load_base(name)))
        assert (extra["warmup"].pop("adabn"), row["warmup"].pop("adabn")) == (True, "separate")
        for recipe in (extra, row):
            recipe["name"] = recipe["description"] = ""
        assert extra == row


def load_base(name: str) -> str:
    return yaml.safe_load(shipped_recipes()[name].read_text())["base"]


def test_published_rows_of_the_real_time_table_train_and_score_as_published():
    for row in (*published("realtime-gta2city").rows, *published("realtime-augmentation").rows):
        recipe = load_recipe(row.recipe)
        assert (recipe.source.limit, recipe.target.limit) == (500, 500)
        assert recipe.warmup.steps * recipe.warmup.batch == 50 * 500
        assert recipe.evaluate.gt_size == (512, 1024)
        assert not recipe.warmup.saves_target_statistics


@pytest.mark.parametrize("table", ["realtime-gta2city", "synthia2mapillary", "synthia2mapillary-small", "gta2city"])
def test_recipes_score_labels_of_the_size_of_their_published_table(table):
    rows = published(table)
    for row in rows.rows:
        if row.recipe is not None:
            assert load_recipe(row.recipe).evaluate.gt_size == rows.gt_size


def test_runs_side_by_side_on_one_page_with_a_bound(workspace, udaseg):
    shutil.copytree("runs/tiny", "runs/other", ignore=shutil.ignore_patterns(".*.lock"))
    words = "report runs/tiny runs/other --oracle runs/other/evaluate-warmup"
    planned = udaseg(f"{words} --dry-run", tiny=False)
    assert (planned.code, planned.out, Path("runs/report").exists()) == (0, "", False)
    assert "report: would run into runs/report: it has not been run" in planned.err
    outcome = udaseg(words, tiny=False)
    assert outcome.code == 0, outcome.err
    assert outcome.err.splitlines()[-1].startswith("report: 2 runs side by side; the best mIoU is ")
    assert outcome.err.splitlines()[-1].endswith("the page is runs/report/report.html")
    said = udaseg(f"{words} --json", tiny=False).json
    assert said["page"] == "runs/report/report.html"
    assert said["runs"]["runs/other"] == json.loads(Path("runs/other/evaluate/metrics.json").read_text())
    page = Path("runs/report/report.html").read_text()
    assert "2 runs side by side" in page
    assert "runs/other/evaluate-warmup" in page
    assert "Where the runs disagree" in page
    assert "report: up to date" in udaseg(words, tiny=False).err
    assert "input oracle" in udaseg("report runs/tiny runs/other --dry-run", tiny=False).err


def test_a_run_by_itself_may_be_named_as_an_argument(workspace, udaseg):
    assert "up to date (runs/tiny/report)" in udaseg("report runs/tiny", tiny=False).err


def test_what_a_page_of_several_runs_needs_is_said(workspace, udaseg):
    for words, message in (
        ("report runs/tiny runs/tiny", "a run is named twice"),
        ("report runs/tiny runs/none", "holds no finished stage"),
        ("report runs/tiny --oracle runs/none", "there is no such directory"),
        (
            "report runs/tiny --oracle runs/tiny --oracle runs/tiny/evaluate",
            "2 of the 2 runs given with --oracle are of seed 0",
        ),
    ):
        outcome = udaseg(words, tiny=False)
        assert outcome.code == 1
        assert message in outcome.err


def test_a_report_needs_no_data_and_says_what_it_leaves_out(workspace, udaseg):
    shutil.rmtree("data")
    outcome = udaseg("report --run runs/tiny --force", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "the target of runs/tiny is not in data/toytown: its images are left out" in outcome.err
    assert not Path("data").exists()


def test_the_page_of_a_run_scores_its_pseudo_labels_by_the_truth(workspace, udaseg):
    page = Path("runs/tiny/report.html").read_text()
    assert "Changes by refinement" in page
    assert "Only this page reads their true labels" in page
