"""udaseg stylize: give the source images the style of target images, by FDA."""

from udaseg.pipeline.stage import Dataset, Stage
from udaseg.pipeline.work import Work


def run(work: Work) -> None:
    """Give the source images the style of target images (FDA)."""
    from udaseg.data.sources import split_view
    from udaseg.data.style.dataset import stylize_set

    source, setting, target = work.view("source"), work.recipe.stylize, work.dataset("target")
    images, done, show = len(source.images), 0, work.progress("images")
    for name, view in split_view(source).items():
        stylize_set(
            view,
            target,
            setting,
            work.out / name,
            seed=work.seed,
            progress=lambda count, _, before=done: show(before + count, images),
        )
        done += len(view.images)
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
