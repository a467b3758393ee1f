"""udaseg adapt: label a stream of images with a model that adapts to them."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udaseg.config import Adapt, Views
from udaseg.config.sections.adapt import READ
from udaseg.errors import UdasegError
from udaseg.pipeline.engine import open_work
from udaseg.pipeline.inputs import digest_input, refuse_flags
from udaseg.pipeline.log import log
from udaseg.pipeline.loose_images import (
    Plan,
    digest_images,
    plan_images,
    refuse_to_overwrite,
    require_outside,
    warn_of_stretching,
)
from udaseg.pipeline.manifest import InputDigest, Job
from udaseg.pipeline.run import Run
from udaseg.pipeline.work import Work

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
    setting_option,
    view_changes,
)

if TYPE_CHECKING:
    from udaseg.train.adapt.stream import Result, Stream

Method, Momentum, Layers, Norm, Rate, ViewCount, Teacher, Restore, Confidence, Anchor, Every, Reset, SaveEvery = (
    setting_option(name, model=Adapt)[1]
    for name in (
        "method", "momentum", "layers", "norm", "lr", "views", "teacher", "restore", "confidence", "anchor", "every",
        "reset", "save_every",
    )
)  # fmt: skip

DRAWS = "cotta"  # the method that uses random numbers


@dataclass(frozen=True)
class Labelled:
    """Images, the directory of their labels, and the coding of the ids."""

    images: Path
    labels: Path
    coding: str | None

    @property
    def folders(self) -> tuple[Path, Path]:
        return self.images, self.labels

    def inputs(self, name: str) -> dict[str, InputDigest]:
        """Name the labels as an input, and the classes.yaml above them that says what their ids mean."""
        from udaseg.data.datasets.loose_labels import find_classes

        found = {name: digest_input(self.labels)}
        classes = find_classes(self.labels) if self.coding is None else None
        if classes is not None and classes.parent != self.labels:
            found[f"classes of {name}"] = digest_input(classes)
        return found


def job(run: Run, plan: Plan, settings: dict[str, Any], labels: Labelled | None, source: Labelled | None) -> Job:
    """Plan the adaptation: the frames in the order of their paths, and the labels that are scored."""
    inputs = {"model": digest_input(plan.model), "stream": digest_images(plan)[0]}
    if labels is not None:
        inputs |= labels.inputs("labels")
        settings |= {"coding": labels.coding}
    if source is not None:
        inputs |= {"source": digest_input(source.images)} | source.inputs("source labels")
        settings |= {"source_coding": source.coding}
    assert run.out is not None
    return Job("adapt", run.out, {"adapt": settings}, inputs, run.recipe.seed)


def command(
    model: ModelArgument,
    stream: Annotated[
        Path,
        typer.Argument(help="A directory of images, in the order of their paths; a gif, webp or video."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Write labels/, overlays/, model.pt and adapt.json here.")],
    method: Method = None,
    momentum: Momentum = None,
    layers: Layers = None,
    norm: Norm = None,
    lr: Rate = None,
    views: ViewCount = None,
    teacher: Teacher = None,
    restore: Restore = None,
    confidence: Confidence = None,
    anchor: Anchor = None,
    every: Every = None,
    reset: Reset = None,
    save_every: SaveEvery = None,
    labels: Annotated[Path | None, typer.Option(help="A directory of true labels, to score the stream.")] = None,
    coding: Annotated[
        str | None, typer.Option(help="What their ids mean; default: a classes.yaml near them, else trainids.")
    ] = None,
    source: Annotated[Path | None, typer.Option(help="Images of the source, to score what is forgotten.")] = None,
    source_labels: Annotated[Path | None, typer.Option(help="The directory of their labels.")] = None,
    source_coding: Annotated[str | None, typer.Option(help="What the ids of the source's labels mean.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of cotta's views and restored weights.")] = None,
    size: ImageSizeOption = None,
    pad: PadOption = None,
    precision: PrecisionOption = None,
    scales: ScalesOption = None,
    flip: FlipOption = None,
    window: WindowOption = None,
    window_stride: WindowStrideOption = None,
    average: AverageOption = None,
    force: Annotated[bool, typer.Option("--force", help="Label everything again, over what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Label a stream of images in order, with a model that adapts to each image after it has labelled it.

    Example: udaseg adapt runs/demo/warmup photos --out adapted --method statistics
    """
    given = {
        "method": method, "momentum": momentum, "layers": layers, "norm": norm, "lr": lr, "views": views,
        "teacher": teacher, "restore": restore, "confidence": confidence, "anchor": anchor, "every": every,
        "reset": reset, "save_every": save_every,
    }  # fmt: skip
    settings = check_settings(Adapt, "adapt", given)
    unread = {f"--{name.replace('_', '-')}": given[name] for name in given if name not in READ[settings.method]}
    unread = {flag: value for flag, value in unread.items() if flag not in ("--method", "--save-every")}
    refuse_flags(unread, f"the method is {settings.method}", "leave it out, or choose another --method")
    if settings.method != DRAWS:
        hint = f"leave it out, or choose --method {DRAWS}"
        refuse_flags({"--seed": seed}, f"the method is {settings.method}, which draws nothing", hint)
    changes = view_changes(
        "adapt", scales=scales, flip=flip, average=average, window=window, window_stride=window_stride
    )
    look = check_settings(Views, "adapt", changes | {"adapt.precision": precision})
    of_stream = _of_stream(stream, labels, coding)
    of_source = _of_source(source, source_labels, source_coding)
    run = open_plain_run(out=out, seed=seed, force=force, dry_run=dry_run, as_json=as_json)
    require_outside(out, stream, *(folder for one in (of_stream, of_source) if one for folder in one.folders))
    plan = plan_images("adapt", model, stream, parse_image_size(size), pad)
    of_plan = {"order": "path", "size": plan.size, "pad": plan.pad}
    planned = job(run, plan, settings.identity() | look.identity() | of_plan, of_stream, of_source)
    if not force:
        refuse_to_overwrite(planned)
    with open_work(run, planned) as work:
        if work is None:
            return
        warn_of_stretching("adapt", plan)
        from udaseg.train.adapt.stream import adapt

        frames = _open_stream(work, plan, look, of_stream, of_source)
        result = adapt(plan.model, frames, settings, work.out, seed=planned.seed, show=work.progress)
        work.result.environment = result.environment
        work.finish(_numbers(result), _describe(result, out), result.warnings)


def _of_stream(stream: Path, labels: Path | None, coding: str | None) -> Labelled | None:
    """Return the labels of the stream, None without any; raise UdasegError for what cannot be."""
    if labels is None:
        refuse_flags({"--coding": coding}, "there are no labels", "name their directory with --labels, or leave it out")
        return None
    _require_there("--labels", labels)
    return Labelled(stream, labels, coding)


def _of_source(source: Path | None, labels: Path | None, coding: str | None) -> Labelled | None:
    """Return the labelled images of the source, None without any; raise UdasegError for what cannot be."""
    if source is None:
        given = {"--source-labels": labels, "--source-coding": coding}
        refuse_flags(given, "there is no source", "name its images with --source, or leave it out")
        return None
    if labels is None:
        raise UdasegError(
            f"--source {source} is scored, and has no labels", "name their directory with --source-labels"
        )
    _require_there("--source", source)
    _require_there("--source-labels", labels)
    return Labelled(source, labels, coding)


def _require_there(flag: str, path: Path) -> None:
    if not path.exists():
        raise UdasegError(f"{flag}: there is nothing at {path}", "check the path")


def _open_stream(
    work: Work, plan: Plan, look: Views, of_stream: Labelled | None, of_source: Labelled | None
) -> "Stream":
    """Open the images and the labels; all of them are seen at one size. Labels that cannot be scored are told now."""
    from udaseg.data.datasets.loose_labels import open_loose_labels, require_readable
    from udaseg.data.image_sets import View
    from udaseg.data.images.loose import open_loose_images
    from udaseg.inference.apply import find_space
    from udaseg.models import checkpoint
    from udaseg.train.adapt.stream import Stream

    space = find_space(tuple(checkpoint.load(plan.model)[1]["classes"]))
    labels = source = None
    if of_stream is not None:
        labels = open_loose_labels(plan.images, of_stream.labels, space, of_stream.coding, "--labels", "--coding")
        log(f"adapt: {of_stream.labels}: {'; '.join(labels.notes)}")
        require_readable(labels, work.progress("labels"))
    if of_source is not None:
        flags = ("--source-labels", "--source-coding")
        images = open_loose_images(of_source.images)
        opened = open_loose_labels(images, of_source.labels, space, of_source.coding, *flags)
        log(f"adapt: {of_source.labels}: {'; '.join(opened.notes)}")
        require_readable(opened, work.progress("labels", "adapt, the source"))
        source = View(opened, plan.size, plan.pad)
    return Stream(View(plan.images, plan.size, plan.pad), look, labels, source)


def _numbers(result: "Result") -> dict[str, Any]:
    """Return the key numbers for the manifest."""
    document = result.document
    numbers = {"frames": len(document["frames"]), "updates": document["updates"], "resets": document["resets"]}
    numbers["frames_per_second"] = None if result.rate is None else round(result.rate, 2)
    for name in ("stream", "last_tenth", "after"):
        if name in document:
            numbers[name] = document[name]["miou"]
    return numbers | ({"source": document["source"]} if "source" in document else {})


def _describe(result: "Result", out: Path) -> str:
    """Describe the result in one line."""
    numbers = _numbers(result)
    parts = [f"{numbers['frames']} frames in {out / 'labels'}"]
    if result.rate is not None:
        parts.append(f"{result.rate:.1f} frames a second")
    parts.append(f"{numbers['updates']} updates")
    if "stream" in numbers:
        scores = [numbers[name] for name in ("stream", "last_tenth", "after")]
        parts.append("mIoU {} before the updates, {} in the last tenth, {} after".format(*map(_percent, scores)))
    if "source" in numbers:
        source = numbers["source"]
        parts.append(f"on the source {_percent(source['before'])} before and {_percent(source['after'])} after")
    return "; ".join(parts)


def _percent(value: float | None) -> str:
    return "none" if value is None else f"{100 * value:.1f}"
