"""udaseg prior: count where in the image each class stands in the source."""

from typing import Any

from udaseg.pipeline.datasets import target_image_size
from udaseg.pipeline.engine import plan_declared
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def job(run: Run) -> Job:
    """Plan the maps for images of the target's size, where the recipe gives no size."""
    job = plan_declared(run, stage)
    job.settings["prior"]["size"] = run.recipe.prior.size or target_image_size(run)
    return job


def run(work: Work) -> None:
    """Count where in the image each class stands in the source: the prior of the policies st-sp and cbst-sp."""
    from udaseg.statistics.spatial_prior import spatial_prior, write

    size, source = work.job.settings["prior"]["size"], work.dataset("source")
    prior = spatial_prior(source, size, work.recipe.prior, progress=work.progress("labels"))
    write(work.out / "prior.h5", prior)
    absent = [name for name, map_HW in zip(prior.classes, prior.maps, strict=True) if not map_HW.any()]
    if absent:
        work.warn(f"the source has no {', '.join(absent)}: st-sp and cbst-sp never choose them")
    classes = len(prior.classes) - len(absent)
    metrics: dict[str, Any] = {"classes": classes, "grid": list(prior.maps.shape[1:])}
    work.finish(metrics, f"{classes} classes in {work.job.out / 'prior.h5'}")


stage = Stage(
    "prior",
    run,
    settings=["space", "prior"],
    datasets=[Dataset("source", "selection")],
    flags=["kernel", "sigma", "norm"],
    job=job,
    writes="`prior.h5`: the position of each class in the image, for `--policy cbst-sp`",
    example="udaseg prior --recipe cbst-gta2city --kernel 70",
)
