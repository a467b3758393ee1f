"""Labels whose names add something to those of their images: 1_mask.png or 1.jpg.png for the image 1.jpg."""

import json
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from udaseg.data.datasets.names import bare_name
from udaseg.data.images.read import label_mode
from udaseg.errors import UdasegError

_ID_MODES = ("1", "L", "LA", "P", "PA")  # Pillow's modes that can hold ids: grey and palette


def count_suffixes(images: Mapping[str, Path], labels: Mapping[str, Path]) -> dict[str, int]:
    """Count the labels of each suffix: what a label's name adds to an image's, from a mark such as _ or . on.

    Those come first that more labels have, and whose labels can hold ids: a folder may hold colour renderings too.
    There is none where a label is called as an image is.
    """
    known = {bare_name(name) for name in images}
    counts, examples = Counter[str](), {}
    for name, path in labels.items():
        stem = bare_name(name)
        if stem in known:
            return {}
        marks = (i for i in range(len(stem) - 1, 0, -1) if not stem[i].isalnum())
        if suffix := next((stem[i:] for i in marks if stem[:i] in known), None):
            counts[suffix] += 1
            examples.setdefault(suffix, path)
    order = sorted(counts, key=lambda suffix: (-counts[suffix], not _can_hold_ids(examples[suffix]), suffix))
    return {suffix: counts[suffix] for suffix in order}


def find_suffix(images: Mapping[str, Path], labels: Mapping[str, Path]) -> str:
    """Return the suffix that all labels have; "" where they do not have the same one."""
    counts = count_suffixes(images, labels)
    return next(iter(counts)) if list(counts.values()) == [len(labels)] else ""


def suffix_hint(images: Mapping[str, Path], labels: Mapping[str, Path], option: str) -> str | None:
    """Return the hint that names the suffix with the option that sets it; None where no label has a suffix."""
    if not (suffixes := list(count_suffixes(images, labels))):
        return None
    text = f"name what the label names add to the image names: {option}={_quote(suffixes[0], option)}"
    return text + (f" (others add {', '.join(suffixes[1:5])})" if suffixes[1:] else "")


def _quote(suffix: str, option: str) -> str:
    """Quote a value for the shell and, where it is that of a setting, for YAML."""
    is_text = not option.startswith("--set") or re.fullmatch(r"_[\w.]+|\.(png|jpe?g)", suffix)
    return shlex.quote(suffix if is_text else json.dumps(suffix))


def _can_hold_ids(path: Path) -> bool:
    try:
        return label_mode(path) in _ID_MODES
    except UdasegError:
        return False
