"""Whether udaseg understands what a text tells a user to type: commands, flags, and settings of a recipe.

A command stands between backticks, or after a colon to the end of its line: so it can be pasted.
"""

import ast
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from pydantic import BaseModel, TypeAdapter

from udaseg.config import Recipe
from udaseg.errors import UdasegError
from udaseg.io.files import parse_yaml
from udaseg.stages import cli

UNKNOWN = "\0"  # what a text in the code leaves open
_COMMAND = re.compile(r"`(udaseg [^`]+)`|(?:^|: )\s*(udaseg [^`\n]+)$", re.MULTILINE)
_FOREIGN = re.compile(
    r"\b(pip install|tensorboard|mlflow ui|wandb sync|nvidia-smi|createLabels\.py|https?:)[^`\n]*"
)  # with other flags
_SETTING = re.compile(r"(?<![\w./\0-])([a-z]+(?:\.[a-z_0-9]+)*)=(\[[^\]]*\]|\{[^}]*\}|[^\s,;)`'\"]+)")
_NAME = re.compile(r"(?<![\w./\0-])([a-z]+(?:\.[a-z_0-9]+)+)(?![\w(/.\0-])")
_FILES = ("pt", "h5", "json", "jsonl", "png", "jpg", "html", "yaml", "safetensors", "onnx")


@cache
def command_line() -> Any:
    return typer.main.get_command(cli.app)


@cache
def flags() -> set[str]:
    """Return the flags of all commands."""
    found, open_commands = {"--help"}, [command_line()]
    while open_commands:
        command = open_commands.pop()
        open_commands += getattr(command, "commands", {}).values()
        found |= {flag for option in command.params for flag in [*option.opts, *option.secondary_opts]}
    return found


def commands(text: str) -> list[list[str]]:
    """Return the command lines that can be pasted from a text, as words without `udaseg`."""
    return [shlex.split(quoted or last)[1:] for quoted, last in _COMMAND.findall(text)]


def assert_understood(text: str) -> None:
    """Assert that every command, flag and setting in a text exists, with values of the right kind."""
    for words in commands(text):
        if words[0] == UNKNOWN:
            continue
        assert not any(word.endswith((",", "...")) or word.isupper() for word in words), f"not to be pasted: {text}"
        _assert_parsed([word.replace(UNKNOWN, "1") for word in words])
    rest = _FOREIGN.sub("", _COMMAND.sub("", text))
    for name in re.findall(r"udaseg ([a-z]+)", rest):
        assert name not in command_line().commands, f"`udaseg {name}` in a sentence needs backticks: {text}"
    for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]*(?![\w\0-])", rest):
        assert flag in flags(), f"no command has {flag}: {text}"
    for key, value in _SETTING.findall(text):
        if "." in key or key in Recipe.model_fields:
            _assert_value(key, value, text)
    for key in _NAME.findall(text):
        if key.partition(".")[0] in Recipe.model_fields and key.rpartition(".")[2] not in _FILES:
            _find_setting(key, text)


def texts(file: Path) -> Iterator[tuple[int, str]]:
    """Yield the sentences in a file of code that are no docstrings, with their lines.

    What they leave open is UNKNOWN.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):  # a docstring
            skipped.add(node.value)
        if isinstance(node, ast.JoinedStr):
            skipped |= {part for part in node.values if isinstance(part, ast.Constant)}
            parts = [part.value if isinstance(part, ast.Constant) else UNKNOWN for part in node.values]
            yield node.lineno, _leave_open("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            if node in skipped:
                continue
            yield node.lineno, _leave_open(node.value).replace("{{", "{").replace("}}", "}")


def _leave_open(text: str) -> str:
    """Put UNKNOWN in the place of fields that are formatted later, such as {retrain.lr}."""
    return re.sub(r"(?<!\{)\{[a-z_]+(\.[a-z_]+|\[\d\])*\}", UNKNOWN, text)


def errors_without_hint(file: Path) -> list[int]:
    """Return the lines of a file of code that build a UdasegError without a hint."""
    calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    errors = [call for call in calls if getattr(call.func, "id", "") in ("UdasegError", "AbsentError")]
    is_starred = [any(isinstance(argument, ast.Starred) for argument in call.args) for call in errors]
    return [call.lineno for call, starred in zip(errors, is_starred, strict=True) if len(call.args) < 2 and not starred]


def _assert_parsed(words: list[str]) -> None:
    """Assert that the command line takes these words; nothing runs."""
    command, rest = command_line(), list(words)
    while hasattr(command, "commands"):
        assert rest, f"udaseg {shlex.join(words)}: no command"
        assert rest[0] in command.commands, f"udaseg {shlex.join(words)}: there is no command {rest[0]}"
        command, rest = command.commands[rest[0]], rest[1:]
    if "--help" not in rest:
        try:
            command.make_context(command.name, rest)
        except Exception as error:  # of click, of which Typer may bring its own
            raise AssertionError(f"udaseg {shlex.join(words)}: {error}") from None


def _assert_value(key: str, value: str, text: str) -> None:
    kind = _find_setting(key, text)
    if UNKNOWN in value:
        return
    try:
        TypeAdapter(kind).validate_python(parse_yaml(value.rstrip(".:")))
    except (ValueError, UdasegError) as error:
        raise AssertionError(f"{key} cannot be {value}: {error}: {text}") from None


def _find_setting(key: str, text: str) -> Any:
    """Return the type of a setting of the recipe, with its bounds."""
    kind: Any = Recipe
    for name in key.split("."):
        models = [one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel)]
        assert models, f"the recipe has no setting {key}: {text}"
        assert name in models[0].model_fields, f"the recipe has no setting {key}: {text}"
        field = models[0].model_fields[name]
        kind = field.annotation
    return Annotated[kind, *field.metadata] if field.metadata else kind
