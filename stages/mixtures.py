"""The mixtures of the source's depth: planned, fitted, and read by the stage that learns from them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.pipeline.artifacts import Job

from . import inputs
from .progress import progress
from .session import Session, say, working

if TYPE_CHECKING:
    from udaseg.statistics.density_maps import DensityMaps


def job(session: Session) -> Job:
    """Plan the mixtures."""
    recipe = session.recipe
    settings = {"space": recipe.space, "source": inputs.seen(recipe.source), "gmm": recipe.gmm.model_dump()}
    given = {"source": inputs.fingerprinted(inputs.source(session))}
    return Job("gmm", session.out or session.folder("gmm"), settings, given, recipe.seed)


def make(session: Session) -> None:
    """Fit a mixture over column, row and inverse depth to every class of the source."""
    recipe, todo = session.recipe, job(session)
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        source = inputs.source(session)
        if not source.has_depth:
            result.metrics = {"skipped": f"{source.dataset} has no depth"}
            say(f"gmm: skipped, {source.dataset} has no depth")
            return
        from udaseg.data.image_sets import View
        from udaseg.statistics.depth_density import write
        from udaseg.statistics.gmm import fit
        from udaseg.statistics.gmm_counts import count_for_gmm

        with progress("gmm", "images") as show:
            view = View(source, recipe.source.size, recipe.source.pad)
            counts = count_for_gmm(view, recipe.gmm, progress=show)
        if not processes.is_first():
            return
        mixtures = fit(counts, recipe.gmm.components, seed=recipe.seed, iterations=recipe.gmm.iterations)
        write(todo.out / "gmm.h5", mixtures)
        absent = [name for name, weights in zip(mixtures.classes, mixtures.weights, strict=True) if not weights.any()]
        if absent:
            result.warnings.append(f"no pixel of {', '.join(absent)} with depth: these classes have no mixture")
        result.metrics = {"classes": len(mixtures.classes) - len(absent), "components": recipe.gmm.components}
        say(f"gmm: {result.metrics['classes']} classes in {todo.out / 'gmm.h5'}")


def file(session: Session) -> Path:
    """Find the mixtures: where --mixtures says, else in the run."""
    return session.given("mixtures") or session.finished("gmm", "udaseg gmm") / "gmm.h5"


def densities(session: Session, path: Path) -> DensityMaps:
    """Read mixtures for the density head. Raises UdasegError where they are those of other classes."""
    from udaseg.statistics.density_maps import DensityMaps
    from udaseg.statistics.depth_density import read

    mixtures, space = read(path), inputs.space(session)
    if mixtures.classes != space.classes:
        raise UdasegError(
            f"{path} holds mixtures of {', '.join(mixtures.classes)}; expected {', '.join(space.classes)}",
            "udaseg gmm fits them to the classes of the recipe",
        )
    return DensityMaps(mixtures)
