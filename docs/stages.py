"""Write what follows from the declarations of stages: `python docs/stages.py`.

That is the rows of README's table, and a page for each stage: what it reads, what it writes, and its settings.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic.fields import FieldInfo

from udaseg.config import Recipe, Section
from udaseg.pipeline.stage import Input, Stage, StageFile
from udaseg.stages import cli

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
PAGES = DOCS / "stages"
NOTE = "<!-- Written by docs/stages.py from the declaration of the stage; change that, and run `make docs`. -->"
DATASETS = {
    "source": "the images and labels of the source",
    "target": "the images of the target, without labels",
    "target_depth": "the depth of the target's images",
    "val": "the labelled images of the target, which no other stage reads",
}
# The section of methods.md about a stage.
METHODS = {
    "stylize": "fda", "pseudolabel": "cbst", "refine": "spatial-aggregation", "prototypes": "prototypes", "gmm": "gmm",
    "prior": "spatial-prior", "warmup": "adversaries", "retrain": "cbst",
    "distill": "self-distillation", "predict": "adabn", "evaluate": "scores",
}  # fmt: skip


def documented() -> list[Stage]:
    """Return the stages that have a command and say what they write."""
    return [stage for stage in cli.STAGES.values() if stage.writes and stage.name != "pretrain"]


def row(stage: Stage) -> str:
    """Return the row of a stage: its command, its inputs, its files."""
    command = "data stats" if stage.name == "stats" else stage.name
    return f"| `udaseg {command}` | {stage.describe_inputs()} | {stage.writes} |"


def replace_rows(text: str) -> str:
    """Return the text of the README with the rows of all stages that say what they write."""
    for stage in documented():
        new = row(stage)
        name = re.escape(new.split("|")[1])
        text, count = re.subn(rf"^\|{name}\|.*$", lambda _, new=new: new, text, flags=re.MULTILINE)
        assert count == 1, f"README.md should have one row of {stage.name}, found {count}"
    return text


def page(stage: Stage) -> str:
    """Return the page of a stage."""
    parts = [NOTE, f"# {stage.command_line()}", (stage.run.__doc__ or "").strip().split("\n\n")[0]]
    if stage.example:
        parts.append(f"```sh\n{stage.example}\n```")
    if (DOCS / "pictures" / f"{stage.name}.png").is_file():
        parts.append(f"![What {stage.name} reads and writes](../pictures/{stage.name}.png)")
    if stage.name in METHODS:
        parts.append(f"The method and its formulas: [methods](../methods.md#{METHODS[stage.name]}).")
    parts += ["## Reads", _inputs(stage), "## Writes", f"`manifest.json` and {stage.writes}."]
    section = Recipe.model_fields.get(stage.section or stage.name)
    if section is not None:
        parts += ["## Settings", _settings(stage.section or stage.name, section)]
    return "\n\n".join(parts) + "\n"


def _inputs(stage: Stage) -> str:
    rows = ["| input | where it is found without a flag | flag | when it is read |", "|---|---|---|---|"]
    rows += [_input_row(one) for one in stage.inputs if one.help]
    for one in stage.datasets:
        when = "always" if one.when is None else "with some recipes"
        section = one.name if one.name == "source" else "target"
        rows.append(f"| {one.name} | the recipe's `{section}`: {DATASETS[one.name]} | | {when} |")
    return "\n".join(rows) if len(rows) > 2 else "Nothing of a run."


def _input_row(one: Input) -> str:
    place = one.locate(Recipe(name="any"), 2) if not callable(one.file) else None
    where = "it depends on the recipe"
    if isinstance(place, StageFile):
        where = f"`{'/'.join(filter(None, place[:2]))}`" + (" of the round before" if one.round else " of the run")
    when = "always" if one.when is None and one.required else "with some recipes"
    if one.because:
        when += f"; not where {one.because}"
    return f"| {one.name.replace('_', ' ')} | {where} | `{one.option()}`: {_cell(one.help)} | {_cell(when)} |"


def _settings(name: str, section: FieldInfo) -> str:
    rows = ["| setting | default | |", "|---|---|---|"]
    for key, field in _fields(name, section):
        default = _value(field.get_default(call_default_factory=True))
        rows.append(f"| `{key}` | `{default}` | {_cell(field.description)} |")
    return "\n".join(rows)


def _fields(key: str, field: FieldInfo) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the plain settings of a section by dotted key; a section that is off by default stands for itself too."""
    section = _section_of(field.annotation)
    default = field.get_default(call_default_factory=True)
    if section is None:
        yield key, field
        return
    if default is None and "." in key:
        yield key, field
    for name, part in section.model_fields.items():
        yield from _fields(f"{key}.{name}", part)


def _section_of(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    if isinstance(annotation, UnionType):
        return next((found for part in get_args(annotation) if (found := _section_of(part))), None)
    return None


def _value(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(list(value) if isinstance(value, tuple) else value)


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|")


def pages() -> dict[Path, str]:
    """Return the text of each page by its path."""
    return {PAGES / f"{stage.name}.md": page(stage) for stage in documented()}


if __name__ == "__main__":
    README.write_text(replace_rows(README.read_text(encoding="utf-8")), encoding="utf-8")
    PAGES.mkdir(exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
