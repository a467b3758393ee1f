"""The datasets of a recipe: opened, checked, and named as inputs of a stage.

Everything that needs NumPy is imported where it is used: the help of every command imports this module.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from udaseg.config import Recipe, SharedSource, Source, Target
from udaseg.config.load import shipped_recipes
from udaseg.errors import UdasegError, join_names
from udaseg.io.digests import file_digests, joint_digest
from udaseg.parallel import processes
from udaseg.pipeline.dataset_settings import sections, size_in_stage
from udaseg.pipeline.log import log
from udaseg.pipeline.manifest import InputDigest
from udaseg.pipeline.places import dataset_root
from udaseg.pipeline.run import Run
from udaseg.pipeline.toytown import ensure_toytown

if TYPE_CHECKING:
    from udaseg.config import HxW
    from udaseg.data.image_sets import ImageSet, LabelledSet, View
    from udaseg.data.places.indexed_path import IndexedPath
    from udaseg.data.sources import Sources
    from udaseg.data.target_depth import TargetDepth
    from udaseg.labels import ClassSpace

SETS = ("source", "target", "val")  # `target` has the images of the training split, `val` its labelled split
TARGET_DEPTH = "target_depth"  # of the images of `target`
TARGET_TRUTH = "target labels"  # of the training images, where they are there: the report alone looks at them


def single_sets(run: Run, name: str) -> dict[str, ImageSet | LabelledSet | TargetDepth]:
    """Open a dataset, and return it, or each of several sources, by the name of its input."""
    images = open_dataset(run, name)
    return sets_by_input(run, name, images)


def sets_by_input(
    run: Run, name: str, images: ImageSet | LabelledSet | Sources | TargetDepth
) -> dict[str, ImageSet | LabelledSet | TargetDepth]:
    """Return an open dataset, or each of several sources, by the name of its input."""
    parts = [view.images for view in getattr(images, "views", ())] or [images]
    return dict(zip(sections(run.recipe, name), parts, strict=True))


def open_view(run: Run, stage: str, name: str, size: HxW | None = None) -> View:
    """Open a dataset at the size at which networks see it: `size`, else that of the stage, or of the domain."""
    return view_of(run, stage, name, open_dataset(run, name), size)


def view_of(run: Run, stage: str, name: str, images: ImageSet | LabelledSet | Sources, size: HxW | None = None) -> View:
    """Return an open dataset at that size."""
    from udaseg.data.image_sets import View

    own = [*sections(run.recipe, name).values()]
    if len(own) > 1:  # each source has its own
        return View(images)
    return View(images, size or size_in_stage(run, stage, name), own[0].pad)


def class_space(run: Run) -> ClassSpace:
    """Return the class space of the recipe; raise UdasegError where it has one class, of which nothing is learnt."""
    from udaseg.labels import class_space

    chosen = run.recipe.space
    space = class_space(chosen if isinstance(chosen, str) else list(chosen))
    if len(space) == 1:
        raise UdasegError(
            f"space: expected two classes or more, found {space.classes[0]} alone: every pixel would be of it",
            f"add a class for the other pixels: `--set 'space=[background,{space.classes[0]}]'`, and its ids to the "
            "classes.yaml of the labels",
        )
    return space


def open_dataset(run: Run, name: str) -> ImageSet | LabelledSet | Sources | TargetDepth:
    """Open a dataset of the recipe, once; toytown is rendered where the recipe reads it and it is missing.

    Raises UdasegError, listing all that is wrong with the recipe's data.
    """
    if name not in run.datasets:
        if not run.datasets:
            _require_known_names(run)
            ensure_toytown(run)
        try:
            images = open_existing(run, name)
        except UdasegError as error:
            _report_all_problems(run, error)
            raise
        if run.sample is not None:
            size = size_in_stage(run, run.sample.stage, name)
            images = run.sample.shorten_dataset(images, size, run.recipe.flow.step)
        run.datasets[name] = images
        for input_name, part in single_sets(run, name).items():
            _log_notes(input_name, part)
    return run.datasets[name]


def _log_notes(name: str, images: ImageSet | LabelledSet | TargetDepth) -> None:
    """Log what a user may not expect of a dataset: files that are left out, an unusual kind of labels."""
    if images.left_out:
        names = join_names(images.left_out)
        log(f"data: {images.root}, {images.split}: {len(images.left_out)} files are left out: {names}")
    container = getattr(images, "container", None)
    if container is not None and container.note:
        log(f"{name}: {container.note}")


def require_datasets(run: Run) -> None:
    """Raise UdasegError, listing all that is wrong, unless the recipe's data can be opened."""
    for name in sets_of(run.recipe):
        open_dataset(run, name)


def sets_of(recipe: Recipe) -> tuple[str, ...]:
    """Return the datasets that a recipe reads: the labelled split of the target only where its chain scores a model."""
    is_scored = not recipe.chain or any(name.startswith("evaluate") for name in recipe.chain)
    return SETS if is_scored else SETS[:2]


def try_open(run: Run, name: str) -> ImageSet | LabelledSet | Sources | None:
    """Open a dataset to look at it; None where it is not there, or cannot be read. Nothing is rendered for it."""
    with suppress(UdasegError):
        return open_existing(run, name)
    return None


def data_problems(run: Run, ignored_roots: Collection[str] = ()) -> dict[str, UdasegError]:
    """Return what is wrong with the recipe's data, by message; nothing is rendered for it."""
    problems: dict[str, UdasegError] = {}
    depths = () if run.recipe.target.depth is None else (TARGET_DEPTH,)
    for name in (*sets_of(run.recipe), *depths):
        for section in sections(run.recipe, name).values():
            if (section.root or section.dataset) in ignored_roots:
                continue
            try:
                _open_section(run, name, section)
            except UdasegError as problem:
                problems.setdefault(problem.message, problem)
    return problems


def labelling_warnings(run: Run, names: Iterable[str]) -> list[str]:
    """Return what the labels of these datasets lack: classes of the recipe's space, or labels of images.

    A dataset that cannot be opened has no warnings, and neither has the target, which has no labels here.
    """
    opened = [run.datasets.get(name) or try_open(run, name) for name in names if name != "target"]
    return [warning for images in opened if images is not None for warning in images.warnings]


def teaching_warnings(run: Run) -> list[str]:
    """Return a warning for classes that no label of a small source shows; [] where its labels cannot be read."""
    from udaseg.data.classes import source_warnings

    source = try_open(run, "source")
    with suppress(UdasegError):
        return [] if source is None else source_warnings(source)
    return []


def target_image_size(run: Run) -> tuple[int, int]:
    """Return the (height, width) of the target's first image, which stands for all."""
    from udaseg.data.images.read import image_size

    return image_size(open_dataset(run, "target").records[0].image)


def inputs_of(run: Run, name: str) -> dict[str, InputDigest]:
    """Name a dataset, or each of several sources, as an input: the content of files, and the meaning of ids in them.

    A command reads it once; of several processes the first reads it.
    """
    return {one: input_of(run, one, images) for one, images in single_sets(run, name).items()}


def input_of(run: Run, name: str, images: ImageSet | LabelledSet | TargetDepth) -> InputDigest:
    """Name open images as an input."""
    if name not in run.digests:
        parts = ("image", "label", "depth", "camera")
        files = [getattr(record, part, None) for part in parts for record in images.records]
        meaning = getattr(images, "meaning", b"")  # an ImageSet has no labels, and so no meaning of their ids
        digests = digest_files(run, images.root, [path for path in files if path is not None])
        run.digests[name] = InputDigest(str(images.root), joint_digest(digests, meaning))
        # The images come first in `paths`, in the order of the records.
        run.image_digests[name] = {record.stem: one[1] for record, one in zip(images.records, digests, strict=False)}
    return run.digests[name]


def digest_files(run: Run, root: Path | IndexedPath, paths: Sequence[Path]) -> list[tuple[str, str]]:
    """Return the name and the digest of each file of a dataset: of its bytes, or that of the index of an address."""
    from udaseg.data.places.indexed_path import IndexedPath, index_digests

    with run.show_progress(f"digest of {root}", "files") as show:
        if isinstance(root, IndexedPath):
            return processes.broadcast(lambda: index_digests(paths, root))
        return processes.broadcast(lambda: file_digests(paths, root, show))


def training_source(run: Run, setting: str) -> LabelledSet | Sources:
    """Open the labelled images to train on: the source, or with `stylize` the source in the style of the target.

    Raises UdasegError where their labels have nothing to teach.
    """
    from udaseg.data.datasets.registry import require_labelled
    from udaseg.data.sources import Sources

    source = open_dataset(run, "source")
    for images in single_sets(run, "source").values():
        require_labelled(images)
    if setting == "source":
        return source
    from udaseg.data.style.dataset import open_stylized
    from udaseg.pipeline.inputs import require_finished_stage

    folder = require_finished_stage(run, "stylize")
    if isinstance(source, Sources):
        return source.replace_sets(lambda name, images: open_stylized(images, folder / name))
    return open_stylized(source, folder)


def open_existing(run: Run, name: str) -> ImageSet | LabelledSet | Sources | TargetDepth:
    """Open a dataset as it is: nothing is rendered for it. Raises UdasegError for the first thing that is wrong."""
    opened = {one: _open_section(run, name, section) for one, section in sections(run.recipe, name).items()}
    if name != "source" or run.recipe.sources is None:
        return opened[name]
    return _join(run.recipe, [*opened.values()], class_space(run))


def _join(recipe: Recipe, images: Sequence[LabelledSet], space: ClassSpace) -> Sources:
    import numpy as np

    from udaseg.data.image_sets import View
    from udaseg.data.sources import Sources

    names, several = zip(*recipe.all_sources.items(), strict=True)
    views = [View(one, section.size, section.pad) for one, section in zip(images, several, strict=True)]
    missing_SC = np.array([[name in section.missing for name in space.classes] for section in several])
    ratios = None if several[0].share is None else tuple(section.share for section in several)
    return Sources(names, tuple(views), missing_SC, ratios)


def _open_section(run: Run, name: str, section: Source | Target) -> ImageSet | LabelledSet | TargetDepth:
    from udaseg.data import open_images, open_labelled
    from udaseg.data.target_depth import open_target_depth

    recipe = run.recipe
    root = dataset_root(recipe.data, section)
    chosen: dict[str, Any] = {}
    if name != "val":
        chosen = {"limit": section.limit, "list_file": None if section.list is None else Path(section.list)}
    if name in ("target", TARGET_DEPTH):
        images = open_images(section.dataset, root, section.split, **chosen)
        return images if name == "target" else open_target_depth(images, section.depth)
    split = recipe.target.val if name == "val" else section.split
    # Of the target, what has a label is scored, or shown in the report; a source is nothing without its labels.
    chosen |= {"coding": section.coding, "label_suffix": section.labels.suffix, "skip_unlabelled": name != "source"}
    chosen["suffix_option"] = f"--set {'source' if name == 'source' else 'target'}.labels.suffix"
    if isinstance(section, SharedSource):
        chosen |= {"suffix_option": "the suffix of its `labels` in `sources`", "missing": section.missing}
    return open_labelled(section.dataset, root, split, class_space(run), **chosen)


def _require_known_names(run: Run) -> None:
    """Raise UdasegError for an unknown class space or dataset, before anything is rendered."""
    from udaseg.data.datasets.registry import require_known

    class_space(run)
    for section in (*run.recipe.all_sources.values(), run.recipe.target):
        require_known(section.dataset)


def _report_all_problems(run: Run, error: UdasegError) -> None:
    """Raise one UdasegError for all that is wrong with a recipe's data, so that a user mends it in one go."""
    from udaseg.data.datasets.layout import AbsentError

    problems = data_problems(run)
    if error.message not in problems or (len(problems) < 2 and not isinstance(error, AbsentError)):
        return  # the error says it all, such as of labels that only this command needs
    hints = list(dict.fromkeys(problem.hint for problem in problems.values()))
    name = run.remembered["recipe"]
    commands = ("udaseg warmup --recipe demo", "make demo")
    if name in shipped_recipes() and run.recipe.scale == "full":
        commands = (f"udaseg warmup --recipe {name} --scale toy", f"make {name} SCALE=toy")
    ways = " or ".join(f"`{command}`" for command in commands)
    hints.append(f"or try the same on the embedded world, without any data: {ways}")
    raise UdasegError("the data cannot be used:\n  " + "\n  ".join(problems), "\n       ".join(hints)) from error
