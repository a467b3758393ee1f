"""The two kinds of rules about a recipe: what a setting requires, and by what a setting is read."""

from collections.abc import Callable
from typing import NamedTuple

from udaseg.config.recipe import Recipe

Condition = Callable[[Recipe], bool]


class Requirement(NamedTuple):
    """Settings of a recipe that contradict each other, or one that needs another.

    Message and hint are format strings over the sections of the recipe: `{retrain.mine}` is the value of that setting.
    """

    stages: tuple[str, ...]  # the stages that cannot run where it is broken
    is_broken: Condition
    message: str
    hint: str


class Reader(NamedTuple):
    """Settings that are read only under a condition."""

    settings: tuple[str, ...]  # dotted keys; a section stands for all its settings
    reads: Condition
    because: str  # the reason why nothing reads them otherwise
    hint: str
    commands: tuple[str, ...] = ()  # these commands read the settings whatever the recipe says
