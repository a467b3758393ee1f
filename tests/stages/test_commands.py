"""The commands that come with no run: help, recipes, and the demo's five commands in an empty directory."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.stages import cli

FIVE = ("warmup", "pseudolabel --policy cbst --p 0.2", "refine --spatial-prior", "retrain", "evaluate")
SMALL = {
    "toytown": "{source: 3, train: 3, val: 2, size: [64, 128]}",
    "source.size": "[32, 64]",
    "target.size": "[32, 64]",
    "warmup.steps": 2,
    "warmup.batch": 2,
    "retrain.steps": 2,
    "retrain.batch": 2,
}


def test_the_five_commands_work_one_after_the_other_in_an_empty_directory(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    small = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    for command in FIVE:
        outcome = udaseg(command, *small, tiny=False)
        assert outcome.code == 0, outcome.err
    assert "mean of 16" in outcome.out
    assert Path("runs/demo/evaluate/metrics.json").is_file()
    assert {path.name for path in Path("data/toytown").iterdir()} >= {"gta5", "synthia", "cityscapes"}


@pytest.mark.parametrize("command", FIVE)
def test_each_of_the_five_can_be_planned_without_flags(tmp_path, monkeypatch, udaseg, command):
    """Only the first can run in an empty directory; the others name the one that comes first."""
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(f"{command} --dry-run", tiny=False)
    if command == "warmup":
        assert (outcome.code, outcome.out) == (0, "")
    else:
        assert outcome.code == 1
        assert "run first: udaseg " in outcome.err
    assert list(tmp_path.iterdir()) == []


def commands():
    group = typer.main.get_command(cli.app)
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from (f"{name} {inner}" for inner in command.commands)
        else:
            yield name


@pytest.mark.parametrize("command", list(commands()))
def test_every_command_explains_itself_with_an_example(udaseg, command):
    outcome = udaseg(f"{command} --help", tiny=False)
    assert outcome.code == 0
    assert f"Usage: udaseg {command} " in outcome.out
    assert f"Example: udaseg {command}" in outcome.out


@pytest.mark.parametrize("name", list(commands()))
def test_every_example_has_flags_and_values_that_there_are(name):
    command = typer.main.get_command(cli.app)
    for word in name.split():
        command = command.commands[word]
    example = re.search(rf"Example: udaseg {name} ?(.*)", command.help)[1]
    command.make_context(name, shlex.split(example))  # which ends the process where something is wrong


def test_shipped_recipes_are_listed_shown_and_copied(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    listed = udaseg("recipe list", tiny=False).out
    for name in shipped_recipes():
        assert name in listed
    shown = udaseg("recipe show demo", tiny=False).out
    Path("shown.yaml").write_text(shown)
    assert load_recipe("shown.yaml").model_dump() == load_recipe("demo").model_dump()
    assert udaseg("recipe copy gta2city mine.yaml", tiny=False).out == "mine.yaml\n"
    assert load_recipe("mine.yaml").warmup == load_recipe("gta2city").warmup
    assert udaseg("recipe copy gta2city mine.yaml", tiny=False).code == 1


def test_toytown_is_rendered_where_it_is_asked_for(tmp_path, monkeypatch, udaseg, manifest):
    monkeypatch.chdir(tmp_path)
    command = "data make world --source 2 --train 1 --val 1 --size 64x128 --seed 3"
    assert udaseg(f"{command} --dry-run", tiny=False).code == 0
    assert not Path("world").exists()
    assert udaseg(command, tiny=False).code == 0
    assert manifest("world")["seed"] == 3
    assert len(list(Path("world/gta5/images").iterdir())) == 2
    assert "data: up to date" in udaseg(command, tiny=False).err
    outcome = udaseg(command.replace("--source 2", "--source 1"), tiny=False)
    assert "toytown.source: 2 -> 1" in outcome.err
    assert len(list(Path("world/gta5/images").iterdir())) == 1
    for wrong, words in (("--size 16x16", "expected 32 to 4096"), ("--source 0", "error: --source: ")):
        outcome = udaseg(f"data make world {wrong}", tiny=False)
        assert outcome.code == 1
        assert words in outcome.err
        assert len(list(Path("world/gta5/images").iterdir())) == 1
    assert "data: up to date" in udaseg(command.replace("--source 2", "--source 1"), tiny=False).err
