"""udaseg prototypes: the mean feature of every class."""

from pathlib import Path
from typing import Annotated

import typer

from udaseg.artifacts import Job

from . import inputs
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    domain = recipe.prototypes.domain
    settings = {"space": recipe.space, "prototypes": recipe.prototypes.model_dump()}
    given = {"model": session.input(inputs.last_model(session))}
    if domain != "target":
        settings["source"] = recipe.source.model_dump(include={"dataset", "split", "size", "limit"})
        given["source"] = inputs.fingerprinted(inputs.source(session))
    if domain != "source":
        settings["target"] = recipe.target.model_dump(include={"dataset", "split", "size", "limit"})
        given["target"] = inputs.fingerprinted(inputs.target_images(session))
        given["labels"] = session.input(inputs.label_folder(session))
    return Job("prototypes", session.out or session.folder("prototypes"), settings, given)


def run(session: Session) -> None:
    recipe, todo = session.recipe, job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.prototypes import gather, write

        parts = []
        if "source" in todo.inputs:
            source = inputs.source(session)
            parts.append((source, source.label, recipe.source.size))
        if "target" in todo.inputs:
            target = inputs.target_images(session)
            read = inputs.pseudo_labels(session, Path(todo.inputs["labels"].path), target)
            parts.append((target, lambda i: read(target.records[i].stem), recipe.target.size))
        with progress("prototypes", "pictures") as show:
            prototypes, result.environment = gather(
                Path(todo.inputs["model"].path), inputs.space(session), parts, recipe.predict, progress=show
            )
        write(todo.out / "prototypes.h5", prototypes)
        unseen = [name for name, count in zip(prototypes.classes, prototypes.counts, strict=True) if count == 0]
        if unseen:
            result.warnings.append(f"no pixel of {', '.join(unseen)}: these classes have no prototype")
        result.metrics = {"features": int(prototypes.counts.sum()), "classes": int((prototypes.counts > 0).sum())}
        say(f"prototypes: {result.metrics['classes']} classes in {todo.out / 'prototypes.h5'}")


@staged
def command(
    open_session,
    domain: Annotated[str | None, typer.Option(help="source, target or both.")] = None,
    model: Annotated[Path | None, typer.Option(help="A model.pt, a stage directory, or a stage of the run.")] = None,
    labels: Annotated[Path | None, typer.Option(help="The folder of pseudo-labels, <stem>.png.")] = None,
) -> None:
    """Compute the mean feature of every class.

    Example: udaseg prototypes --domain source
    """
    run(open_session({"prototypes.domain": domain}, {"model": model, "labels": labels}))
