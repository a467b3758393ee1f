"""Assemble the commands, and turn errors into exit codes."""

import os
import sys
import traceback

import typer

from udaseg import __version__
from udaseg.errors import UdasegError
from udaseg.parallel import processes

from . import (
    ablate,
    adapt,
    apply,
    compare,
    data,
    distill,
    doctor,
    ensemble,
    evaluate,
    export,
    flow,
    gmm,
    info,
    init,
    judge,
    predict,
    prior,
    prototypes,
    pseudolabel,
    recipes,
    refine,
    report,
    retrain,
    stats,
    status,
    stylize,
    tensorboard,
    track,
    warmup,
)
from . import run as run_
from .terminal.command import STAGES, stage_command

app = typer.Typer(
    name="udaseg",
    help="Adapt a segmentation network from labelled synthetic streets to unlabelled real ones.",
    epilog="Every stage writes one directory under runs/<recipe>; without flags it finds its inputs there. "
    "Example: `udaseg warmup`, then pseudolabel, refine, retrain, evaluate, report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# The panels of `udaseg --help`; within one, commands stand in the order in which they are used.
PANELS = {
    "Look around": (doctor, init, status, info, compare, judge, tensorboard, track, ablate),
    "Stages": (
        run_, warmup, stylize, flow, predict, ensemble, prior, pseudolabel, refine, prototypes, gmm, retrain, distill,
        evaluate, report,
    ),
    "Use a model": (apply, adapt, export),
}  # fmt: skip
# All stages by name: those of the commands, what they are made of, and the phases of a command.
STAGES |= {module.stage.name: module.stage for module in (data, stats)}
for panel, modules in PANELS.items():
    for module in modules:
        stage = getattr(module, "stage", None)
        if stage is not None:
            STAGES |= {one.name: one for one in (stage, *stage.phases.values())}
        command = module.command if hasattr(module, "command") else stage_command(stage)
        app.command(name=module.__name__.rpartition(".")[2], rich_help_panel=panel)(command)
data.app.command(name="stats")(stage_command(stats.stage))
app.add_typer(data.app, name="data", rich_help_panel="Data and recipes")
app.add_typer(recipes.app, name="recipe", rich_help_panel="Data and recipes")


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
    except RuntimeError as error:  # PyTorch's OutOfMemoryError is one
        torch = sys.modules.get("torch")
        if torch is None or not isinstance(error, torch.OutOfMemoryError):
            raise
        said = str(error).partition(". ")[2].partition(". ")[0]  # how much it wanted
        hint = "give the stage smaller batches, such as --set warmup.batch=1, smaller crops (augment.crop) or images"
        return _failed(error, f"the GPU has not enough memory: {said[:200]}", hint)
    return 0


def _failed(error: Exception, message: str, hint: str) -> int:
    if os.environ.get("UDASEG_DEBUG"):
        traceback.print_exception(error)
    who = "" if processes.count() == 1 else f" (process {processes.rank() + 1} of {processes.count()})"
    print(f"error{who}: {message}", file=sys.stderr)
    print(f" hint: {hint}", file=sys.stderr)
    for note in getattr(error, "__notes__", ()):
        print(f" {note}", file=sys.stderr)
    return 1
