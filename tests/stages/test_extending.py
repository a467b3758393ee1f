"""docs/extending.md is followed to the letter, in a copy of the code: its files, its changes, its commands."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
ALL = """
import shlex, sys
from udaseg.stages import cli
for command in sys.argv[1:]:
    if cli.run(shlex.split(command)):
        sys.exit(f"{command} failed")
"""


def changed(text: str, lines: list[str]) -> str:
    """Make a change: find context and old lines (`-`), put new ones (`+`) after the context in place of the old.

    What follows new lines is another place.
    """
    while lines:
        old = next((i for i, line in enumerate(lines) if line.startswith("+")), len(lines))
        new = next((i for i, line in enumerate(lines[old:], old) if not line.startswith("+")), len(lines))
        before = "".join(line[1:] + "\n" for line in lines[:old])
        after = "".join(line[1:] + "\n" for line in lines[:new] if not line.startswith("-"))
        assert before, "new lines have to come after some that are there"
        assert text.count(before) == 1, f"the code has no such lines, or several times:\n{before}"
        text, lines = text.replace(before, after), lines[new:]
    return text


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """Give a copy of the code with everything that the document says in it."""
    place = tmp_path_factory.mktemp("extended")
    for name in ("udaseg", "stages"):
        # With the compiled kernels, which are kept beside the code.
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("*.pyc"))
    (place / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "test_architecture.py", place / "tests")
    (place / "udaseg" / "stages").symlink_to(place / "stages")
    for kind, block in BLOCKS:
        name, _, body = block.partition("\n")
        path = place / name.removeprefix("# ")
        if kind == "py":
            assert not path.exists()
            path.write_text(body)
        elif kind == "diff":
            path.write_text(changed(path.read_text(), body.splitlines()))
    return place


def run(place: Path, *arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
    surroundings = os.environ | {"PYTHONPATH": str(place)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd or place, env=surroundings, capture_output=True, text=True, check=False
    )


def test_every_block_is_of_a_kind_that_is_tested():
    assert {kind for kind, _ in BLOCKS} == {"py", "diff", "sh"}
    assert all(block.startswith("# ") for kind, block in BLOCKS if kind in ("py", "diff"))


def test_the_commands_work(extended, workspace):
    rng = np.random.default_rng(0)
    for folder, shape in (("train", (36, 48, 3)), ("trainannot", (36, 48))):
        Path("data/camvid", folder).mkdir(parents=True)
        for stem in "ab":
            image = rng.integers(0, 12, shape).astype(np.uint8)
            Image.fromarray(image).save(Path("data/camvid", folder, f"{stem}.png"))
    lines = [line for kind, block in BLOCKS if kind == "sh" for line in block.splitlines()]
    assert len(lines) == 8
    tiny = ("data", "info")
    commands = [line[7:] + ("" if line.split()[1] in tiny else " --recipe tiny.yaml") for line in lines]
    ended = run(extended, "-c", ALL, *commands, cwd=workspace)
    assert ended.returncode == 0, ended.stderr
    assert "camvid in data/camvid" in ended.stdout
    assert "fpn, 19 classes" in ended.stdout
    assert "coverage: up to date" in ended.stderr
    assert shlex.split(commands[1])[2] in Path("runs/tiny/pseudolabel/thresholds.json").read_text()


def test_the_house_rules_hold(extended):
    chosen = "room or shell or circle or command_imports or torch or short"
    ended = run(extended, "-m", "pytest", "-p", "no:cacheprovider", "-q", "tests/test_architecture.py", "-k", chosen)
    assert ended.returncode == 0, ended.stdout
    files = [block.partition("\n")[0].removeprefix("# ") for kind, block in BLOCKS if kind in ("py", "diff")]
    options = ("--config", str(ROOT / "pyproject.toml"), "--no-cache")
    for tool in (("check",), ("format", "--check")):
        ended = run(extended, "-m", "ruff", *tool, *options, *files)
        assert ended.returncode == 0, ended.stdout
