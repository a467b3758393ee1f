"""udaseg run: the whole chain in one command."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from udaseg.errors import UdasegError
from udaseg.models.weights import imagenet
from udaseg.pipeline import chain
from udaseg.pipeline.chain_weights import fetch_weights
from udaseg.stages.terminal.command import open_plain_run

CHAIN = ("--set", "chain=[warmup,predict,pseudolabel,evaluate-warmup]")


def lines(outcome):
    return [line for line in outcome.err.splitlines() if line.startswith("[")]


def test_a_finished_chain_is_left_as_it_is(workspace, udaseg):
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()}
    outcome = udaseg("run tiny.yaml", tiny=False)
    assert outcome.code == 0, outcome.err
    assert lines(outcome)[0] == "[1/11] warmup"
    assert len(lines(outcome)) == 11
    assert ": runs in" not in outcome.err
    assert outcome.err.splitlines()[-1] == (
        "run: done, everything is up to date in runs/tiny; the page is runs/tiny/report.html"
    )
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*") if path.is_file()} == before


def test_an_empty_run_is_filled_stage_by_stage(rendered, udaseg):
    outcome = udaseg("run", *CHAIN)
    assert outcome.code == 0, outcome.err
    assert lines(outcome) == ["[1/4] warmup", "[2/4] predict", "[3/4] pseudolabel", "[4/4] evaluate-warmup"]
    assert "warmup: runs in runs/tiny/warmup: it has not been run" in outcome.err
    assert "mean" in outcome.out  # the table of scores
    assert sorted(path.parent.name for path in Path("runs/tiny").glob("*/manifest.json")) == [
        "evaluate-warmup", "predict", "pseudolabel", "warmup",
    ]  # fmt: skip


def test_a_chain_may_begin_with_retraining_from_weights(workspace, udaseg):
    online = "{init: weights, source: source, labels: none, online: {}, teacher: 0.9, classmix: true}"
    Path("online.yaml").write_text(f"base: tiny.yaml\nchain: [retrain, predict, evaluate, report]\nretrain: {online}\n")
    assert udaseg("recipe check online.yaml", tiny=False).code == 0
    planned = lines(udaseg("run online.yaml --dry-run", tiny=False))
    assert planned[0] == "[1/4] retrain: would run: it has not been run"
    assert all("runs/online/retrain does not exist" in line for line in planned[1:3])
    rows = udaseg("status --recipe online.yaml --json", tiny=False).json["stages"]
    assert [row["state"] for row in rows] == ["to run", "waiting", "waiting", "waiting"]
    refused = udaseg("run online.yaml --rounds 2", tiny=False)
    assert (refused.code, "a round reads nothing of the last" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("distill.weights=own.pth", "there is no weights file own.pth", "--set distill.weights=FILE"),
        ("distill.weights=pip:no-such", "no-such with weights is not installed", "--set distill.weights=FILE"),
        ("distill.weights=imagenet", "cannot download", "--set model.weights=FILE"),
    ],
)
def test_a_chain_without_the_weights_of_its_last_training_fails_before_its_first_stage(
    rendered, udaseg, monkeypatch, words, message, hint
):
    def refuse(encoder):
        raise UdasegError("cannot download", "--set model.weights=FILE")

    monkeypatch.setattr(imagenet, "download_imagenet", refuse)
    monkeypatch.setattr(imagenet, "find_imagenet", lambda encoder: ("", Path("absent"), False))
    chain = "chain=[warmup,predict,pseudolabel,refine,retrain,distill]"
    outcome = udaseg("run", "--set", chain, "--set", words)
    assert outcome.code == 1
    assert message in outcome.err
    assert hint in outcome.err
    assert not Path("runs").exists()
    dry = udaseg("run --dry-run", "--set", chain, "--set", words)
    assert (dry.code, message in dry.err) == ((0, False) if "imagenet" in words else (1, True))
    assert udaseg("run --until predict --dry-run", "--set", chain, "--set", words).code == 0


def test_a_finished_chain_needs_no_weights_of_imagenet(workspace, udaseg, monkeypatch):
    monkeypatch.setattr(imagenet, "download_imagenet", lambda encoder: pytest.fail(encoder))
    monkeypatch.setattr(imagenet, "find_imagenet", lambda encoder: ("", Path("absent"), False))
    change = "model={encoder: resnet18, weights: imagenet, decoder: fpn}"
    assert udaseg("run --until stylize --dry-run", "--set", change).code == 0
    (step, *_) = chain.steps(open_plain_run("tiny.yaml", set_=[change]))
    fetch_weights([step])
    with pytest.raises(pytest.fail.Exception, match="resnet18"):
        fetch_weights([step._replace(run=replace(step.run, force=True))])


def test_a_changed_setting_runs_its_stage_and_what_follows(workspace, udaseg):
    outcome = udaseg("run", "--set", "pseudolabel.p=0.4", "--until", "refine")
    assert outcome.code == 0, outcome.err
    assert "predict: up to date" in outcome.err
    assert "pseudolabel: runs in runs/tiny/pseudolabel: pseudolabel.p: 0.2 -> 0.4" in outcome.err
    assert "input labels (runs/tiny/pseudolabel/labels) has changed" in outcome.err
    assert "retrain" not in outcome.err
    assert outcome.err.splitlines()[-1].startswith("run: done, everything up to refine is up to date in runs/tiny")


def test_a_dry_run_plans_all_and_writes_nothing(workspace, udaseg):
    shutil.rmtree("runs/tiny/retrain")
    before = sorted(Path("runs").rglob("*"))
    outcome = udaseg("run --dry-run")
    assert outcome.code == 0
    states = dict(line.split("] ", 1)[1].split(": ", 1) for line in lines(outcome))
    assert len(states) == 11
    assert states["refine"] == "up to date"
    assert states["retrain"] == "would run: it has not been run"
    assert states["evaluate"].startswith("would run: runs/tiny/retrain does not exist")
    assert sorted(Path("runs").rglob("*")) == before


def test_rounds_repeat_self_training(rendered, udaseg):
    outcome = udaseg("run --rounds 2 --until pseudolabel", *CHAIN)
    assert outcome.code == 1  # the second round needs the first one's retrain
    assert [line.split("] ")[1] for line in lines(outcome)][:3] == ["warmup", "round1/predict", "round1/pseudolabel"]
    assert "round1/retrain does not exist" in outcome.err


def test_seeds_have_runs_of_their_own_and_are_compared(rendered, udaseg):
    outcome = udaseg("run --seeds 0,1 --set", "chain=[warmup,evaluate-warmup]")
    assert outcome.code == 0, outcome.err
    for seed in (0, 1):
        assert f"run: seed {seed} in runs/tiny-{seed}" in outcome.err
        assert json.loads(Path(f"runs/tiny-{seed}/warmup/manifest.json").read_text())["seed"] == seed
    assert "±" in outcome.out
    again = udaseg("run --seeds 0,1 --set", "chain=[warmup,evaluate-warmup]")
    assert ": runs in" not in again.err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--until", "refin"], "did you mean 'refine'?"),
        (["--until", "distill"], "the chain of tiny has no such stage"),
        (["--set", "chain=[]"], "has no stages in its chain"),
        (["--seeds", "0,x"], "expected whole numbers from 0"),
        (["demo"], "name the recipe once"),
        (["--seeds", "0,1", "--seed", "3"], "give --seeds or --seed"),
        (["--set", "target.val=none"], "or train without scores: udaseg run --until retrain --recipe tiny.yaml"),
    ],
)
def test_what_cannot_be_run_is_refused(workspace, udaseg, words, expected):
    outcome = udaseg("run", *words)
    assert outcome.code == 1
    assert expected in outcome.err


def test_a_killed_chain_goes_on(rendered, udaseg, killed):
    killed("run --until predict", "*/state.pt", 1)
    outcome = udaseg("run --until predict")
    assert outcome.code == 0, outcome.err
    assert "warmup: continues in runs/tiny/warmup" in outcome.err
