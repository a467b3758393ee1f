"""The README is run: its commands, its recipe and its files are those of a user who believes it."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from udaseg.config.load import load_recipe
from udaseg.data.datasets.folder import read_classes
from udaseg.stages import cli

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
LINES = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
FILES = {block.splitlines()[0].removeprefix("# "): block for kind, block in BLOCKS if kind == "yaml"}
WORLD = ("--source", "3", "--train", "3", "--val", "2", "--size", "64x128")


def small(section: str) -> list[str]:
    changes = [f"{section}.{change}" for change in ("steps=1", "batch=2", "save_every=9")]
    return [word for change in changes for word in ("--set", change)]


TINY = ["--set", "source.size=[32,64]", "--set", "target.size=[32,64]", *small("warmup"), *small("retrain")]


def test_every_block_is_of_a_kind_that_is_tested():
    assert {kind for kind, _ in BLOCKS} == {"sh", "yaml", "text"}
    assert {line.split()[0] for line in LINES} == {"udaseg", "make"}
    assert set(FILES) == {"data/synthetic/classes.yaml, data/real/classes.yaml"}


def test_it_is_short():
    assert len(TEXT.splitlines()) <= 180


def test_the_table_of_stages_lists_every_command(capsys):
    listed = set(re.findall(r"^\| `udaseg ([a-z]+(?: [a-z]+)?)(?: DIR)?` \|", TEXT, re.MULTILINE))
    assert {"data make", "data check", "data stats", "warmup", "retrain", "status"} <= listed
    for command in listed:
        assert cli.run([*command.split(), "--help"]) == 0
    capsys.readouterr()


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Make what the README speaks of: toytown, a run of the demo, one's own data."""
    place = tmp_path_factory.mktemp("readme")
    before = Path.cwd()
    os.chdir(place)
    try:
        assert cli.run(["data", "make", "data/toytown", *WORLD]) == 0
        write_own_data()
        for command in by_hand():
            assert cli.run([*command, *TINY]) == 0
    finally:
        os.chdir(before)
    return place


def by_hand() -> list[list[str]]:
    block = next(block for kind, block in BLOCKS if kind == "sh" and block.startswith("udaseg warmup\n"))
    return [shlex.split(line)[1:] for line in block.splitlines()]


def write_own_data() -> None:
    rng = np.random.default_rng(0)
    for file, text in FILES.items():
        for name in file.split(", "):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Path(name).write_text(text)
    for folder, suffix in (("synthetic/train", "png"), ("real/train", "jpg"), ("real/val", "jpg")):
        for part in ("images", "labels"):
            Path("data", folder, part).mkdir(parents=True)
        for stem in "ab":
            label = rng.choice([0, 1, 2, 3, 255], (36, 64)).astype(np.uint8)
            image = rng.integers(0, 256, (36, 64, 3), dtype=np.uint8)
            Image.fromarray(image).save(Path("data", folder, "images", f"{stem}.{suffix}"))
            Image.fromarray(label).save(Path("data", folder, "labels", f"{stem}.png"))
    shutil.rmtree("data/real/train/labels")


def test_the_commands_by_hand_leave_a_run_with_its_page(place):
    assert (place / "runs" / "demo" / "report.html").is_file()
    assert (place / "runs" / "demo" / "evaluate" / "metrics.json").is_file()


def test_the_classes_load(place):
    (text,) = FILES.values()
    for folder in ("synthetic", "real"):
        classes, _ = read_classes(place / "data" / folder)
        assert list(classes.classes) == yaml.safe_load(text)["names"]


OWN = [line for line in LINES if line.startswith("udaseg") and "mine.yaml" in line]
OTHERS = [line for line in LINES if line.startswith("udaseg") and line not in OWN]


def test_own_data_goes_through_all_stages(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    assert [line.split()[1] for line in OWN] == ["init", "run"]
    for line in OWN:
        fast = ["--no-estimate"] if " init " in line else TINY
        assert cli.run([*shlex.split(line)[1:], *fast]) == 0, capsys.readouterr().err
    mine = load_recipe("mine.yaml")
    assert (mine.space, mine.chain) == (("road", "building", "person", "car"), ("retrain", "evaluate", "report"))
    assert Path("runs/mine/evaluate/metrics.json").is_file()


@pytest.mark.parametrize("line", OTHERS)
def test_every_other_command_runs_or_can_be_planned(place, monkeypatch, capsys, line):
    monkeypatch.chdir(place)
    words = shlex.split(line)[1:]
    if words[0] not in ("status", "recipe", "data", "info") and "--dry-run" not in words:
        words.append("--dry-run")
    assert cli.run(words) == 0, capsys.readouterr().err


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("make")])
def test_make_knows_its_targets(place, line):
    """Make plans every target; the one that needs /datasets runs, and reports what is missing there."""
    if "DATA=/datasets" in line and Path("/datasets").exists():
        pytest.skip("there is a /datasets here")
    words = [*shlex.split(line)[1:], "-o", ".venv/ready", f"UDASEG={sys.executable} -m udaseg"]
    words += [f"RUN={place / 'full'}"] if "DATA=/datasets" in line else ["-n"]
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    ended = subprocess.run(["make", *words], cwd=ROOT, capture_output=True, text=True, check=False, env=surroundings)
    if "DATA=/datasets" in line:
        assert ended.returncode == 2
        assert "there is no directory /datasets/gta5" in ended.stderr
        assert "make gta2city SCALE=toy" in ended.stderr
    else:
        assert ended.returncode == 0, ended.stderr
        assert ended.stdout
