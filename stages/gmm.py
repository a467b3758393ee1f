"""udaseg gmm: fit a mixture of Gaussians over place and depth to every class of the source."""

from udaseg.errors import join_names
from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Fit a mixture of Gaussians over column, row and inverse depth to every class of the source."""
    source, setting, reason = work.view("source"), work.recipe.gmm, None
    if work.recipe.sources is not None:
        reason = f"a mixture is of one source, and there are {join_names([*work.recipe.all_sources])}"
    elif not source.images.has_depth:
        reason = f"{source.images.dataset} has no depth"
    if reason is not None:
        work.finish({"skipped": reason}, f"skipped, {reason}")
        return
    from udaseg.statistics.gmm import write
    from udaseg.statistics.gmm_counts import count_for_gmm
    from udaseg.statistics.gmm_fit import fit

    counts = count_for_gmm(source, setting, progress=work.progress("images"))
    if not work.is_first:
        return
    gmm = fit(counts, setting.components, seed=work.seed, iterations=setting.iterations)
    write(work.out / "gmm.h5", gmm)
    absent = [name for name, weights in zip(gmm.classes, gmm.weights, strict=True) if not weights.any()]
    if absent:
        work.warn(f"no pixel of {', '.join(absent)} with depth: these classes have no mixture")
    classes = len(gmm.classes) - len(absent)
    metrics = {"classes": classes, "components": setting.components}
    work.finish(metrics, f"{classes} classes in {work.job.out / 'gmm.h5'}")


stage = Stage(
    "gmm",
    run,
    settings=["space", "gmm"],
    datasets=[Dataset("source")],
    flags=["components", "compat"],
    shared=True,
    seeded=True,
    writes="`gmm.h5`: the position in the image and the depth of each class",
    example="udaseg gmm --recipe synthia2city --components 5",
)
