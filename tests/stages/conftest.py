"""A finished run of a tiny recipe, made once, and the command line to work on copies of it."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from udaseg.pipeline import doctor
from udaseg.stages import cli

from ..hints import assert_understood

RECIPE = """\
base: demo
model: {encoder: test_efficientnet, decoder: fpn, width: 16, weights: none}
toytown: {source: 6, train: 5, val: 3, size: [64, 128]}
source: {size: [32, 64]}
target: {size: [32, 64]}
warmup: {steps: 4, batch: 2, save_every: 2, log_every: 1, augment: {crop: null, scale: [1.0, 1.0]}}
refine: {confidence: 0.0, base0: 2, base1: 60, scale_with_area: false}
retrain: {steps: 3, batch: 2, save_every: 2, log_every: 1, augment: {crop: null, scale: [1.0, 1.0]}}
"""
CHAIN = (
    "warmup", "stylize", "predict", "pseudolabel", "refine", "prototypes", "gmm", "retrain",
    "evaluate --model warmup", "evaluate", "report",
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def sound(monkeypatch, tmp_path):
    """Let the doctor find nothing broken, however full the disk of this machine and whatever its driver."""
    monkeypatch.setattr(doctor, "ROOM", 0)
    monkeypatch.setattr(doctor, "DRIVER", tmp_path / "no-driver")


def copy(source: Path, to: Path) -> None:
    """Copy a directory by hard links: udaseg replaces files and never writes into them, but touches manifests."""

    def link(own: str, other: str) -> None:
        (shutil.copy2 if own.endswith("manifest.json") else os.link)(own, other)

    # A lock is on the file itself: through a link, two tests would keep each other out.
    shutil.copytree(source, to, copy_function=link, ignore=shutil.ignore_patterns(".*.lock"))


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """Give a directory with tiny.yaml and the finished run of it; it is not to be changed."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    place, done = base / "finished", base / "finished.done"
    with FileLock(base / "finished.lock"):
        if done.exists():
            return place
        place.mkdir()
        (place / "tiny.yaml").write_text(RECIPE)
        before = Path.cwd()
        os.chdir(place)
        try:
            for command in CHAIN:
                assert cli.run([*command.split(), "--recipe", "tiny.yaml"]) == 0
        finally:
            os.chdir(before)
        done.touch()
    return place


@pytest.fixture
def workspace(finished, tmp_path, monkeypatch) -> Path:
    """Work in a copy of the finished run."""
    place = tmp_path / "work"
    copy(finished, place)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def rendered(finished, tmp_path, monkeypatch) -> Path:
    """Work in a directory with the tiny recipe and its toytown, where nothing has been run."""
    place = tmp_path / "work"
    copy(finished / "data", place / "data")
    shutil.copy(finished / "tiny.yaml", place)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def udaseg(capsys):
    """Give the command line: words in, an Outcome out; `tiny=False` leaves out the tiny recipe.

    Every error comes with a hint, and what that tells the user to type is understood.
    """

    def run(command: str, *more: str, tiny: bool = True) -> Outcome:
        capsys.readouterr()
        code = cli.run([*command.split(), *more, *(["--recipe", "tiny.yaml"] if tiny else [])])
        said = capsys.readouterr()
        outcome = Outcome(code, said.out, said.err)
        if re.search(r"^error: ", said.err, re.MULTILINE):
            _, _, hint = said.err.partition("\n hint: ")
            assert hint, said.err
            assert_understood(hint)
        return outcome

    return run


KILLING = """
import fnmatch, os, signal, sys
from pathlib import Path

pattern, spared = sys.argv[1], int(sys.argv[2])
replace = Path.replace

def killing(self, target):
    global spared
    if fnmatch.fnmatch(str(target), pattern):
        spared -= 1
        if spared < 0:
            os.kill(os.getpid(), signal.SIGKILL)
    return replace(self, target)

Path.replace = killing
from udaseg.stages import cli
sys.exit(cli.run(sys.argv[3:]))
"""


@pytest.fixture
def killed():
    """Run a command of the tiny recipe in a process that is killed when output number `spared` + 1 gets its name."""

    def run(command: str, pattern: str, spared: int) -> None:
        arguments = [sys.executable, "-c", KILLING, pattern, str(spared), *command.split(), "--recipe", "tiny.yaml"]
        ended = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=120)
        assert ended.returncode == -9, ended.stderr

    return run


def manifest(folder: str | Path) -> dict:
    return json.loads(Path(folder, "manifest.json").read_text())


@pytest.fixture(name="manifest")
def _manifest():
    return manifest
