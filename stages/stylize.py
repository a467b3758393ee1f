"""udaseg stylize: give the source images the style of target images, by FDA."""

from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Give the source images the style of target images (FDA)."""
    from udaseg.data.style.dataset import stylize_set

    source, setting = work.view("source"), work.recipe.stylize
    stylize_set(source, work.dataset("target"), setting, work.out, seed=work.seed, progress=work.progress("images"))
    images = len(source.images)
    work.finish({"images": images, "beta": setting.beta}, f"{images} images at beta {setting.beta} in {work.job.out}")


stage = Stage(
    "stylize",
    run,
    settings=["stylize"],
    datasets=[Dataset("source"), Dataset("target", "selection")],
    flags=["beta", "window"],
    seeded=True,
    writes="the source in the style of the target (FDA), `pairs.jsonl`",
    example="udaseg stylize --beta 0.05",
)
