"""udaseg apply: label images, or the frames of a video, that belong to no dataset."""

import shutil
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from udaseg.config import Views
from udaseg.errors import UdasegError, join_names
from udaseg.io.digests import file_digests, joint_digest
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.images import ImageWork
from udaseg.pipeline.inputs import digest_input
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import InputDigest, Job, conflicts
from udaseg.pipeline.reuse import link
from udaseg.pipeline.run import Run
from udaseg.pipeline.trained_model import find_model, trained_size

from .terminal.command import open_plain_run
from .terminal.options import (
    AverageOption,
    FlipOption,
    ScalesOption,
    WindowOption,
    WindowStrideOption,
    check_settings,
    parse_size,
    view_changes,
)

if TYPE_CHECKING:
    from udaseg.data.images.loose import LooseImages
    from udaseg.inference.runner import Runner

OWN = "own"
SECONDS = 2.0  # between two looks into a folder that is watched
STRETCHED = 1.25  # from this change of the aspect on, a word about it


@dataclass(frozen=True)
class Plan:
    """What is labelled, by which model, how the model sees it, and what is written."""

    model: Path
    place: Path  # that was named: a folder or a file
    images: "LooseImages"
    size: tuple[int, int] | None
    pad: bool
    views: Views
    keeps_labels: bool = True  # of a video
    skips_broken: bool = False

    @property
    def root(self) -> Path:
        """The folder below which the images lie."""
        return self.place if self.place.is_dir() else self.place.parent


def _job(run: Run, plan: Plan) -> Job:
    settings = plan.views.identity() | {"size": plan.size, "pad": plan.pad}
    if not plan.keeps_labels:
        settings["labels"] = False
    root = plan.root
    files = list(dict.fromkeys(plan.images.files))  # all frames of an animation have one
    digests = file_digests(files, root)
    by_file = {path: digest for path, (_, digest) in zip(files, digests, strict=True)}
    each = {stem: by_file[path] for stem, path in zip(plan.images.stems, plan.images.files, strict=True)}
    inputs = {"model": digest_input(plan.model), "images": InputDigest(str(plan.place), joint_digest(digests))}
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


def _plan(model: Path, images: Path, size: str | None, pad: bool | None, views: Views) -> Plan:
    from udaseg.data.images.loose import open_loose_images

    model, shots = find_model(model), open_loose_images(images)
    trained, kept = trained_size(model)
    at = trained if size is None else None if size == OWN else parse_size(size)
    if size is None:
        found = "each at its own size" if at is None else f"at {at[0]}x{at[1]}, as the model did in training"
        log(f"apply: sees the images {found}; --size changes that")
    if shots.folders:
        names = join_names([f"{name}/ ({count})" for name, count in shots.folders.items()])
        log(f"apply: {sum(shots.folders.values())} of {len(shots)} images are in sub-folders: {names}")
    if shots.other_files:
        log(f"apply: leaves out {len(shots.other_files)} files that are no images: {join_names(shots.other_files)}")
    if shots.video is not None:
        height, width = shots.size(0)
        log(f"apply: {images} has {len(shots)} frames of {height}x{width}, {float(shots.video.rate):.4g} a second")
    return Plan(model, images, shots, None if at is None else (at[0], at[1]), kept if pad is None else pad, views)


def _warn_of_stretching(plan: Plan) -> None:
    if plan.size is None or plan.pad:
        return
    sizes = []
    for i in range(len(plan.images)):
        with suppress(UdasegError):  # told when the image is read
            sizes.append(plan.images.size(i))
    aspects = [width / height for height, width in sizes]
    changes = [aspect * plan.size[0] / plan.size[1] for aspect in aspects]
    count = sum(max(change, 1 / change) > STRETCHED for change in changes)
    if count:
        size = "x".join(map(str, plan.size))
        some = f"{count} of {len(changes)} images"
        log(f"apply: warning: {some} are stretched a lot to {size}; --pad keeps their aspect")


def _refuse_to_overwrite(job: Job) -> None:
    if why := conflicts(job):
        raise UdasegError(
            f"{job.out} holds labels that would be overwritten: {'; '.join(why)}",
            "write somewhere else with --out, or label everything again with --force",
        )


def _label(run: Run, plan: Plan, runner: "Runner | None" = None) -> "Runner | None":
    """Label the images of a plan that have no label yet; return the network, for the next time, where it ran."""
    job = _job(run, plan)
    if not run.force:
        _refuse_to_overwrite(job)
    with open_work(run, job) as work:
        if work is None:
            return runner
        _warn_of_stretching(plan)
        from udaseg.data.image_sets import View
        from udaseg.inference.apply import Painter, apply
        from udaseg.inference.runner import Runner

        images, unit = plan.images, "images" if plan.images.video is None else "frames"
        runner = runner or Runner(plan.model, None, plan.views.precision)
        work.result.environment = dict(runner.environment)
        broken: dict[int, str] | None = {} if plan.skips_broken else None
        view = View(images, plan.size, plan.pad)
        space = apply(runner, view, plan.views, work.out, broken=broken, progress=work.progress(unit))
        places = f"in {job.out / 'labels'}, to look at in {job.out / 'overlays'}"
        if images.video is not None:
            from udaseg.inference.videos import BESIDE, OVERLAY, write_videos

            write_videos(images, work.out / "labels", work.out, Painter(space), work.progress(unit, "apply: videos"))
            places = f"of {plan.place}: {job.out / OVERLAY} and {BESIDE}"
            if not plan.keeps_labels:
                shutil.rmtree(work.out / "labels")
        if broken:
            names = [str(images.files[i].relative_to(plan.root)) for i in sorted(broken)]
            names = names if images.video is None else [images.stems[i] for i in sorted(broken)]
            work.warn(f"{len(broken)} of {len(images)} {unit} cannot be read and are left out: {join_names(names)}")
        count = len(images) - len(broken or {})
        work.finish({"images": count, "classes": list(space.classes)}, f"{count} {unit} {places}")
    return runner


def _watch(run: Run, folder: Path, plan_images: Callable[[], Plan]) -> None:
    """Label the images of a folder as they arrive, until Ctrl-C."""
    from udaseg.data.images.arrivals import Arrivals
    from udaseg.inference.apply import UnreadableError

    arrivals, done, runner, plan = Arrivals(folder), {}, None, None
    log(f"apply: watches {folder}, and labels images as they arrive, until Ctrl-C")
    try:
        while True:
            complete = arrivals.look()
            if any(done.get(path) != state for path, state in complete.items()):
                plan = plan or plan_images()
                plan = replace(plan, images=_reopen(folder, complete), skips_broken=True)
                try:
                    runner = _label(run, plan, runner)
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
    model: Annotated[Path, typer.Argument(help="A model.pt, or the directory of the stage that trained it.")],
    images: Annotated[
        Path, typer.Argument(help="A directory of images, with its sub-folders; one image; a gif, webp or video.")
    ],
    out: Annotated[Path, typer.Option("--out", help="Write labels/, overlays/ and the legend here.")],
    size: Annotated[
        str | None, typer.Option(help="See images at HEIGHTxWIDTH, or own; default: as in training.")
    ] = None,
    pad: Annotated[bool | None, typer.Option("--pad/--no-pad", help="Keep the aspect of images in --size.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images of one size at a time.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
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
    if images.is_dir() and out.resolve().is_relative_to(images.resolve()):
        raise UdasegError(f"--out {out} lies in {images}, whose images are labelled", "choose a place outside of it")
    if watch and (not images.is_dir() or dry_run or as_json or not labels):
        raise UdasegError(
            "--watch labels the images of a directory until it is stopped",
            "name a directory, and leave out --dry-run, --json and --no-labels",
        )
    if watch:
        _watch(run, images, lambda: _plan(model, images, size, pad, settings))
        return
    plan = replace(_plan(model, images, size, pad, settings), keeps_labels=labels, skips_broken=skip_broken)
    if not labels and plan.images.video is None:
        raise UdasegError("--no-labels is for videos: of images, the labels are the result", "leave it out")
    _label(run, plan)
