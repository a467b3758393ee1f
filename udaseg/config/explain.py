"""Say what is wrong with the settings of a recipe: the errors of pydantic in plain words, each with a hint."""

import json
import re
import shlex
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from udaseg.config.recipe import Recipe
from udaseg.errors import did_you_mean

_PLAIN_WORDS = {"tuple": "list", "Tuple": "List", "dictionary": "mapping"}  # of Python to those of YAML
RENAMED = {"refine.spatial_prior": "refine.aggregate"}  # settings of earlier versions


def explain(error: ValidationError, origin: str, before: dict[str, Any]) -> tuple[str, str]:
    """Return a message with everything that is wrong with a recipe, and the hint for the first of it.

    `before` maps the settings that were changed to their values in the recipe.
    """
    messages, hints = zip(*(_explain_one(detail, before) for detail in error.errors()), strict=True)
    if len(messages) == 1:
        return f"recipe {origin}: {messages[0]}", hints[0]
    return f"recipe {origin} has {len(messages)} errors:\n  " + "\n  ".join(messages), hints[0]


def _explain_one(detail: Any, before: dict[str, Any]) -> tuple[str, str]:
    if detail["type"] == "extra_forbidden":
        return f"unknown setting {'.'.join(map(str, detail['loc']))!r}", _suggest_setting(detail["loc"])
    name, field = _find_setting(detail["loc"])
    # An index of a list is in the name already where settings of its own follow.
    key = ".".join([name, *(str(part) for part in detail["loc"][name.count(".") + 1 :] if isinstance(part, int))])
    value, hint = detail.get("input"), _suggest_value(name, field, before)
    if detail["type"] == "value_error":
        error = detail["ctx"]["error"]
        return f"{key}: {error}", getattr(error, "hint", hint)
    if detail["type"] == "string_pattern_mismatch":
        return f"{key}: expected the name of a directory, without / and without a dot in front", "give it another name"
    if detail["type"] == "literal_error":
        if key == "model.backbone":
            hint = f"any encoder of timm is chosen with --set model.encoder={value}"
        hint = did_you_mean(str(value), re.findall(r"'([^']*)'", detail["ctx"]["expected"])) + hint
    message = re.sub(r" or instance of \w+", "", detail["msg"])
    for word, plain in _PLAIN_WORDS.items():
        message = message.replace(word, plain)
    return f"{key}: {message} (found {value!r})", hint


def _find_setting(path: tuple[Any, ...]) -> tuple[str, Any]:
    """Return the dotted name of the setting that a path leads to, or into, and its field; None where it has none."""
    section, field, names = Recipe, None, []
    for i, part in enumerate(path):
        fields = getattr(section, "model_fields", {})
        if isinstance(part, int) and fields and len(path) > i + 1:  # one of a list of sections
            names.append(str(part))
        elif part in fields:
            names.append(part)
            field = fields[part]
            section = _section_type(field)
        else:  # an index of a list, or one of several types
            break
    return ".".join(names), field


def _suggest_value(name: str, field: Any, before: dict[str, Any]) -> str:
    """Return the hint for a wrong value: the setting with that of the recipe, or its default."""
    if re.search(r"\.\d+", name):  # in a list, which --set gives as a whole
        return f"correct it in {name.partition('.')[0]}"
    if field is not None and field.examples:
        return f"for example --set {shlex.quote(f'{name}={field.examples[0]}')}"
    default = None if field is None else field.get_default(call_default_factory=True)
    if field is None or isinstance(default, dict | BaseModel) or default is PydanticUndefined:
        return f"correct {name or 'it'} in the recipe, or one of its settings with --set"
    value = default if before.get(name) is None else before[name]
    text = value if isinstance(value, str) else json.dumps(value)
    return f"for example --set {shlex.quote(f'{name}={text}')}"


def _suggest_setting(path: tuple[Any, ...]) -> str:
    """Return the hint for an unknown setting: what was probably meant, and the settings of that section."""
    section: Any = Recipe
    for part in path[:-1]:
        section = section if isinstance(part, int) else _section_type(section.model_fields[part])
    name = str(path[-1])
    known = f"known here: {', '.join(section.model_fields)}"
    if close := did_you_mean(name, section.model_fields):
        return close + known
    sections = {key: _section_type(field) for key, field in Recipe.model_fields.items()}
    others = [f"{key}.{name}" for key, other in sections.items() if name in getattr(other, "model_fields", ())]
    if renamed := RENAMED.get(".".join(map(str, path))):
        others = [renamed]
    return f"did you mean {' or '.join(others)}? {known}" if others else known


def _section_type(field: Any) -> Any:
    """Return the type of a setting; of `Toytown | None` the former, of a list that of its items."""
    kind = field.annotation
    while arguments := get_args(kind):
        kind = arguments[0]
    return kind
