"""Write files in one piece; read and write JSON and YAML."""

import json
import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from udaseg.errors import UdasegError

PARTIAL = ".partial-"


@contextmanager
def atomic(path: Path, *, sync: bool = True) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it is renamed to `path` when the block ends without an error.

    `sync=False` does not wait for the disk: the file survives a kill of the process, but not of the machine. Use it for
    files that are cheap to make again.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=PARTIAL, suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if sync:
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
        # mkstemp makes files private; outputs are as readable as the user's umask allows.
        temporary.chmod(0o666 & ~_UMASK)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, values: Any) -> None:
    """Write JSON so that readers see the old file or the new one, never a part."""
    with atomic(path) as temporary:
        text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        # A file name that is no UTF-8 is escaped, so that reading gives the same name.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def read_json(path: Path, hint: str | None = None) -> dict[str, Any] | None:
    """Read a JSON object; None where there is no file. Raises UdasegError, with the hint, for anything else."""
    hint = hint or f"remove {path}; the stage then runs again"
    try:
        values = parse_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise UdasegError(f"cannot read {path}: {error.strerror or error}", hint) from None
    except ValueError as error:
        raise UdasegError(f"cannot read {path}: {error}", hint) from None
    if not isinstance(values, dict):
        raise UdasegError(f"{path} is not a JSON object", hint)
    return values


def parse_json(text: str, *, finite: bool = True) -> Any:
    """Read JSON with integers of 64 bits; NaN and infinity only where not `finite`. Raises ValueError."""

    def integer(digits: str) -> int:
        if not -(2**63) <= (value := int(digits)) < 2**63:
            raise ValueError(f"{digits[:30]} is no integer of 64 bits")
        return value

    def real(digits: str) -> float:
        value = float(digits)
        if finite and not math.isfinite(value):
            raise ValueError(f"{digits[:30]} is not finite")
        return value

    try:
        return json.loads(text, parse_int=integer, parse_float=real, parse_constant=real)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _Loader(yaml.SafeLoader):
    """A loader of plain data that refuses a mapping with a key twice: YAML would silently take the last one."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        keys = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key.value!r} is given twice", key.start_mark)
            keys.add((key.tag, key.value))
        return node


def parse_yaml(text: str) -> Any:
    """Read YAML as plain data. Raises ValueError for other text, and where a mapping has a key twice."""
    try:
        return yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error).replace(' in "<unicode string>",', " at")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _current_umask()
