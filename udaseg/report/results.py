"""Read the results and logs of stages, and refuse what does not hold together."""

import math
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError
from udaseg.io.documents.lines import read_log as read_records
from udaseg.io.files import read_json
from udaseg.metrics import DEPTH_ERRORS

# The file in which a kind of stage leaves its result, and the entries in it that have one value a class.
RESULTS = {
    "evaluate": ("metrics.json", ("iou", "confusion")),
    "pseudolabel": ("thresholds.json", ("threshold", "predicted", "kept")),
    "refine": ("refine.json", ("minimum", "before", "after")),
}
COUNTS = ("confusion", "predicted", "kept", "before", "after")


def read_result(folder: Path, kind: str) -> dict[str, Any]:
    """Read the result of a finished stage. Raises UdasegError where it is missing or does not fit its classes."""
    name, per_class = RESULTS[kind]
    path = folder / name
    result = read_json(path)
    if result is None:
        raise UdasegError(f"{folder} has a manifest and no {name}", _again(path))
    classes = result.get("classes")
    if not isinstance(classes, list) or not classes or not all(isinstance(name, str) for name in classes):
        raise UdasegError(f"{path} should list its classes by name, found {classes!r}", _again(path))
    for key in per_class:
        values = result.get(key)
        if not isinstance(values, list) or len(values) != len(classes):
            found = f"{len(values)} values" if isinstance(values, list) else repr(values)
            raise UdasegError(f"{path}: {key} should have {len(classes)} values, found {found}", _again(path))
        rows = values if key == "confusion" else [values]
        if any(not isinstance(row, list) or len(row) != len(classes) for row in rows):
            raise UdasegError(f"{path}: {key} should be {len(classes)} by {len(classes)}", _again(path))
        for value in (value for row in rows for value in row):
            _check_number(path, key, value, 1.0 if key in ("iou", "threshold") else math.inf)
            if value is None and key in COUNTS:
                raise UdasegError(f"{path}: {key} should hold numbers, found null", _again(path))
    if kind == "evaluate":
        for key in ("miou", "miou16", "miou13", "pixel_accuracy"):
            _check_number(path, key, result.get(key), 1.0)
        if not isinstance(result.get("images"), int):
            raise UdasegError(f"{path}: images should be their number, found {result.get('images')!r}", _again(path))
        _check_depth(path, result.get("depth"))
    return result


def read_log(path: Path, *, finished: bool) -> tuple[dict[str, Any], ...]:
    """Read a training log, an object a line. Raises UdasegError for a line that is not an object with a step."""
    return tuple(read_records(path, _again(path), torn=not finished))


def _check_depth(path: Path, depth: Any) -> None:
    if depth is None:
        return
    if (
        not isinstance(depth, dict)
        or not isinstance(depth.get("convention"), str)
        or not depth.keys() >= set(DEPTH_ERRORS)
    ):
        raise UdasegError(f"{path}: depth should hold {', '.join(DEPTH_ERRORS)} and their convention", _again(path))
    for name in DEPTH_ERRORS:
        _check_number(path, f"depth.{name}", depth[name], 1.0 if name.startswith("delta") else math.inf)


def _check_number(path: Path, key: str, value: Any, highest: float) -> None:
    number = isinstance(value, int | float) and 0 <= value <= highest
    if value is not None and not number:
        limits = f"from 0 to {highest:g}" if math.isfinite(highest) else "of at least 0"
        raise UdasegError(f"{path}: {key} should hold numbers {limits} or null, found {value!r}", _again(path))


def _again(path: Path) -> str:
    return f"remove {path.parent} and run the stage again"
