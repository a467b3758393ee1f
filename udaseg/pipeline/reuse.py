"""Reuse a finished stage of another run where the result would be the same."""

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from udaseg.pipeline.manifest import Job, read_manifest, reasons
from udaseg.pipeline.outputs import IMAGES, MANIFEST, OUTPUTS, STATE, foreign_files, written_files
from udaseg.pipeline.stage_dir import clear, locked_stage
from udaseg.pipeline.swap import partial_folder, read_work, settle_locked


def reuse(job: Job, finished_folder: Path) -> bool:
    """Reuse a finished stage of another run with the same settings and inputs; return whether it was reused.

    It replaces an outdated result, but no unfinished work and nothing that the user has put there. The files are
    linked, not copied, where the file system allows that: stages replace files and never write into them.
    """
    if read_work(job.out) is not None or not finished_folder.is_dir() or finished_folder == job.out:
        return False
    if job.out.exists() and (read_manifest(job.out) is None or not reasons(job) or foreign_files(job.out)):
        return False
    if reasons(replace(job, out=finished_folder)):
        return False
    with locked_stage(job.out):
        partial = partial_folder(job.out)
        clear(job, "")
        records = [finished_folder / name for name in (STATE, OUTPUTS, IMAGES)]
        for path in (*written_files(finished_folder), *filter(Path.is_file, records)):
            link(path, partial / path.relative_to(finished_folder))
        shutil.copy2(finished_folder / MANIFEST, partial / MANIFEST)  # its time says when the stage was last looked at
        settle_locked(job.out)
    return True


def link(path: Path, target: Path) -> None:
    """Make a file appear at another path too: as a hard link, or as a copy where the file system has none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        os.link(path, target)
        return
    shutil.copy2(path, target)
