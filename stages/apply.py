"""udaseg apply: label images that belong to no dataset."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated

import typer

from udaseg.config import Views
from udaseg.errors import join_names
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.images import ImageWork
from udaseg.pipeline.inputs import digest_input
from udaseg.pipeline.loose_images import (
    Plan,
    digest_images,
    plan_images,
    refuse_to_overwrite,
    require_outside,
    warn_of_stretching,
)
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.reuse import link
from udaseg.pipeline.run import Run

from .terminal.command import open_plain_run
from .terminal.options import (
    AverageOption,
    FlipOption,
    ImageSizeOption,
    ModelArgument,
    PadOption,
    PrecisionOption,
    ScalesOption,
    WindowOption,
    WindowStrideOption,
    check_settings,
    parse_image_size,
    view_changes,
)


def _job(run: Run, images: Path, plan: Plan, look: Views) -> Job:
    settings = look.identity() | {"size": plan.size, "pad": plan.pad}
    digest, each = digest_images(images, plan.images)
    inputs = {"model": digest_input(plan.model), "images": digest}
    assert run.out is not None
    return Job("apply", run.out, {"apply": settings}, inputs, images=ImageWork("images", each, _keep_labels))


def _keep_labels(folder: Path, partial: Path, stems: Collection[str]) -> None:
    """Leave the labels and overlays of these images alone in `partial`, taken from `folder`."""
    kept = frozenset(stems)
    for part, suffix in (("overlays", ".jpg"), ("labels", ".png")):  # an image with a label is complete
        for path in sorted((folder / part).rglob(f"*{suffix}")):
            name = path.relative_to(folder / part).as_posix()
            is_kept = name.removesuffix(suffix) in kept
            if folder != partial and is_kept:
                link(path, partial / part / name)
            elif folder == partial and not is_kept:
                path.unlink()


def command(
    model: ModelArgument,
    images: Annotated[
        Path, typer.Argument(help="A directory of images, with its sub-folders; one image; a gif or webp.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Write labels/, overlays/ and the legend here.")],
    size: ImageSizeOption = None,
    pad: PadOption = None,
    batch: Annotated[int | None, typer.Option(help="Images of one size at a time.")] = None,
    precision: PrecisionOption = None,
    scales: ScalesOption = None,
    flip: FlipOption = None,
    window: WindowOption = None,
    window_stride: WindowStrideOption = None,
    average: AverageOption = None,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Label everything again, over what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Label images of any size that belong to no dataset: label PNGs, overlays to look at, a legend.

    Example: udaseg apply runs/demo/retrain photos --out labelled
    """
    changes = view_changes(
        "apply", scales=scales, flip=flip, average=average, window=window, window_stride=window_stride
    )
    settings = check_settings(Views, "apply", changes | {"apply.batch": batch, "apply.precision": precision})
    run = open_plain_run(out=out, force=force, dry_run=dry_run, as_json=as_json)
    require_outside(out, images)
    plan = plan_images("apply", model, images, parse_image_size(size), pad)
    planned = _job(run, images, plan, settings)
    if not force:
        refuse_to_overwrite(planned)
    with open_work(run, planned) as work:
        if work is None:
            return
        warn_of_stretching("apply", plan)
        from udaseg.data.image_sets import View
        from udaseg.inference.apply import apply

        view, progress = View(plan.images, plan.size, plan.pad), work.progress("images")
        broken: dict[int, str] | None = {} if skip_broken else None
        space, work.result.environment = apply(plan.model, view, settings, work.out, broken=broken, progress=progress)
        count = len(plan.images) - len(broken or {})
        text = f"{count} images in {out / 'labels'}, to look at in {out / 'overlays'}"
        if broken:
            root = images if images.is_dir() else images.parent
            names = join_names([str(plan.images.files[i].relative_to(root)) for i in sorted(broken)])
            work.warn(f"{len(broken)} of {len(plan.images)} images cannot be read and are left out: {names}")
        work.finish({"images": count, "classes": list(space.classes)}, text)
