"""udaseg data: render toytown; index, shard, check and convert datasets; count classes."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from udaseg.errors import UdasegError, join_names
from udaseg.io.addresses import is_address
from udaseg.pipeline.engine import open_work, run_stage
from udaseg.pipeline.manifest import Job
from udaseg.pipeline.places import index_job, open_address
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage import Stage
from udaseg.pipeline.toytown import RECIPE
from udaseg.pipeline.work import Work

from .terminal.command import open_plain_run
from .terminal.options import parse_size
from .terminal.progress import show_progress

app = typer.Typer(help="Render toytown; index, shard, check and convert datasets; count classes.", no_args_is_help=True)


def job(run: Run) -> Job:
    """Plan the rendering of the recipe's toytown into its data directory."""
    world = run.recipe.toytown
    if world is None:
        raise UdasegError(f"recipe {run.recipe.name} renders no toytown", "choose one with --scale toy, or demo")
    settings = {key: value for key, value in world.identity().items() if key != "seed"}
    return Job("data", Path(run.recipe.data), {"toytown": settings}, {}, world.seed)


def run(work: Work) -> None:
    """Render toytown, or continue to."""
    from udaseg.toytown.world import make_toytown

    world = work.recipe.toytown
    assert world is not None
    make_toytown(
        work.out,
        seed=world.seed,
        source=world.source,
        target_train=world.train,
        target_val=world.val,
        frames=world.frames,
        size=world.size,
        depth=world.depth,
        progress=work.progress("frames", "data make"),
    )
    frames: dict[str, Any] = {"source": world.source, "train": world.train, "val": world.val}
    work.finish(frames, f"toytown is in {work.job.out}")


stage = Stage("data", run, job=job, command="data make")


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="The directory to render into.")],
    source: Annotated[int | None, typer.Option(help="Frames of each synthetic set, gta5/ and synthia/.")] = None,
    train: Annotated[int | None, typer.Option(help="Frames of the real one's training split, cityscapes/.")] = None,
    val: Annotated[int | None, typer.Option(help="Frames of its labelled split.")] = None,
    frames: Annotated[
        int | None, typer.Option(help="With 2 to 10, each training frame ends a video of so many, with its flow.")
    ] = None,
    size: Annotated[str | None, typer.Option(help="Height and width of a frame: 256x512.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the world.")] = None,
    depth: Annotated[bool, typer.Option("--depth", help="Depth for the real one's training split too.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Render again what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
) -> None:
    """Render toytown, a street world with all 19 classes, in the formats of GTA5, SYNTHIA and Cityscapes.

    Example: udaseg data make data/toytown --source 100
    """
    changes = {"data": str(folder), "toytown.source": source, "toytown.train": train, "toytown.val": val}
    changes |= {"toytown.frames": frames}
    changes |= {"toytown.size": None if size is None else parse_size(size), "toytown.seed": seed}
    changes |= {"toytown.depth": depth or None}
    try:
        opened = open_plain_run(RECIPE, force=force, dry_run=dry_run, changes=changes)
    except UdasegError as error:
        message = error.message.replace("recipe demo: toytown.", "--")
        raise UdasegError(message, "see what its flags take: udaseg data make --help") from None
    run_stage(opened, stage)


@app.command()
def stream(
    folder: Annotated[Path, typer.Argument(help="The directory to render into.")],
    frames: Annotated[int, typer.Option(min=1, max=9999, help="Frames of each weather.")] = 50,
    size: Annotated[str, typer.Option(help="Height and width of a frame.")] = "256x512",
    seed: Annotated[int, typer.Option(min=0, help="The seed of the world.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Render all frames again.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
) -> None:
    """Render a stream of toytown's real streets for `adapt`: blocks of clouds, sun, fog and dusk, with labels.

    The same command goes on where it was stopped; with other settings all frames are rendered again.

    Example: udaseg data stream data/stream --frames 25
    """
    height, width = parse_size(size)
    run = open_plain_run(out=folder, force=force, dry_run=dry_run)
    with open_work(
        run, Job("stream", folder, {"stream": {"frames": frames, "size": [height, width]}}, {}, seed)
    ) as work:
        if work is None:
            return
        from udaseg.toytown.stream import make_stream

        progress = work.progress("frames", "data stream")
        count = make_stream(work.out, seed=seed, frames=frames, size=(height, width), progress=progress)
        work.finish({"frames": count}, f"{count} frames are in {folder / 'val'}")


@app.command()
def index(
    address: Annotated[str, typer.Argument(help="Where the pictures lie: s3://bucket/prefix, file:///data/shards.")],
    data: Annotated[str, typer.Option(help="The data directory of the recipes that read it.")] = "data",
    read_all: Annotated[
        bool, typer.Option("--read-all", help="Read every object, and keep the digest of its bytes.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="List again: what is there may have changed.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
) -> None:
    """List the pictures of an object store, or of tar and Parquet shards, into an index that the stages read.

    Example: udaseg data index s3://bucket/prefix
    """
    run = open_plain_run(force=force, dry_run=dry_run)
    with open_work(run, index_job(data, address, read_all)) as work:
        if work is None:
            return
        from udaseg.data.places.build import build_index

        root = work.job.settings["index"]["root"]
        summary = build_index(root, work.out, read_all=read_all, show=lambda unit: show_progress("data index", unit))
        numbers = {"files": summary.files, "shards": summary.shards, "bytes": summary.bytes}
        text = f"{summary.files} files of {root}, {summary.bytes / 1e9:.1f} GB, are in {work.job.out}"
        work.finish(numbers, text, summary.warnings)


@app.command()
def shard(
    folder: Annotated[Path, typer.Argument(help="A folder dataset.")],
    out: Annotated[Path, typer.Argument(help="The directory to write the tars into, in a directory of the split.")],
    split: Annotated[str, typer.Option(help="The split to write.")] = "train",
    megabytes: Annotated[int, typer.Option(min=1, help="The size of a tar.")] = 500,
) -> None:
    """Write a split of a folder dataset as tar files, which an object store serves better than single pictures.

    Example: udaseg data shard data/real shards/real --split train
    """
    from udaseg.data.places.write_shards import write_shards

    with show_progress("data shard", "images") as show:
        written = write_shards(folder, out, split, megabytes, show)
    tars = "1 tar" if written.tars == 1 else f"{written.tars} tars"
    print(f"{written.samples} images, {written.labels} of them with a label, in {tars} in {out / split}")


@app.command()
def check(
    folder: Annotated[str, typer.Argument(help="The dataset's directory, or its address, such as s3://bucket/prefix.")],
    dataset: Annotated[str | None, typer.Option(help="gta5, cityscapes, ...; told by the layout when absent.")] = None,
    coding: Annotated[str | None, typer.Option(help="What the ids of a folder without classes.yaml mean.")] = None,
    label_suffix: Annotated[
        str | None, typer.Option(help="What the label names of a folder add to image names, such as _mask.")
    ] = None,
    use: Annotated[
        str | None, typer.Option("--as", help="source or target: find what is wrong for that alone.")
    ] = None,
    data: Annotated[str, typer.Option(help="The data directory with the index of an address.")] = "data",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Open every file of a dataset; report what is there and what is wrong. Exits with 1 where it cannot be used.

    Example: udaseg data check /datasets/gta5
    """
    from udaseg.data.check import check as check_dataset
    from udaseg.data.findings import Use

    from .terminal.tables import check_table, console, shares_table

    if use not in (None, *get_args(Use)):
        raise UdasegError(f"--as {use}: expected source or target", "leave it out to check for both")
    root = open_address(data, folder) if is_address(folder) else Path(folder)
    with show_progress("data check", "images") as show:
        options = {"coding": coding, "label_suffix": label_suffix, "use": use}
        report = check_dataset(root, dataset, **options, progress=show)
    if as_json:
        import json

        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    else:
        classes = [shares_table(report)] if any(split.classes for split in report.splits) else []
        console().print(check_table(report), *classes)
        print_findings(report, root)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def convert(
    annotations: Annotated[
        Path, typer.Argument(help="A JSON file of COCO or Label Studio, or a directory of Labelme's.")
    ],
    out: Annotated[Path, typer.Argument(help="The folder dataset to write.")],
    split: Annotated[str, typer.Option(help="The split to write; another one in the same directory stays.")] = "train",
    images: Annotated[Path | None, typer.Option(help="The directory of the images, if not beside the JSON.")] = None,
) -> None:
    """Draw the polygons and masks of COCO, Label Studio or Labelme as labels of a folder dataset.

    Example: udaseg data convert exported/result.json data/real --split val
    """
    from udaseg.data.convert.convert import convert as convert_annotations

    with show_progress("data convert", "images") as show:
        result = convert_annotations(annotations, out, split, images=images, progress=show)
    print(
        f"{result.images} images in {out / split}; {len(result.classes)} classes: {', '.join(result.classes.values())}"
    )
    for note in result.notes:
        print(note)


def print_findings(report, root=None) -> None:
    """Print the findings of a check, the worst first."""
    from udaseg.data.findings import Finding, check_command

    order = ("error", "warning", "note")
    splits: dict[Finding, list[str]] = {}  # of findings that are the same in several
    for finding in report.findings:
        splits.setdefault(replace(finding, split=""), []).append(finding.split)
    for finding in sorted(splits, key=lambda finding: order.index(finding.severity)):
        files = [join_names(finding.files)] if finding.files else []
        print(": ".join(filter(None, [finding.severity, ", ".join(splits[finding]), finding.message, *files])))
        if finding.hint:
            print(f"  hint: {finding.hint}")
    verdict = "usable" if report.ok else "not usable"
    if report.ok and not any(split.labels for split in report.splits):
        verdict = "usable as a target; as a source it would need labels"
    elif report.usable_as == ("target",):
        command = check_command(root or report.root, "--as", "target")
        verdict = f"not usable as a source; usable as a target, whose training labels nothing reads: {command}"
    print(f"{verdict}; {report.free_bytes / 1e9:.0f} GB free on this disk")
