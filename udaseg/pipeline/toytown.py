"""Toytown in the place of data: rendered where a recipe looks for its data and nothing is there."""

from __future__ import annotations

import shlex
from pathlib import Path

from udaseg.config.load import load_recipe
from udaseg.errors import UdasegError, join_names
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import read_manifest
from udaseg.pipeline.run import Run
from udaseg.pipeline.stage_dir import require_ours

RECIPE = "demo"  # whose toytown `udaseg data make` renders, but for its flags
TOYTOWN = ("gta5", "synthia", "cityscapes")  # the datasets that toytown writes


def uses_toytown(run: Run) -> bool:
    """Tell whether the recipe reads toytown: rendered, or to be rendered where nothing is."""
    folders = _toytown_folders(run)
    return bool(folders) and (read_manifest(Path(run.recipe.data)) is not None or not all(map(_is_filled, folders)))


def needs_rendering(run: Run) -> bool:
    """Tell whether toytown has to be rendered first: where nothing is that the recipe could read instead."""
    return uses_toytown(run) and read_manifest(Path(run.recipe.data)) is None


def ensure_toytown(run: Run) -> None:
    """Render toytown where the recipe looks for its data and there is none yet; log where there is another one.

    What is there is never rendered over: other runs may be made from it.
    """
    from udaseg.pipeline.engine import run_stage  # which opens datasets, and renders for them

    if not uses_toytown(run):
        return
    folder = Path(run.recipe.data)
    manifest = read_manifest(folder)
    if manifest is None:
        require_room(run)
        run_stage(run.for_dependency(), run.stages["data"])
        return
    world = run.recipe.toytown.model_dump(mode="json")
    rendered = {"depth": False, "frames": 1} | manifest["settings"].get("toytown", {}) | {"seed": manifest["seed"]}
    # Depth and videos that nobody asked for change nothing else.
    usual = {"depth": False, "frames": 1}.items()
    asked = {key: value for key, value in world.items() if (key, value) not in usual}
    other = [f"{key} {rendered.get(key)}, not {value}" for key, value in asked.items() if rendered.get(key) != value]
    if other:
        again = _rendering(run, folder)
        log(f"data: {folder} is used as it is: it has {'; '.join(other)} (`{again}` renders it again)")


def _rendering(run: Run, folder: Path) -> str:
    """Return the command that renders the toytown of the recipe into a directory."""
    world, usual = (one.toytown.model_dump(mode="json") for one in (run.recipe, load_recipe(RECIPE)))
    words = ["udaseg", "data", "make", str(folder)]
    for key, value in world.items():
        if value != usual[key]:
            values = [] if value is True else ["x".join(map(str, value)) if key == "size" else str(value)]
            words += [f"--{key}", *values]
    return shlex.join(words)


def require_room(run: Run) -> None:
    """Raise UdasegError where toytown would be rendered into a directory that holds something else."""
    folder = Path(run.recipe.data)
    try:
        require_ours(folder)
    except UdasegError as error:
        absent = [str(path) for path in _toytown_folders(run) if not _is_filled(path)]
        raise UdasegError(
            f"{join_names(absent)} should hold a dataset, and toytown is not rendered into {folder}: {error.message}",
            "put your data there, or render toytown into a directory of its own, as with "
            f"`{_rendering(run, folder / 'toytown')}`, and name that: with --data, or as "
            + ("source.root=toytown/gta5" if run.recipe.sources is None else "`root` in `sources`")
            + " beside data of yours",
        ) from None


def _toytown_folders(run: Run) -> list[Path]:
    """Return where the recipe looks for the datasets that toytown writes."""
    recipe = run.recipe
    sections = (*recipe.all_sources.values(), recipe.target)
    names = [section.dataset for section in sections if section.root in (None, section.dataset)]
    return [] if recipe.toytown is None else [Path(recipe.data, name) for name in names if name in TOYTOWN]


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())
