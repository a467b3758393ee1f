"""The classes that two domains have in common, and what becomes of the others."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from udaseg.data.classes import fold_name
from udaseg.data.survey import Domain, Labels
from udaseg.errors import UdasegError, join_names
from udaseg.labels import SPACES

CITYSCAPES = SPACES["cs19"].classes


class Classes(NamedTuple):
    """The classes to train, and those that one side alone has, or that no label of the source shows.

    `unscored` are classes to train that no label to score on shows. `share` is that of each trained class in the
    source's pixels that have a class.
    """

    space: tuple[str, ...]
    source_only: tuple[str, ...] = ()
    target_only: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()
    unscored: tuple[str, ...] = ()
    share: Mapping[str, float] = MappingProxyType({})

    @property
    def setting(self) -> str | list[str]:
        """The setting `space` of a recipe: the name of a known space, else the names of the classes."""
        return next((name for name, space in SPACES.items() if space.classes == self.space), list(self.space))


def find_common_classes(source: Domain, scored: Labels | None) -> Classes:
    """Return the classes that a source shows and that the labels to score on have too, where there are any.

    Known datasets and codings count with the classes of Cityscapes; a classes.yaml, with all of its names. Raises
    UdasegError where no class is left, one alone, or where a class is spelled in two ways.
    """
    labels = source.labels
    assert labels is not None
    known = _names(labels, scored)
    others = known if scored is None else _names(scored, labels)
    _require_same_spelling(known, others, labels, scored)
    common = [name for name in known if name in others]
    space = tuple(name for name in common if name in labels.shown)
    if len(space) < 2:
        raise _too_few(space, common, known, others, source)
    total = sum(labels.shown[name] for name in space)
    return Classes(
        space,
        tuple(name for name in known if name not in others and name in labels.shown),
        tuple(name for name in others if name not in known),
        tuple(name for name in common if name not in space),
        () if scored is None else tuple(name for name in space if name not in scored.shown),
        {name: labels.shown[name] / total for name in space},
    )


def _names(labels: Labels, other: Labels | None) -> list[str]:
    """Return the classes of labels that may be trained, those of Cityscapes first."""
    named = {*CITYSCAPES} | ({*other.classes} if other is not None and other.own else set())
    chosen = [name for name in labels.classes if labels.own or name in named]
    return [name for name in CITYSCAPES if name in chosen] + [name for name in chosen if name not in CITYSCAPES]


def _require_same_spelling(known: Sequence[str], others: Sequence[str], source: Labels, scored: Labels | None) -> None:
    """Raise UdasegError where names differ in case, spaces, `_` or `-` alone, and one of them is the user's own."""
    folded = {fold_name(name): name for name in others}
    pairs = [(name, folded[fold_name(name)]) for name in known if name not in others and fold_name(name) in folded]
    if pairs and scored is not None:
        file = source.file or scored.file
        here, there = ([repr(pair[n]) for pair in pairs] for n in (0, 1))
        right, wrong = (there, here) if source.file else (here, there)
        raise UdasegError(
            f"the source's labels have the classes {join_names(here)}, those to score on {join_names(there)}",
            f"write {join_names(right)} for {join_names(wrong)} in {file}",
        )


def _too_few(
    space: Sequence[str], common: Sequence[str], known: Sequence[str], others: Sequence[str], source: Domain
) -> UdasegError:
    labels = source.labels
    assert labels is not None
    place = str(labels.file or source.place.folder / "classes.yaml")
    if not common:
        return UdasegError(
            f"no class in common: the source has {join_names(known, 8)}; the labels to score on have "
            f"{join_names(others, 8)}",
            f"give classes that mean the same one name, in {place} or in the classes.yaml of the labels to score on",
        )
    found = f"{space[0]} alone" if space else "none"
    return UdasegError(
        f"{source.place.folder}: expected labels that show two or more of {join_names(common, 8)}, found {found}",
        f"add a class for the other pixels, such as background, to {place}",
    )
