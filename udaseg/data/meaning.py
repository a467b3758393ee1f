"""Doubts about the meaning of ids: those that labels have, against the classes that a user has written down."""

from collections.abc import Collection, Mapping

import yaml

from udaseg.data.findings import Finding, Split
from udaseg.errors import join_names
from udaseg.labels import Coding

CLASSES = "classes.yaml"  # the coding of a user's own ids


def suggest_names(coding: Coding, ids: Collection[int]) -> str | None:
    """Return what to write where labels have as many ids as there are classes, but others than 0, 1, and so on."""
    names, unknown = list(coding.classes.values()), [i for i in ids if i not in coding.ids]
    ids = [i for i in ids if i in coding.classes or i in unknown]  # without those that are ignored
    if coding.name != CLASSES or coding.colours or list(coding.classes) != list(range(len(ids))):
        return None
    return f"if these are the classes in their order, write {_as_line(dict(zip(sorted(ids), names, strict=True)))}"


def doubt_ids(split: Split, coding: Coding) -> list[Finding]:
    """Return an error where no pixel has a class.

    Warn where all that have one are of one class, and the others are ignored: their id may be a class.
    """
    if split.ignored == 1:
        ids = join_names([str(i) for i in split.ids])
        message = f"the labels show no class: every pixel is ignored; their ids are {ids}"
        hint = "where these are labels of your own, make them a folder dataset, with the ids in its classes.yaml"
        return [Finding("error", split.name, message, hint=hint, part="labels")]
    ignored = [i for i in split.ids if i not in coding.classes]
    seen = [name for name, share in split.classes.items() if share > 0]
    if coding.name != CLASSES or len(seen) != 1 or not ignored or not coding.ids.issuperset(ignored):
        return []
    id, classes = max(ignored, key=lambda i: split.ids[i]), dict(coding.classes)
    unseen = [i for i, name in classes.items() if name not in seen]
    name = classes.pop(unseen[0]) if len(unseen) == 1 else "background"
    message = f"the labels show the class {seen[0]} alone: a network learns nothing from that; id {id} is ignored"
    hint = f"if id {id} is a class, such as {name}, write {_as_line(dict(sorted((classes | {id: name}).items())))}"
    return [Finding("warning", split.name, message, hint=hint, part="labels")]


def _as_line(names: Mapping[int, str]) -> str:
    text = yaml.safe_dump({"names": dict(names)}, default_flow_style=None, sort_keys=False, width=10**6)
    return f"`{text.strip()}` in {CLASSES}"
