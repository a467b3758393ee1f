"""Inputs that are made when missing: toytown, the stylised source, class counts, prior, predictions, prototypes."""

from pathlib import Path

from udaseg.config import Recipe
from udaseg.config.rounds import prediction_identity, prediction_of_round
from udaseg.errors import UdasegError
from udaseg.parallel import processes
from udaseg.pipeline import artifacts
from udaseg.pipeline.artifacts import Job

from . import inputs, products
from .progress import passes, progress
from .session import Session, say, working

TOYTOWN = ("gta5", "synthia", "cityscapes")


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


def rendered(session: Session) -> bool:
    """Tell whether the datasets are there, or toytown still has to be; raises UdasegError where others are lacking."""
    if on_toytown(session) and artifacts.read_manifest(Path(session.recipe.data)) is None:
        return False
    inputs.require(session)
    return True


def on_toytown(session: Session) -> bool:
    """Tell whether the recipe reads any of the datasets that toytown writes."""
    recipe = session.recipe
    sets = {side.root or side.dataset for side in (recipe.source, recipe.target)}
    return recipe.toytown is not None and not sets.isdisjoint(TOYTOWN)


def ensure_toytown(session: Session) -> None:
    """Render toytown where the recipe looks for its data and there is none yet; say so where there is another one.

    What is there is never rendered over: other runs may be made from it.
    """
    if not on_toytown(session):
        return
    place = Path(session.recipe.data)
    manifest = artifacts.read_manifest(place)
    if manifest is None:
        require_room(place)
        toytown(session.inside())
        return
    world = session.recipe.toytown.model_dump(mode="json")
    there = manifest["settings"].get("toytown", {}) | {"seed": manifest["seed"]}
    other = [f"{key} {there.get(key)}, not {world[key]}" for key in world if there.get(key) != world[key]]
    if other:
        say(f"data: {place} is used as it is: it has {'; '.join(other)} (udaseg data make {place} renders it again)")


def require_room(place: Path) -> None:
    """Raise UdasegError where toytown would be rendered into a directory that holds something else."""
    try:
        artifacts.require_ours(place)
    except UdasegError as error:
        raise UdasegError(
            f"toytown would be rendered into {place}: {error.message}",
            f"render it into a directory of its own, as with `udaseg data make {place / 'toytown'}`, and name that: "
            "with --data, or as source.root=toytown/gta5 beside data of yours",
        ) from None


def stylize_job(session: Session) -> Job:
    """Plan the source images in the style of the target."""
    recipe = session.recipe
    settings = {
        "source": inputs.seen(recipe.source),
        "target": inputs.chosen(recipe.target),
        "stylize": recipe.stylize.model_dump(),
    }
    given = {
        "source": inputs.fingerprinted(inputs.source(session)),
        "target": inputs.fingerprinted(inputs.target_images(session)),
    }
    return Job("stylize", session.out or session.folder("stylize"), settings, given, recipe.seed)


def stylize(session: Session) -> None:
    """Give the source images the style of the target."""
    recipe, todo = session.recipe, stylize_job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.data.style.dataset import stylize_set

        source, target = inputs.source(session), inputs.target_images(session)
        with progress("stylize", "images") as show:
            stylize_set(
                View(source, recipe.source.size, recipe.source.pad),
                target,
                recipe.stylize,
                todo.out,
                seed=recipe.seed,
                progress=show,
            )
        result.metrics = {"images": len(source), "beta": recipe.stylize.beta}
        say(f"stylize: {len(source)} images at beta {recipe.stylize.beta} in {todo.out}")


def predict_job(session: Session) -> Job:
    """Plan the scores of every target image."""
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "target": inputs.seen(recipe.target),
        "predict": prediction_of_round(recipe.predict, session.round).model_dump(),
    }
    given = {
        "model": session.input(products.last_model(session)),
        "target": inputs.fingerprinted(inputs.target_images(session)),
    }
    return Job("predict", session.out or session.folder("predict"), settings, given)


def predict(session: Session) -> None:
    """Store the scores of every target image."""
    recipe, todo = session.recipe, predict_job(session)
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.inference import predict

        target, settings = inputs.target_images(session), prediction_of_round(recipe.predict, session.round)
        with progress("predict", passes(twice=bool(settings.adabn))) as show:
            result.environment = predict.predict(
                Path(todo.inputs["model"].path),
                inputs.space(session),
                View(target, recipe.target.size, recipe.target.pad),
                settings,
                todo.out,
                progress=show,
            )
        result.metrics = {"images": len(target)}
        say(f"predict: {len(target)} images in {todo.out / 'predictions.h5'}")


def prototype_labels(recipe: Recipe) -> str:
    """Name the stage whose labels the prototypes are means over: the last before them that makes labels."""
    earlier = recipe.chain[: recipe.chain.index("prototypes")] if "prototypes" in recipe.chain else recipe.chain
    refined = recipe.retrain.labels == "refine" and not recipe.refine.prototypes
    return "refine" if refined and ("refine" in earlier or "refine" not in recipe.chain) else "pseudolabel"


def prototypes_job(session: Session) -> Job:
    """Plan the mean feature of every class."""
    recipe = session.recipe
    domain = recipe.prototypes.domain
    settings = {"space": recipe.space, "prototypes": recipe.prototypes.model_dump()}
    settings |= prediction_identity(recipe.predict, session.round)
    given = {"model": session.input(products.last_model(session))}
    if domain != "target":
        settings["source"] = inputs.seen(recipe.source)
        given["source"] = inputs.fingerprinted(inputs.source(session))
    if domain != "source":
        settings["target"] = inputs.seen(recipe.target)
        given["target"] = inputs.fingerprinted(inputs.target_images(session))
        given["labels"] = session.input(products.label_folder(session, prototype_labels(recipe)))
    return Job("prototypes", session.out or session.folder("prototypes"), settings, given)


def prototypes(session: Session) -> None:
    """Compute the mean feature of every class."""
    recipe, todo = session.recipe, prototypes_job(session)
    with working(session, todo, shared=True) as result:
        if result is None:
            return
        from udaseg.data.image_sets import View
        from udaseg.statistics.prototypes import gather, write

        parts, model, settings = [], todo.inputs["model"], prediction_of_round(recipe.predict, session.round)
        if "source" in todo.inputs:
            source = inputs.source(session)
            parts.append((View(source, recipe.source.size, recipe.source.pad), source.label))
        if "target" in todo.inputs:
            target = inputs.target_images(session)
            read = products.pseudo_labels(session, Path(todo.inputs["labels"].path), target)
            view = View(target, recipe.target.size, recipe.target.pad)
            parts.append((view, lambda i: read(target.records[i].stem)))
        with progress("prototypes", passes(twice=bool(settings.adabn))) as show:
            found, result.environment = gather(
                Path(model.path),
                inputs.space(session),
                parts,
                settings,
                digest=model.digest,
                progress=show,
            )
        if not processes.is_first():
            return
        write(todo.out / "prototypes.h5", found)
        unseen = [name for name, count in zip(found.classes, found.counts, strict=True) if count == 0]
        if unseen:
            result.warnings.append(f"no pixel of {', '.join(unseen)}: these classes have no prototype")
        result.metrics = {"features": int(found.counts.sum()), "classes": int((found.counts > 0).sum())}
        say(f"prototypes: {result.metrics['classes']} classes in {todo.out / 'prototypes.h5'}")


def own_prototypes(session: Session) -> None:
    """Make the run's prototypes for a stage that reads them: not where flags name others, or another model."""
    if session.given("prototypes") is None and session.given("model") is None:
        prototypes(session.inside())


def stats_job(session: Session) -> Job:
    """Plan the class counts of the source."""
    recipe = session.recipe
    settings = {"space": recipe.space, "source": inputs.chosen(recipe.source)}
    given = {"source": inputs.fingerprinted(inputs.source(session))}
    return Job("stats", session.out or session.folder("stats"), settings, given)


def stats(session: Session) -> None:
    """Count the classes of the source, in all and image by image."""
    todo = stats_job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.io.files import write_json
        from udaseg.statistics.class_counts import class_counts

        source = inputs.source(session)
        with progress("data stats", "labels") as show:
            counts = class_counts(source, show)
        write_json(todo.out / "stats.json", counts.content())
        absent = [name for name, pixels in zip(counts.classes, counts.pixels, strict=True) if not pixels]
        if absent:
            result.warnings.append(f"the source has no pixel of {', '.join(absent)}: no network learns these from it")
        say(f"data stats: {len(source)} labels counted in {todo.out / 'stats.json'}")


def prior_job(session: Session) -> Job:
    """Plan the spatial prior of the source, for images of the target's size."""
    recipe = session.recipe
    settings = {
        "space": recipe.space,
        "source": inputs.chosen(recipe.source),
        "prior": recipe.prior.model_dump() | {"size": recipe.prior.size or inputs.target_size(session)},
    }
    given = {"source": inputs.fingerprinted(inputs.source(session))}
    return Job("prior", session.out or session.folder("prior"), settings, given)


def prior(session: Session) -> None:
    """Count, smooth and normalise where the classes of the source stand."""
    todo = prior_job(session)
    with working(session, todo) as result:
        if result is None:
            return
        from udaseg.statistics import spatial_prior

        source = inputs.source(session)
        with progress("prior", "labels") as show:
            found = spatial_prior.spatial_prior(
                source, todo.settings["prior"]["size"], session.recipe.prior, progress=show
            )
        spatial_prior.write(todo.out / "prior.h5", found)
        absent = [name for name, map_HW in zip(found.classes, found.maps, strict=True) if not map_HW.any()]
        if absent:
            result.warnings.append(f"the source has no {', '.join(absent)}: cbst-sp never chooses them")
        result.metrics = {"classes": len(found.classes) - len(absent), "grid": list(found.maps.shape[1:])}
        say(f"prior: {len(found.classes) - len(absent)} classes in {todo.out / 'prior.h5'}")
