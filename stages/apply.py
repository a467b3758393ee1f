"""udaseg apply: label images, or the frames of a video, that belong to no dataset."""

import shutil
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udaseg.config import Views
from udaseg.errors import UdasegError, join_names
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.images import ImageWork
from udaseg.pipeline.inputs import digest_input
from udaseg.pipeline.log import log
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
from udaseg.pipeline.trained_model import find_model

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

if TYPE_CHECKING:
    from udaseg.data.images.loose import LooseImages
    from udaseg.inference.runner import Runner

SECONDS = 2.0  # between two looks into a folder that is watched


@dataclass(frozen=True)
class Labelling:
    """What is labelled, by which model, how the model sees it, and what is kept."""

    plan: Plan
    views: Views
    keeps_labels: bool = True  # of a video
    skips_broken: bool = False


def _job(run: Run, labelling: Labelling) -> Job:
    plan = labelling.plan
    settings = labelling.views.identity() | {"size": plan.size, "pad": plan.pad}
    if not labelling.keeps_labels:
        settings["labels"] = False
    digest, each = digest_images(plan)
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


def _label(run: Run, labelling: Labelling, runner: "Runner | None" = None) -> "Runner | None":
    """Label the images of a plan that have no label yet; return the network, for the next time, where it ran."""
    job, plan = _job(run, labelling), labelling.plan
    if not run.force:
        refuse_to_overwrite(job)
    with open_work(run, job) as work:
        if work is None:
            return runner
        warn_of_stretching("apply", plan)
        from udaseg.data.image_sets import View
        from udaseg.data.images.video import DamagedFrameError
        from udaseg.inference.apply import Painter, apply
        from udaseg.inference.runner import Runner

        images, unit = plan.images, "images" if plan.images.video is None else "frames"
        runner = runner or Runner(plan.model, None, labelling.views.precision)
        work.result.environment = dict(runner.environment)
        broken: dict[int, str] | None = {} if labelling.skips_broken else None
        view = View(images, plan.size, plan.pad)
        try:
            space = apply(runner, view, labelling.views, work.out, broken=broken, progress=work.progress(unit))
        except DamagedFrameError as error:
            raise UdasegError(error.message, f"{error.hint}; --skip-broken leaves them out here") from None
        places = f"in {job.out / 'labels'}, to look at in {job.out / 'overlays'}"
        if images.video is not None:
            from udaseg.inference.videos import BESIDE, OVERLAY, write_videos

            write_videos(images, work.out / "labels", work.out, Painter(space), work.progress(unit, "apply: videos"))
            places = f"of {plan.place}: {job.out / OVERLAY} and {BESIDE}"
            if not labelling.keeps_labels:
                shutil.rmtree(work.out / "labels")
        if broken:
            names = [str(images.files[i].relative_to(plan.root)) for i in sorted(broken)]
            names = names if images.video is None else [images.stems[i] for i in sorted(broken)]
            work.warn(f"{len(broken)} of {len(images)} {unit} cannot be read and are left out: {join_names(names)}")
        count = len(images) - len(broken or {})
        work.finish({"images": count, "classes": list(space.classes)}, f"{count} {unit} {places}")
    return runner


def _watch(run: Run, folder: Path, start: Callable[[], Labelling]) -> None:
    """Label the images of a folder as they arrive, until Ctrl-C."""
    from udaseg.data.images.arrivals import Arrivals
    from udaseg.inference.apply import UnreadableError

    arrivals, done, runner, labelling = Arrivals(folder), {}, None, None
    log(f"apply: watches {folder}, and labels images as they arrive, until Ctrl-C")
    try:
        while True:
            complete = arrivals.look()
            if any(done.get(path) != state for path, state in complete.items()):
                labelling = labelling or start()
                plan = replace(labelling.plan, images=_reopen(folder, complete))
                try:
                    runner = _label(run, replace(labelling, plan=plan, skips_broken=True), runner)
                except UnreadableError as error:  # they may be mended, or others may come
                    log(f"apply: {error.message}")
                run, done = replace(run, force=False), complete
            time.sleep(SECONDS)
    except KeyboardInterrupt:
        log(f"apply: no longer watches {folder}; the same command goes on")


def _reopen(folder: Path, complete: Collection[Path]) -> "LooseImages":
    from udaseg.data.images.loose import open_loose_images

    return open_loose_images(folder).choose(complete)


def command(
    model: ModelArgument,
    images: Annotated[
        Path, typer.Argument(help="A directory of images, with its sub-folders; one image; a gif, webp or video.")
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
    labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Keep the label of each frame of a video.")
    ] = True,
    watch: Annotated[
        bool, typer.Option("--watch", help="Label the images of a directory as they arrive, until Ctrl-C.")
    ] = False,
    skip_broken: Annotated[bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Label everything again, over what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Label images of any size that belong to no dataset: label PNGs, overlays to look at, a legend.

    A video gets a label for each of its frames, a video of overlays, and one beside the input.

    Example: udaseg apply runs/demo/retrain photos --out labelled
    """
    changes = view_changes(
        "apply", scales=scales, flip=flip, average=average, window=window, window_stride=window_stride
    )
    settings = check_settings(Views, "apply", changes | {"apply.batch": batch, "apply.precision": precision})
    run = open_plain_run(out=out, force=force, dry_run=dry_run, as_json=as_json)
    require_outside(out, images)
    if watch and (not images.is_dir() or dry_run or as_json or not labels):
        raise UdasegError(
            "--watch labels the images of a directory until it is stopped",
            "name a directory, and leave out --dry-run, --json and --no-labels",
        )

    def start() -> Labelling:
        plan = plan_images("apply", model, images, parse_image_size(size), pad)
        return Labelling(plan, settings, keeps_labels=labels, skips_broken=skip_broken)

    if watch:
        find_model(model)  # what is wrong is said before the first image comes
        parse_image_size(size)
        _watch(run, images, start)
        return
    labelling = start()
    if not labels and labelling.plan.images.video is None:
        raise UdasegError("--no-labels is for videos: of images, the labels are the result", "leave it out")
    _label(run, labelling)
