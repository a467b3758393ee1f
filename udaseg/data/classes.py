"""Compare the classes of labels with those of a class space, before anything is trained without one of them."""

import re
from collections.abc import Sequence

import numpy as np

from udaseg.data.image_sets import LabelledSet
from udaseg.errors import UdasegError, join_names
from udaseg.labels import ClassSpace, Coding
from udaseg.parallel.threads import map_in_order

MAX_COUNTED = 100  # labels; a class may well be in none of so many labels of a larger set


def missing_classes(ids: dict[int, int], space: ClassSpace) -> list[str]:
    """Return the classes of a space that no id means; `ids` maps ids to train ids."""
    return [name for i, name in enumerate(space.classes) if i not in ids.values()]


def require_same_spelling(missing: Sequence[str], coding: Coding, place: str) -> None:
    """Raise UdasegError where a missing class is there in another spelling: in case, spaces, `_` or `-`.

    `place` says where the names of the coding are written.
    """
    known = {fold_name(name): name for name in coding.classes.values()}
    pairs = [(name, known[fold_name(name)]) for name in missing if fold_name(name) in known]
    if pairs:
        names, others = ([repr(pair[n]) for pair in pairs] for n in (0, 1))
        raise UdasegError(
            f"{place} has no class {join_names(names)} of the recipe's space; it has {join_names(others)}",
            f"did you mean {join_names(others)}? write the names alike in {place} and in `space`",
        )


def source_warnings(images: LabelledSet) -> list[str]:
    """Return a warning for the classes that ids of the source have and none of its labels shows.

    Only a set of up to 100 labels is read. Raises UdasegError where a label cannot be read.
    """
    if len(images) > MAX_COUNTED:
        return []
    shown = np.zeros(256, np.int64)
    for label in map_in_order(images.label, range(len(images))):
        shown += np.bincount(label.reshape(-1), minlength=256)
    absent = [name for i, name in enumerate(images.space.classes) if i in images.table and not shown[i]]
    text = f"no label of the source shows {', '.join(absent)}: a network learns nothing of that"
    return [text] if absent else []


def fold_name(name: str) -> str:
    """Return a name without case, spaces, `_` and `-`."""
    return re.sub(r"[\s_-]+", "", name.casefold())
