"""udaseg data: render toytown, check a dataset, count its classes."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.errors import UdasegError

from . import inputs, made
from .progress import progress
from .session import Session, staged, start

app = typer.Typer(help="Render toytown, check a dataset, count its classes.", no_args_is_help=True)


@app.command()
def make(
    folder: Annotated[Path, typer.Argument(help="The directory to render into.")],
    source: Annotated[int | None, typer.Option(help="Frames of each synthetic set, gta5/ and synthia/.")] = None,
    train: Annotated[int | None, typer.Option(help="Frames of the real one's training split, cityscapes/.")] = None,
    val: Annotated[int | None, typer.Option(help="Frames of its labelled split.")] = None,
    size: Annotated[str | None, typer.Option(help="Height and width of a frame: 256x512.")] = None,
    seed: Annotated[int | None, typer.Option(help="The seed of the world.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Render again what is there.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and why.")] = False,
) -> None:
    """Render toytown, a street world with all 19 classes, in the formats of GTA5, SYNTHIA and Cityscapes.

    Example: udaseg data make data/toytown --source 100
    """
    changes = {"data": str(folder), "toytown.source": source, "toytown.train": train, "toytown.val": val}
    changes |= {"toytown.size": None if size is None else inputs.height_width(size), "toytown.seed": seed}
    try:
        session = start("demo", force=force, dry_run=dry_run, changes=changes)
    except UdasegError as error:
        raise UdasegError(
            error.message.replace("recipe demo: toytown.", "--"), "udaseg data make --help lists its flags"
        ) from None
    made.toytown(session)


@app.command()
def check(
    folder: Annotated[Path, typer.Argument(help="The dataset's directory.")],
    dataset: Annotated[str | None, typer.Option(help="gta5, cityscapes, ...; told by the layout when absent.")] = None,
    coding: Annotated[str | None, typer.Option(help="What the ids of a folder without classes.yaml mean.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Open every file of a dataset; report what is there and what is wrong. Exits with 1 where it cannot be used.

    Example: udaseg data check /datasets/gta5
    """
    from udaseg.data.check import check as look

    from .tables import check_table, console, print_findings, shares_table

    with progress("data check", "images") as show:
        report = look(folder, dataset, coding=coding, progress=show)
    if as_json:
        import json

        print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False))
    else:
        classes = [shares_table(report)] if any(split.classes for split in report.splits) else []
        console().print(check_table(report), *classes)
        print_findings(report)
    if not report.ok:
        raise typer.Exit(1)


@app.command()
@staged
def stats(open_session) -> None:
    """Count the classes of the source, in all and image by image, for the stages that weigh classes.

    Example: udaseg data stats --recipe gta2city --data /datasets
    """
    session: Session = open_session()
    made.stats(session)
