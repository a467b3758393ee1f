"""Inputs that are made when they are missing: toytown, the source's class counts, the stored predictions."""

from pathlib import Path

from udaseg import artifacts
from udaseg.artifacts import Job
from udaseg.errors import UdasegError

from . import inputs
from .progress import progress
from .session import Session, say, working


def toytown_job(session: Session) -> Job:
    """Plan the rendering of the recipe's toytown into its data directory."""
    world = session.recipe.toytown
    if world is None:
        raise UdasegError(f"recipe {session.recipe.name} renders no toytown", "choose one with --scale toy, or demo")
    return Job("data", Path(session.recipe.data), {"toytown": world.model_dump(exclude={"seed"})}, {}, world.seed)


def toytown(session: Session) -> None:
    """Render toytown, or continue to."""
    todo, world = toytown_job(session), session.recipe.toytown
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.toytown.world import make_toytown

        with progress("data make", "frames") as show:
            make_toytown(
                todo.out,
                seed=world.seed,
                source=world.source,
                target_train=world.train,
                target_val=world.val,
                size=world.size,
                progress=show,
            )
        result.metrics = {"source": world.source, "train": world.train, "val": world.val}
        say(f"data: toytown is in {todo.out}")


def ensure_toytown(session: Session) -> None:
    """Render toytown where the recipe looks for its data and there is none yet."""
    if session.recipe.toytown is not None and artifacts.read_manifest(Path(session.recipe.data)) is None:
        toytown(session.inside())


def predict_job(session: Session) -> Job:
    """Plan the scores of every target picture."""
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "target": recipe.target.model_dump(include={"dataset", "split", "size", "limit"}),
        "predict": recipe.predict.model_dump(),
    }
    given = {
        "model": session.input(inputs.model_file(session, "warmup", "udaseg warmup")),
        "target": inputs.fingerprinted(inputs.target_images(session)),
    }
    return Job("predict", session.out or session.folder("predict"), settings, given)


def predict(session: Session) -> None:
    """Store the scores of every target picture."""
    recipe, todo = session.recipe, predict_job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.pseudo import predict

        target = inputs.target_images(session)
        with progress("predict", "pictures") as show:
            result.environment = predict.predict(
                Path(todo.inputs["model"].path),
                inputs.space(session),
                target,
                recipe.target.size,
                recipe.predict,
                todo.out,
                progress=show,
            )
        result.metrics = {"pictures": len(target)}
        say(f"predict: {len(target)} pictures in {todo.out / 'predictions.h5'}")


def stats_job(session: Session) -> Job:
    """Plan the class counts of the source."""
    recipe = session.recipe
    settings = {"space": recipe.space, "source": recipe.source.model_dump(include={"dataset", "split", "limit"})}
    given = {"source": inputs.fingerprinted(inputs.source(session))}
    return Job("stats", session.out or session.folder("stats"), settings, given)


def stats(session: Session) -> None:
    """Count the classes of the source, in all and picture by picture."""
    todo = stats_job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.data.stats import class_counts
        from udaseg.files import write_json

        source = inputs.source(session)
        with progress("data stats", "labels") as show:
            write_json(todo.out / "stats.json", class_counts(source, show))
        say(f"data stats: {len(source)} labels counted in {todo.out / 'stats.json'}")
