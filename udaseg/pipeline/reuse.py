"""Take a finished stage over from another run where it would come out the same."""

import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from udaseg.io.files import PARTIAL
from udaseg.pipeline import outputs
from udaseg.pipeline.artifacts import MANIFEST, Job, read_manifest, reasons


def adopt(job: Job, done: Path) -> bool:
    """Take over a complete stage directory that is what the job would make; tell whether it is one.

    It comes in the place of a complete one that is not, but of nothing that a user has put there, and of no unfinished
    work. The files are linked, not copied, where the file system allows: outputs are replaced, never written into.
    """
    there = job.out.exists()
    if there and (read_manifest(job.out) is None or not reasons(job) or outputs.others(job.out)):
        return False
    if not done.is_dir() or done == job.out or reasons(replace(job, out=done)):
        return False
    job.out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=job.out.parent, prefix=PARTIAL) as folder:
        shutil.copytree(done, Path(folder, job.stage), copy_function=_link, ignore=_hidden)
        if there:
            job.out.rename(Path(folder, "before"))
        Path(folder, job.stage).rename(job.out)
    return True


def _hidden(folder: str, names: list[str]) -> list[str]:
    return [name for name in names if name.startswith(".") and name != outputs.NAMES]


def _link(source: str, to: str) -> None:
    if Path(source).name != MANIFEST:  # whose own time says when the stage was last looked at
        with suppress(OSError):
            os.link(source, to)
            return
    shutil.copy2(source, to)
