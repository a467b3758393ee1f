"""A job to do and the doing of it."""

import pytest

from udaseg.pipeline.manifest import InputDigest, Job, read_manifest
from udaseg.pipeline.stage_dir import open_stage


def make_job(out, p=0.2, digest="a", seed=0):
    settings = {"pseudolabel": {"p": p}, "size": (2, 3)}
    return Job("pseudolabel", out, settings, {"predictions": InputDigest("x.h5", digest)}, seed)


def run_job(job, files=None, **options):
    """Do a job, which writes some files; return its manifest."""
    with open_stage(job, command="udaseg pseudolabel", **options) as result:
        write(result.folder, files or {"labels/a.png": "one", "labels/b.png": "two"})
        result.metrics = {"kept": 0.5}
    return read_manifest(job.out)


def stop_job(job, name="half.png", error=RuntimeError, **options):
    """Begin a job and stop it after its first file; return the error."""
    with pytest.raises(error) as caught, open_stage(job, **options) as result:
        write(result.folder, {name: "half"})
        raise error
    return caught.value


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def contents(folder):
    """Return the text of every file in a directory by its name."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}
