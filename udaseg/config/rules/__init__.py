"""All rules between the settings of a recipe: "X needs Y" in REQUIREMENTS, "X is ignored without Y" in READERS.

What one setting may be stands with its field. What depends on data or files is checked where these are read.
"""

from collections.abc import Iterable, Mapping

from udaseg.config.recipe import Recipe
from udaseg.config.rules import depth, ingredients, labels, retrain, sources, training, video, warmup
from udaseg.config.rules.table import Reader, Requirement
from udaseg.errors import UdasegError

_SECTIONS = (training, warmup, labels, retrain, ingredients, depth, sources, video)
REQUIREMENTS: tuple[Requirement, ...] = tuple(rule for section in _SECTIONS for rule in section.REQUIREMENTS)
READERS: tuple[Reader, ...] = tuple(rule for section in _SECTIONS for rule in section.READERS)


def contradictions(recipe: Recipe, stage: str) -> list[UdasegError]:
    """List the requirements of a stage that the settings of a recipe break, each as the error to raise."""
    broken = [rule for rule in REQUIREMENTS if stage in rule.stages and rule.is_broken(recipe)]
    sections = dict(recipe) | {"pretrain": training.training_of(recipe, "pretrain")}
    sections |= _describe_sizes(recipe)
    return [UdasegError(rule.message.format(**sections), rule.hint.format(**sections)) for rule in broken]


def _describe_sizes(recipe: Recipe) -> dict[str, str]:
    """Return how messages name the sizes of one source or several, and hints the setting of these."""
    if recipe.sources is None:
        return {"sizes_of_sources": f"source.size is {recipe.source.size}", "size_setting": "source.size=[256,512]"}
    sizes = [f"the size of {name} in `sources` is {one.size}" for name, one in recipe.all_sources.items()]
    return {"sizes_of_sources": ", ".join(sizes), "size_setting": "the `size` of each of `sources`"}


def require_consistent(recipe: Recipe, stage: str) -> None:
    """Raise UdasegError where the settings of a recipe contradict each other in a stage, with all that is wrong."""
    errors = contradictions(recipe, stage)
    if errors:
        hints = dict.fromkeys(error.hint for error in errors)
        raise UdasegError("\n  ".join(error.message for error in errors), "\n       ".join(hints))


def require_read(settings: Mapping[str, str], recipes: Iterable[Recipe], command: str | None = None) -> None:
    """Raise UdasegError where none of the recipes reads a setting that the user has given.

    `settings` maps dotted keys to the names by which they were given, such as flags. `command` is the running command.
    """
    recipes = list(recipes)
    for reader in READERS:
        names = [name for key, name in settings.items() if any(_is_in(key, section) for section in reader.settings)]
        if names and command not in reader.commands and not any(map(reader.reads, recipes)):
            raise UdasegError(
                f"{', '.join(names)}: nothing would read {'it' if len(names) == 1 else 'them'}: {reader.because}",
                reader.hint,
            )


def _is_in(key: str, section: str) -> bool:
    return key == section or key.startswith(f"{section}.")
