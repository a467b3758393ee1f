"""Assemble the commands, and turn errors into exit codes."""

import os
import signal
import sys
import traceback

import typer

from udaseg import __version__
from udaseg.errors import UdasegError

from . import (
    data,
    ensemble,
    evaluate,
    gmm,
    info,
    predict,
    prior,
    prototypes,
    pseudolabel,
    recipes,
    refine,
    report,
    retrain,
    status,
    stylize,
    warmup,
)

app = typer.Typer(
    name="udaseg",
    help="Adapt a segmentation network from labelled synthetic streets to unlabelled real ones.",
    epilog="Every stage writes one directory under runs/<recipe>; without flags it finds its inputs there.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.add_typer(recipes.app, name="recipe")
STAGES = (
    warmup, stylize, predict, ensemble, prior, pseudolabel, refine, prototypes, gmm, retrain, evaluate, report,
    status, info,
)  # fmt: skip
for stage in STAGES:
    app.command(name=stage.__name__.rpartition(".")[2])(stage.command)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error.", envvar="UDASEG_DEBUG"),
    version: bool = typer.Option(False, "--version", help="Print the version.", callback=_version, is_eager=True),
) -> None:
    if debug:
        os.environ["UDASEG_DEBUG"] = "1"


def main() -> None:
    """Run udaseg: 0 done, 1 a user's error, 2 wrong usage, 130 interrupted."""
    # What batch systems send before they kill ends a stage as Ctrl-C does: with a word, and continued next time.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and give its exit code."""
    try:
        typer.main.get_command(app)(arguments, prog_name="udaseg")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except UdasegError as error:
        return _failed(error, error.message, error.hint)
    except OSError as error:  # the machine's: permissions, a full disk, a share that is gone
        place = f" {error.filename}" if error.filename else ""
        return _failed(error, f"cannot read or write{place}: {error.strerror or error}", "mend it, then run it again")
    return 0


def _failed(error: Exception, message: str, hint: str | None) -> int:
    if os.environ.get("UDASEG_DEBUG"):
        traceback.print_exception(error)
    print(f"error: {message}", file=sys.stderr)
    if hint:
        print(f" hint: {hint}", file=sys.stderr)
    return 1
