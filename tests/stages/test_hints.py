"""What a hint tells a user to type is a command that exists, with flags that it takes, on the same run."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from udaseg.stages import cli

ERRORS = (
    "warmup --recipe gta2city --data nowhere",
    "predict --run runs/other",
    "evaluate --predictions predict",
    "retrain --labels nothing",
    "retrain --labels empty --set retrain.mine=0",
    "retrain --labels distill",
    "warmup --set space=[road,CAR]",
    "data check data/toytown",
    "warmup --recipe own.yaml",
    "status --recipe nope",
    "retrain --predictions x",
    "ensemble --predictions predict",
)


def commands(text: str) -> list[list[str]]:
    """Find the command lines in a hint: up to its end, or the end of a clause or of backticks."""
    lines = re.findall(r"udaseg [a-z][^`\n;,)]*", text)
    return [shlex.split(line)[1:] for line in lines]


def assert_understood(words: list[str]) -> None:
    command, rest = typer.main.get_command(cli.app), list(words)
    while hasattr(command, "commands"):
        assert rest, words
        assert rest[0] in command.commands, words
        command, rest = command.commands[rest[0]], rest[1:]
    takes = {flag for option in command.params for flag in [*option.opts, *option.secondary_opts]}
    assert {word.partition("=")[0] for word in rest if word.startswith("--")} <= takes | {"--help"}, words


@pytest.mark.parametrize("arguments", ERRORS)
def test_commands_in_hints_are_understood(workspace, udaseg, arguments):
    Path("empty").mkdir()
    Path("own.yaml").write_text("base: tiny.yaml\ndata: data\n")
    outcome = udaseg(arguments, tiny="--recipe" not in arguments and not arguments.startswith("data"))
    assert outcome.code in (1, 2), outcome
    hint = outcome.err.partition("hint: ")[2]
    for words in commands(hint):
        assert_understood([word for word in words if word not in ("or", "and")])
    assert not re.search(r"0x[0-9a-f]{6}| object at |\[Errno", outcome.err + outcome.out)


def test_hints_that_are_commands_mend_what_they_are_for(workspace, udaseg):
    """Pasted as they are."""
    outcome = udaseg("evaluate --predictions predict")
    (words, *_) = commands(outcome.err.partition("hint: ")[2])
    assert udaseg(shlex.join(words), tiny=False).code == 0
    assert udaseg("evaluate --predictions predict-val").code == 0
    for path in sorted(Path("runs/tiny/pseudolabel/labels").iterdir())[:1]:
        path.unlink()
    outcome = udaseg("retrain --set retrain.labels=pseudolabel")
    (words, *_) = commands(outcome.err.partition("hint: ")[2])
    assert udaseg(shlex.join(words), tiny=False).code == 0
    assert udaseg("retrain --set retrain.labels=pseudolabel --dry-run").code == 0


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0\x00\x10JFIF"])
def test_a_file_that_is_no_image_is_told_in_plain_words(workspace, udaseg, content):
    for path in sorted(Path("data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"))[:1]:
        path.unlink()
        path.write_bytes(content)
    outcomes = [udaseg("data check data/toytown/cityscapes", tiny=False), udaseg("evaluate --model warmup")]
    outcomes.append(udaseg("data check data/toytown/cityscapes --json", tiny=False))
    for outcome in outcomes:
        assert outcome.code == 1, outcome
        assert not re.search(r"0x[0-9a-f]{6}| object at |\[Errno|BytesIO", outcome.err + outcome.out)
