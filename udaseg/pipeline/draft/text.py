"""Write the settings of a draft as a YAML file with comments."""

import textwrap
from typing import Any

import yaml

from udaseg.pipeline.draft.choices import Choice

WIDTH = 120


def recipe_text(head: list[str], settings: dict[str, Any]) -> str:
    """Return the text of a recipe: comments at its head, then each setting with its reason."""
    return "\n".join([*(line for text in head for line in _comment(text, "")), *_lines(settings, "")]) + "\n"


def _lines(settings: dict[str, Any], indent: str) -> list[str]:
    lines = []
    for key, choice in settings.items():
        if isinstance(choice, Choice):
            lines += _setting(key, choice, indent)
        else:
            lines += [f"{indent}{key}:", *_lines(choice, indent + "  ")]
    return lines


def _setting(key: str, choice: Choice, indent: str) -> list[str]:
    """Return the lines of a setting: its reason behind it where there is room, else above."""
    width = WIDTH - len(f"{indent}{key}: ")
    text = yaml.safe_dump(choice.value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=width)
    value = [line for line in text.splitlines() if line != "..."]  # which ends a document of one plain value
    lines = [f"{indent}{key}: {value[0]}", *(f"{indent}  {line}" for line in value[1:])]
    below = [line for note in choice.below for line in _comment(note, indent)]
    if not choice.why:
        return lines + below
    if len(lines) == 1 and len(lines[0]) + len(choice.why) + 4 <= WIDTH:
        return [f"{lines[0]}  # {choice.why}", *below]
    return [*_comment(choice.why, indent), *lines, *below]


def _comment(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}#   ")
