"""udaseg gmm: a mixture over column, row and inverse depth for every class of the source."""

from typing import Annotated

import typer

from udaseg.artifacts import Job

from . import inputs
from .progress import progress
from .session import Session, say, staged, working


def job(session: Session) -> Job:
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "source": recipe.source.model_dump(include={"dataset", "split", "size", "limit"}),
        "gmm": recipe.gmm.model_dump(),
    }
    given = {"source": inputs.fingerprinted(inputs.source(session))}
    return Job("gmm", session.out or session.folder("gmm"), settings, given, recipe.seed)


def run(session: Session) -> None:
    recipe, todo = session.recipe, job(session)
    with working(session, todo) as result:
        if result is None:
            return
        source = inputs.source(session)
        if any(record.depth is None for record in source.records):
            result.metrics = {"skipped": f"{source.dataset} has no depth"}
            say(f"gmm: skipped, {source.dataset} has no depth")
            return
        from udaseg.depth.counting import mixture_counts
        from udaseg.depth.density import write
        from udaseg.depth.mixtures import fit

        with progress("gmm", "pictures") as show:
            counts = mixture_counts(source, recipe.gmm.grid, recipe.source.size, progress=show)
        mixtures = fit(counts, recipe.gmm.components, seed=recipe.seed, iterations=recipe.gmm.iterations)
        write(todo.out / "gmm.h5", mixtures)
        absent = [name for name, weights in zip(mixtures.classes, mixtures.weights, strict=True) if not weights.any()]
        if absent:
            result.warnings.append(f"no pixel of {', '.join(absent)} with depth: these classes have no mixture")
        result.metrics = {"classes": len(mixtures.classes) - len(absent), "components": recipe.gmm.components}
        say(f"gmm: {result.metrics['classes']} classes in {todo.out / 'gmm.h5'}")


@staged
def command(
    open_session,
    components: Annotated[int | None, typer.Option(help="Gaussians a class.")] = None,
) -> None:
    """Fit a mixture over column, row and inverse depth to every class of the source.

    Example: udaseg gmm --recipe synthia2city --components 5
    """
    run(open_session({"gmm.components": components}))
