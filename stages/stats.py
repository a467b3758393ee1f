"""udaseg data stats: count the classes of the source."""

from collections.abc import Sequence

from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Count the classes of the source, in all and image by image, for the stages that weigh classes."""
    from udaseg.io.files import write_json
    from udaseg.statistics.class_counts import class_counts

    source = work.dataset("source")
    counts = class_counts(source, work.progress("labels", "data stats"))
    write_json(work.out / counts.file, counts.content())
    absent = absent_classes(counts.classes, counts.pixels)
    if absent and counts.sources is None:
        work.warn(f"the source has no pixel of {', '.join(absent)}: no network learns these from it")
    elif absent:
        work.warn(f"no source has a pixel of {', '.join(absent)}: no network learns these from them")
    for name, own in (counts.sources or {}).items():
        known = {*absent, *work.recipe.all_sources[name].missing}
        if lacks := [one for one in absent_classes(counts.classes, own.pixels) if one not in known]:
            work.warn(
                f"{name} has no pixel of {', '.join(lacks)}: if its labels cannot have them, list them as `missing` of "
                f"{name} in `sources`; else a network learns that they are not there"
            )
    work.finish({}, f"{len(source)} labels counted in {work.job.out / counts.file}")


def absent_classes(classes: Sequence[str], pixels: Sequence[int]) -> list[str]:
    """Return the classes without a pixel."""
    return [name for name, count in zip(classes, pixels, strict=True) if not count]


stage = Stage(
    "stats",
    run,
    settings=["space"],
    datasets=[Dataset("source", "selection")],
    command="data stats",
    writes="`stats.json`: pixels and images of each class",
    example="udaseg data stats --recipe gta2city --data /datasets",
)
