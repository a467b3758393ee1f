"""An ablation: every variant over every seed, no work done twice, a table with the spread."""

import json
import statistics
from pathlib import Path

import pytest

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.config.rules import require_consistent
from udaseg.pipeline import chain
from udaseg.stages.terminal.command import open_plain_run

VARIANTS = ("full", "the source")
CHAIN = ("--set", "chain=[warmup,stylize,predict,pseudolabel,refine,retrain,evaluate]")
ABLATION = ("--set", "ablation={the source: {retrain.source: none}}")


def done(err: str, stage: str, what: str) -> int:
    """Count the lines in which a stage says what is done about it."""
    return sum(line.startswith(f"{stage}: {what}") for line in err.splitlines())


def test_every_variant_is_run_and_shares_what_does_not_differ(workspace, udaseg, manifest):
    outcome = udaseg("ablate --seeds 0,1", *CHAIN, *ABLATION)
    assert outcome.code == 0, outcome.err
    document = json.loads(Path("runs/tiny/ablation/ablation.json").read_text())
    assert tuple(document["variants"]) == VARIANTS
    assert document["seeds"] == [0, 1]
    folders = {(name, seed): Path(f"runs/tiny/ablation/seed{seed}/{name}") for name in VARIANTS for seed in (0, 1)}
    for name, variant in document["variants"].items():
        scored = [json.loads((folders[name, seed] / "evaluate/metrics.json").read_text())["miou"] for seed in (0, 1)]
        assert variant["miou"] == scored
        assert variant["mean"] == pytest.approx(statistics.fmean(scored))
        assert variant["deviation"] == pytest.approx(statistics.stdev(scored))
        changes = [one - full for one, full in zip(scored, document["variants"]["full"]["miou"], strict=True)]
        assert variant["change"] == pytest.approx(statistics.fmean(changes))
        assert name == "full" or name in outcome.out
    assert "mean ± standard deviation of 2 seeds" in outcome.out
    # Seed 0 has been run before ablation; the change comes into retraining alone, the seed into the warm-up.
    assert [done(outcome.err, stage, "runs") for stage in ("stats", "warmup", "predict", "retrain")] == [0, 1, 1, 3]
    assert "warmup: taken over from runs/tiny/warmup" in outcome.err
    assert "retrain: taken over from runs/tiny/retrain" in outcome.err
    assert "refine: taken over from runs/tiny/ablation/seed1/full/refine" in outcome.err
    one, other = (folders[name, 1] / "warmup/model.pt" for name in VARIANTS[:2])
    assert one.stat().st_ino == other.stat().st_ino
    assert manifest(folders["the source", 1] / "retrain")["settings"]["retrain"]["source"] == "none"
    again = udaseg("ablate --seeds 0,1 --json", *CHAIN, *ABLATION)
    assert again.json == document
    assert "runs in" not in again.err
    again = udaseg("ablate --seeds 0,1 --dry-run", *CHAIN, *ABLATION)
    assert again.err.count(": up to date") == 4
    again = udaseg("ablate --seeds 0", *CHAIN, *ABLATION)
    assert "ablation.json had seed 1 too: --seeds 0,1 shows all, and trains none anew" in again.err
    # What is run again in one place leaves the other as it was.
    before = Path("runs/tiny/warmup/model.pt").read_bytes()
    assert udaseg("warmup --steps 1 --run runs/tiny/ablation/seed0/full").code == 0
    assert Path("runs/tiny/warmup/model.pt").read_bytes() == before
    assert "warmup: up to date" in udaseg("warmup").err


def test_what_a_stage_makes_for_itself_is_taken_over_too(workspace, udaseg):
    chain = (
        "--set",
        "chain=[warmup,stylize,predict,pseudolabel,retrain,evaluate]",
        "--set",
        "retrain.labels=pseudolabel",
    )
    words = ("--set", "pseudolabel.policy=cbst-sp", "--set", "ablation={the source: {retrain.source: none}}")
    outcome = udaseg("ablate --seeds 0", *chain, *words)
    assert outcome.code == 0, outcome.err
    assert done(outcome.err, "prior", "runs") == 1
    assert "prior: taken over from runs/tiny/ablation/seed0/full/prior" in outcome.err


def test_what_changed_is_done_once_more_for_all_variants(workspace, udaseg):
    assert udaseg("ablate --seeds 0", *CHAIN, *ABLATION).code == 0
    outcome = udaseg("ablate --seeds 0 --set warmup.steps=3", *CHAIN, *ABLATION)
    assert outcome.code == 0, outcome.err
    assert [done(outcome.err, stage, "runs") for stage in ("warmup", "predict", "retrain")] == [1, 1, 2]
    for stage in ("warmup", "predict", "pseudolabel", "refine"):
        assert f"{stage}: taken over from runs/tiny/ablation/seed0/full/{stage}" in outcome.err


@pytest.mark.parametrize("damage", ["{", "[1]", '{"seeds": 3}', '{"seeds": ["a"]}'])
def test_damaged_figures_are_said_before_anything_runs(workspace, udaseg, damage):
    figures = Path("runs/tiny/ablation/ablation.json")
    figures.parent.mkdir()
    figures.write_text(damage)
    outcome = udaseg("ablate --seeds 0", *CHAIN, *ABLATION)
    assert outcome.code == 1
    assert f"remove {figures}" in outcome.err
    assert ": runs in" not in outcome.err


def test_a_change_that_nothing_reads_is_told(workspace, udaseg):
    outcome = udaseg("ablate --seeds 0", *CHAIN, "--set", "ablation={student: {distill.steps: 3}}")
    assert outcome.code == 0, outcome.err
    assert "warning: student scores as full in every class: what it changes makes no difference" in outcome.err


def test_no_variant_takes_the_name_of_the_recipe_as_it_is(workspace, udaseg):
    outcome = udaseg("ablate --seeds 0 --set", "ablation={full: {retrain.source: none}}")
    assert outcome.code == 1
    assert "ablation.full is the name of the recipe as it is" in outcome.err


def test_a_variant_may_be_a_recipe_of_its_own(workspace, udaseg):
    Path("short.yaml").write_text("base: tiny.yaml\nchain: [warmup, evaluate-warmup]\n")
    outcome = udaseg("ablate --seeds 0 --set evaluate.batch=2", "--set", "ablation={M1: short.yaml}")
    assert outcome.code == 0, outcome.err
    place = Path("runs/tiny/ablation/seed0/M1")
    assert {path.parent.name for path in place.glob("*/manifest.json")} == {"warmup", "evaluate-warmup"}
    assert "warmup: taken over from runs/tiny/warmup" in outcome.err
    assert json.loads((place / "run.json").read_text())["recipe"] == str(Path("short.yaml").resolve())
    variants = json.loads(Path("runs/tiny/ablation/ablation.json").read_text())["variants"]
    assert variants["M1"]["changes"] == "short.yaml"
    assert variants["M1"]["miou"] == [json.loads((place / "evaluate-warmup/metrics.json").read_text())["miou"]]


def test_one_round_is_the_first_of_several_and_prototypes_can_be_left_out(workspace, udaseg, manifest):
    words = ["--set", "rounds=2", "--set", "refine.prototypes=true", "--set"]
    words += ["chain=[warmup,stylize,predict,pseudolabel,prototypes,refine,retrain,evaluate]", "--set"]
    words += ["ablation={rounds: {rounds: 1}, prototypes: {refine.prototypes: false}}"]
    outcome = udaseg("ablate --seeds 0", *words)
    assert outcome.code == 0, outcome.err
    for stage in ("prototypes", "refine", "retrain"):  # what comes before is that of the finished run
        assert f"{stage}: taken over from runs/tiny/ablation/seed0/full/round1/{stage}" in outcome.err
    assert done(outcome.err, "retrain", "runs") == 3  # two rounds with prototypes, and the second without
    read = manifest("runs/tiny/ablation/seed0/prototypes/round1/prototypes")["inputs"]["labels"]["path"]
    assert Path(read).parent.name == "pseudolabel"


def test_null_takes_out_what_the_base_lists(tmp_path):
    (tmp_path / "base.yaml").write_text("base: demo\nablation: {a: {evaluate.flip: true}, b: {rounds: 2}}\n")
    (tmp_path / "own.yaml").write_text("base: base.yaml\nablation: {a: null}\n")
    assert load_recipe(str(tmp_path / "own.yaml")).ablation == {"b": {"rounds": 2}}


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--set", "ablation={x: {pseudolabel.p: 0.2}}"], "x changes nothing: the recipe has these", "take x out"),
        (["--set", "ablation={x: 3}"], "ablation: x is 3, expected what to change", "correct ablation in the recipe"),
        (["--set", "ablation={x: ../a.yaml}"], "or a recipe's name", "correct ablation in the recipe"),
        (["--set", "ablation={x: shorter}"], "there is no recipe named 'shorter'", "give a .yaml file"),
        (["--set", "ablation={x: {retrain.losss: symmetric}}"], "unknown setting 'retrain.losss'", "loss"),
        (["--set", "chain=[warmup]"], "evaluates nothing", "add evaluate to its chain"),
        (["--seeds", "0,0"], "each once", "--seeds 0,1,2"),
        (["--seeds", "a"], "expected whole numbers", "--seeds 0,1,2"),
    ],
)
def test_what_cannot_be_ablated_is_said_before_anything_runs(rendered, udaseg, arguments, message, hint):
    outcome = udaseg("ablate", *ABLATION, *arguments)
    assert outcome.code == 1
    assert message in outcome.err
    assert hint in outcome.err
    assert not Path("runs").exists()


def test_a_recipe_without_an_ablation_says_how_one_is_written(workspace, udaseg):
    outcome = udaseg("ablate")
    assert outcome.code == 1
    assert "lists nothing to leave out" in outcome.err
    assert "ablation: {teacher: {retrain.teacher: null}}" in outcome.err


def test_a_dry_run_lists_the_runs(rendered, udaseg):
    outcome = udaseg("ablate --seeds 3 --dry-run", *CHAIN, *ABLATION)
    assert outcome.code == 0
    assert outcome.err.count(": would run warmup, stylize, predict") == 2
    assert not Path("runs").exists()


@pytest.mark.parametrize("scale", ["full", "toy"])
@pytest.mark.parametrize("name", [name for name in shipped_recipes() if load_recipe(name).ablation])
def test_shipped_ablations_change_something_and_can_be_run(name, scale):
    recipe = load_recipe(name, scale=scale)
    for without, changes in recipe.ablation.items():
        if changes == name:
            continue  # it is itself a row of the table that it inherits
        own, over = (changes, {}) if isinstance(changes, str) else (name, changes)
        run = open_plain_run(own, scale=scale, set_=[f"{key}={json.dumps(value)}" for key, value in over.items()])
        variant = run.recipe
        assert variant.model_copy(update={"name": name, "description": recipe.description}) != recipe, without
        for stage in variant.chain:
            require_consistent(variant, stage)
        assert chain.gaps(run) == [], without


def test_a_setting_that_a_variant_alone_reads_is_taken(rendered, udaseg):
    mining = ("--set", "ablation={mining: {retrain.mine: 0.5}}", "--dry-run")
    assert udaseg("ablate --seeds 0 --set retrain.mine_below=0.01", *mining).code == 0
    outcome = udaseg("ablate --seeds 0 --set retrain.prototype_momentum=0.5", *mining)
    assert outcome.code == 1
    assert "retrain.prototype_momentum: nothing would read it" in outcome.err
