"""udaseg stylize: give the source pictures the style of the target, by FDA."""

from typing import Annotated

import typer

from udaseg.artifacts import Job

from . import inputs
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    settings = {
        "source": recipe.source.model_dump(include={"dataset", "split", "size", "limit"}),
        "target": recipe.target.model_dump(include={"dataset", "split", "limit"}),
        "stylize": recipe.stylize.model_dump(),
    }
    given = {
        "source": inputs.fingerprinted(inputs.source(session)),
        "target": inputs.fingerprinted(inputs.target_images(session)),
    }
    return Job("stylize", session.out or session.folder("stylize"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe, todo = session.recipe, job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.stylize import stylize_set

        source, target = inputs.source(session), inputs.target_images(session)
        with progress("stylize", "pictures") as show:
            stylize_set(source, target, recipe.source.size, recipe.stylize, todo.out, seed=recipe.seed, progress=show)
        result.metrics = {"pictures": len(source), "beta": recipe.stylize.beta}
        say(f"stylize: {len(source)} pictures at beta {recipe.stylize.beta} in {todo.out}")


@staged
def command(
    open_session,
    beta: Annotated[float | None, typer.Option(help="The half width of the window, over the short side.")] = None,
    window: Annotated[str | None, typer.Option(help="square, as published, or rect.")] = None,
) -> None:
    """Give the source pictures the style of target pictures (FDA).

    Example: udaseg stylize --beta 0.05
    """
    run(open_session({"stylize.beta": beta, "stylize.window": window}))
