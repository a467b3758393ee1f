"""A hint that is raised where no run is known gets the flags of the run: pasted, its commands work on the same one."""

from pathlib import Path

import pytest

from udaseg.pipeline.run import name_run, open_run
from udaseg.stages.cli import STAGES

FLAGS = "--recipe gta2city --seed 3 --run runs/x --set predict.batch=2"


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return open_run(STAGES, "gta2city", run=Path("runs/x"), seed=3, set_=["predict.batch=2"])


@pytest.mark.parametrize(
    ("hint", "named"),
    [
        ("write it again: udaseg prior --force", f"write it again: udaseg prior --force {FLAGS}"),
        ("count with `udaseg data stats`, first", f"count with `udaseg data stats {FLAGS}`, first"),
        ("udaseg predict", f"udaseg predict --round 1 {FLAGS}"),
        ("a: udaseg gmm\n       b: udaseg prior", f"a: udaseg gmm {FLAGS}\n       b: udaseg prior {FLAGS}"),
        ("or see the demo: udaseg warmup --recipe demo", None),
        ("look at `udaseg data check data`, `udaseg data make data` or `udaseg recipe list`", None),
        ("run udaseg predict where nothing marks a command", None),
    ],
)
def test_commands_of_stages_get_the_flags_of_the_run_once(run, hint, named):
    once = name_run(run, hint)
    assert once == (named or hint)
    assert name_run(run, once) == once
