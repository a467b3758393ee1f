"""How much work a stage is about to do, and how long it took the last time in the same directory."""

from contextlib import suppress
from typing import Any

from udaseg.errors import UdasegError
from udaseg.pipeline.format import duration
from udaseg.pipeline.manifest import Job, read_manifest


def describe_work(job: Job) -> str:
    """Say how many steps a training takes, and how long the stage took before; empty where neither is known."""
    steps, last = count_steps(job.stage, job.settings), None
    with suppress(OSError, UdasegError):
        last = read_manifest(job.out)
    parts = [] if steps is None else [f"{steps} steps"]
    if last is not None:
        before = count_steps(job.stage, last["settings"])
        seconds = last["seconds"] * (steps / before if steps and before else 1)
        parts.append(f"{f'about {duration(seconds)}' if seconds >= 10 else 'a few seconds'}, as the last time")
    elif steps is not None:
        return f"{steps} steps (--estimate tells how long they take)"
    return ", ".join(parts)


def count_steps(stage: str, settings: dict[str, Any]) -> int | None:
    """Return the steps of a training from the settings of its job; None of a stage that does not train."""
    section = settings.get(stage)
    return section.get("steps") if isinstance(section, dict) else None
