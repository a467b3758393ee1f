"""udaseg flow: find the optical flow from each target image to the frame before it."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from udaseg.io.digests import joint_digest
from udaseg.pipeline.datasets import digest_files, open_dataset
from udaseg.pipeline.engine import plan_declared
from udaseg.pipeline.manifest import InputDigest, Job
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work

if TYPE_CHECKING:
    from udaseg.data.image_sets import ImageSet


def job(run: Run) -> Job:
    """Plan the flow: the files of the dataset are an input where they are taken."""
    planned = plan_declared(run, stage)
    if run.recipe.flow.method != "files":
        return planned
    images = open_dataset(run, "target")
    digests = digest_files(run, images.root, [*_files(images).values()])
    flow = InputDigest(str(images.root), joint_digest(digests))
    return replace(planned, inputs=planned.inputs | {"flow files": flow})


def run(work: Work) -> None:
    """Find the optical flow from each target image to the frame before it."""
    from udaseg.data.video.flows import write_flows

    images, setting = work.dataset("target"), work.recipe.flow
    files = _files(images) if setting.method == "files" else None
    pairs = write_flows(images, setting, work.out, files, work.progress("frames"))
    frames, valid = len(pairs.previous), pairs.valid
    text = f"{frames} of {len(images)} images have a frame before them; the flow of {valid:.1%} of the pixels is valid"
    work.finish({"frames": frames, "valid": valid}, f"{text}, in {work.job.out}")


def _files(images: "ImageSet") -> dict[str, Path]:
    """List the files of flow that the dataset has for its images, by stem."""
    from udaseg.data.video.dataset_flow import list_flow

    stems = {record.stem for record in images.records}
    return list_flow(images.dataset, images.root, images.split, stems)


stage = Stage(
    "flow",
    run,
    settings=["flow"],
    datasets=[Dataset("target", "selection")],
    flags=["method", "step"],
    shared=True,
    job=job,
    writes="`flows/<stem>.png`: optical flow to the frame before, `flow.json`",
    example="udaseg flow --set target.split=train-video",
)
