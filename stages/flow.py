"""udaseg flow: find the optical flow from each target image to the frame before it."""

from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Find the optical flow from each target image to the frame before it."""
    from udaseg.data.video.dataset_flow import list_flow
    from udaseg.data.video.flows import write_flows

    images, setting = work.dataset("target"), work.recipe.flow
    files = None
    if setting.method == "files":
        stems = {record.stem for record in images.records}
        files = list_flow(images.dataset, images.root, images.split, stems)
    pairs = write_flows(images, setting, work.out, files, work.progress("frames"))
    frames, valid = len(pairs.previous), pairs.valid
    text = f"{frames} of {len(images)} images have a frame before them; the flow of {valid:.1%} of the pixels is valid"
    work.finish({"frames": frames, "valid": valid}, f"{text}, in {work.job.out}")


stage = Stage(
    "flow",
    run,
    settings=["flow"],
    datasets=[Dataset("target", "selection")],
    flags=["method", "step"],
    shared=True,
    writes="`flows/<stem>.png`: optical flow to the frame before, `flow.json`",
    example="udaseg flow --set target.split=train-video",
)
