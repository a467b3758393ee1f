"""The documents about reports and models are followed to the letter, in a place that has what they speak of."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.stages import cli

ROOT = Path(__file__).parent.parent.parent
MADE = ("models.md", "reports.md")
BLOCKS = {
    name: re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "docs" / name).read_text(), re.MULTILINE | re.DOTALL)
    for name in MADE
}


def lines(name, word):
    text = [line for kind, block in BLOCKS[name] if kind == "sh" for line in block.splitlines()]
    return [shlex.split(line)[1:] for line in text if line.startswith(f"{word} ")]


@pytest.fixture
def place(workspace):
    """Give the runs that the documents name, and pictures of one's own."""
    for name in ("demo", "demo-1", "oracle", "source"):
        shutil.copytree("runs/tiny", f"runs/{name}", ignore=shutil.ignore_patterns(".lock"))
    Path("photos").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 80, 3), np.uint8)).save(Path("photos", name))
    return workspace


@pytest.mark.parametrize("name", MADE)
def test_every_block_is_of_a_kind_that_is_tested(name):
    kinds = [kind for kind, _ in BLOCKS[name]]
    assert set(kinds) <= {"sh", "py"}
    commands = [line for kind, block in BLOCKS[name] if kind == "sh" for line in block.splitlines()]
    assert {line.split()[0] for line in commands} <= {"udaseg", "make"}


@pytest.mark.parametrize("name", MADE)
def test_every_command_works(place, capsys, name):
    for words in lines(name, "udaseg"):
        assert cli.run(words) == 0, (words, capsys.readouterr().err)
    for kind, block in BLOCKS[name]:
        if kind == "py":
            capsys.readouterr()
            exec(block, {})
            assert "'" in capsys.readouterr().out  # the names of classes


def test_make_knows_the_targets():
    text = (ROOT / "Makefile").read_text()
    targets = {words[0] for name in MADE for words in lines(name, "make")}
    assert targets == {"realtime-table"}
    assert all(re.search(rf"^{target}:", text, re.MULTILINE) for target in targets)


def test_the_readme_leads_to_them():
    readme = (ROOT / "README.md").read_text()
    assert all(f"docs/{name}" in readme for name in MADE)
