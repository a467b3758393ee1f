"""udaseg data stats: count the classes of the source."""

from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Count the classes of the source, in all and image by image, for the stages that weigh classes."""
    from udaseg.io.files import write_json
    from udaseg.statistics.class_counts import class_counts

    source = work.dataset("source")
    counts = class_counts(source, work.progress("labels", "data stats"))
    write_json(work.out / counts.file, counts.content())
    absent = [name for name, pixels in zip(counts.classes, counts.pixels, strict=True) if not pixels]
    if absent:
        work.warn(f"the source has no pixel of {', '.join(absent)}: no network learns these from it")
    work.finish({}, f"{len(source)} labels counted in {work.job.out / counts.file}")


stage = Stage(
    "stats",
    run,
    settings=["space"],
    datasets=[Dataset("source", "selection")],
    command="data stats",
    writes="`stats.json`: pixels and images of each class",
    example="udaseg data stats --recipe gta2city --data /datasets",
)
