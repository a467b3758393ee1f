"""Write the rows of README's table for the stages that declare what they read: `python docs/stages.py`."""

import re
from pathlib import Path

from udaseg.pipeline.stage import Stage
from udaseg.stages import cli

README = Path(__file__).parent.parent / "README.md"


def row(stage: Stage) -> str:
    """Return the row of a stage: its command, its inputs, its files."""
    command = "data stats" if stage.name == "stats" else stage.name
    return f"| `udaseg {command}` | {stage.describe_inputs()} | {stage.writes} |"


def replace_rows(text: str) -> str:
    """Return the text of the README with the rows of all stages that say what they write."""
    for stage in (stage for stage in cli.STAGES.values() if stage.writes and stage.name != "pretrain"):
        new = row(stage)
        name = re.escape(new.split("|")[1])
        text, count = re.subn(rf"^\|{name}\|.*$", lambda _, new=new: new, text, flags=re.MULTILINE)
        assert count == 1, f"README.md should have one row of {stage.name}, found {count}"
    return text


if __name__ == "__main__":
    README.write_text(replace_rows(README.read_text(encoding="utf-8")), encoding="utf-8")
