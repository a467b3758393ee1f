"""Make chains the stages: nothing where nothing has changed, and what follows where something has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MAKEFILE = Path(__file__).parent.parent.parent / "Makefile"


@pytest.fixture
def make():
    def run(*words: str) -> subprocess.CompletedProcess:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        command = ["make", "-f", str(MAKEFILE), "chain", "RECIPE=tiny.yaml", f"UDASEG={sys.executable} -m udaseg"]
        return subprocess.run([*command, *words], capture_output=True, text=True, check=False, env=surroundings)

    return run


def planned(ended: subprocess.CompletedProcess) -> list[str]:
    """List the stages whose commands `make -n` prints."""
    assert ended.returncode == 0, ended.stderr
    lines = [line for line in ended.stdout.splitlines() if " -m udaseg " in line]
    return [line.split(" -m udaseg ")[1].split(" --recipe")[0].strip() for line in lines]


def test_a_finished_chain_says_so(workspace, make):
    ended = make()
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "tiny.yaml: everything is up to date; see runs/tiny/report.html\n"


def test_a_changed_setting_makes_that_stage_and_what_follows(workspace, make):
    stages = planned(make("-n", "SET=gmm.components=3"))
    assert stages == ["gmm", "retrain", "evaluate --model warmup", "evaluate", "report"]


def test_a_changed_setting_is_run_and_then_up_to_date(workspace, make, udaseg):
    # In a chain of three, to be quick.
    chain = "SET=gmm.components=3 chain=[warmup,stylize,gmm]"
    ended = make(chain)
    assert ended.returncode == 0, ended.stderr
    assert "gmm: runs in runs/tiny/gmm: gmm.components: 5 -> 3" in ended.stderr
    assert "everything is up to date" in make(chain).stdout


def test_looking_at_a_stage_from_another_leaves_its_place_in_the_order(workspace, make, udaseg):
    """retrain looks at stylize; Make must not conclude that all between them is out of date."""
    assert "stylize: up to date" in udaseg("retrain").err
    for command in ("evaluate --model warmup", "evaluate", "report"):
        assert udaseg(command).code == 0
    assert planned(make("-n")) == []


def test_an_empty_run_is_planned_from_its_first_stage(rendered, make):
    stages = planned(make("-n"))
    assert stages[:3] == ["warmup", "stylize", "predict"]
    assert len(stages) == 11


def test_what_cannot_be_planned_stops_make(rendered, make):
    ended = make("SET=warmup.stepz=3")
    assert ended.returncode == 2
    assert "unknown setting 'warmup.stepz'" in ended.stderr
    assert "cannot be planned" in ended.stderr


def test_a_place_with_a_space_in_its_name(rendered, make):
    Path("data").rename("my data")
    assert len(planned(make("-n", "DATA=my data/toytown"))) == 11
