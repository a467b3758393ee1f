"""What can happen to a file: seeded changes to its bytes, to the tokens of its text, to the arrays inside it."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import yaml

Mutation = Callable[[bytes, random.Random], bytes]

LENGTHS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF)
DEPTH = 20_000


def flipped(data: bytes, draw: random.Random) -> bytes:
    """Flip up to eight bits."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 8) if data else 0):
        changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def flipped_in_front(data: bytes, draw: random.Random) -> bytes:
    """Flip up to eight bits where formats keep their structure."""
    head = min(len(data), 2048)
    return flipped(data[:head], draw) + data[head:]


def truncated(data: bytes, draw: random.Random) -> bytes:
    return data[: draw.randrange(len(data) + 1)]


def swapped(data: bytes, draw: random.Random) -> bytes:
    """Let two stretches change places."""
    a, b, c, d = sorted(draw.randrange(len(data) + 1) for _ in range(4))
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:]


def lengthened(data: bytes, draw: random.Random) -> bytes:
    """Overwrite what may be a length with one that is likely to hurt."""
    if len(data) < 8:
        return data + b"\xff" * 8
    size = draw.choice((2, 4, 8))
    at = draw.randrange(min(len(data), draw.choice((64, 4096, len(data)))) - size + 1)
    value = draw.choice(LENGTHS) & (1 << 8 * size) - 1
    return data[:at] + value.to_bytes(size, draw.choice(("big", "little"))) + data[at + size :]


def cut(data: bytes, draw: random.Random) -> bytes:
    """Lose a stretch, or have it twice."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + data[a:b] * draw.choice((0, 2)) + data[b:]


def blanked(data: bytes, draw: random.Random) -> bytes:
    """Find a stretch of zeros, as after a power cut."""
    a, b = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return data[:a] + bytes(b - a) + data[b:]


def appended(data: bytes, draw: random.Random) -> bytes:
    return data + draw.randbytes(draw.randint(1, 100))


def foreign(data: bytes, draw: random.Random) -> bytes:
    """Find something else under that name."""
    others = (b"", b"\x00", b"{}", b"[]", b"null", b"\xff\xfe", b"version https://git-lfs.github.com/spec/v1\n")
    return draw.choice((*others, draw.randbytes(1000)))


BYTES: tuple[Mutation, ...] = (
    flipped, flipped_in_front, truncated, swapped, lengthened, cut, blanked, appended, foreign,
)  # fmt: skip

VALUES: tuple[Any, ...] = (
    float("nan"), float("inf"), float("-inf"), -1, 0, 2**63, 10**400, -1e300, 0.5, None, True, "", "nan", "../../etc",
    "/etc/passwd", "\x00", "\u202e<script>", [], {}, [[]], {"a": {"b": 1}}, [float("nan")], ["a"], {"1": None},
)  # fmt: skip


def _places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from _places(inner, (*path, key))


def retyped(document: Any, draw: random.Random) -> Any:
    """Put another value, of any type, in one place of a document; or lose, rename or double what is there."""
    path = draw.choice(list(_places(document)))
    if not path:
        return draw.choice(VALUES)
    holder = document
    for key in path[:-1]:
        holder = holder[key]
    what = draw.choice(("replace", "replace", "replace", "lose", "rename", "double"))
    if what == "replace":
        holder[path[-1]] = draw.choice(VALUES)
    elif what == "double" and isinstance(holder, list):
        holder.append(holder[path[-1]])
    elif what == "rename" and isinstance(holder, dict):
        holder[str(draw.choice(VALUES))] = holder.pop(path[-1])
    else:
        del holder[path[-1]]
    return document


def json_token(data: bytes, draw: random.Random) -> bytes:
    return json.dumps(retyped(json.loads(data), draw), indent=1).encode()


def json_line(data: bytes, draw: random.Random) -> bytes:
    lines = data.splitlines()
    at = draw.randrange(len(lines))
    lines[at] = json.dumps(retyped(json.loads(lines[at]), draw)).encode()
    return b"\n".join(lines) + b"\n"


def yaml_token(data: bytes, draw: random.Random) -> bytes:
    return yaml.safe_dump(retyped(yaml.safe_load(data), draw), allow_unicode=True).encode()


def nested(data: bytes, draw: random.Random) -> bytes:
    """Put a very deep list in the place of a number, or of everything."""
    deep = b"[" * DEPTH + b"]" * draw.choice((DEPTH, 0))
    digits = [i for i, byte in enumerate(data) if chr(byte).isdigit()]
    at = draw.choice(digits) if digits and draw.random() < 0.8 else None
    return deep if at is None else data[:at] + deep + data[at + 1 :]


def aliased(data: bytes, draw: random.Random) -> bytes:
    """Add YAML whose aliases stand for a billion values, tags that would make objects, or the same key twice."""
    laughs = "a0: &a0 [x, x]\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
    tag = "z: !!python/object/apply:os.system [true]\n"
    return data + draw.choice((laughs, tag, "names: [x]\n", "z: 1_0:2\n")).encode()


def hdf5_contents(data: bytes, draw: random.Random) -> bytes:
    """Change arrays and attributes inside an HDF5 file, which stays a sound one: h5py is a fuzzer's best friend."""
    import io

    stream = io.BytesIO(data)
    with h5py.File(stream, "a") as file:
        found: list[str] = []
        file.visit(found.append)
        name = draw.choice(found)
        holder = draw.choice((file, file[name]))
        if draw.random() < 0.4 and len(holder.attrs):
            attribute = draw.choice(sorted(holder.attrs))
            del holder.attrs[attribute]
            odd = (None, -1, 2**62, "x", ["a"], np.zeros((0,)), np.full(3, np.nan), b"\xff\xfe", h5py.Empty("f"))
            value = draw.choice(odd)
            if value is not None:
                holder.attrs[attribute] = value
        else:
            _replaced(file, name, draw)
    return stream.getvalue()


def _replaced(file: h5py.File, name: str, draw: random.Random) -> None:
    shape = getattr(file[name], "shape", (3, 4, 5))
    del file[name]
    what = draw.choice(("none", "group", "nan", "huge", "scalar", "text", "other", "soft", "outside", "raw", "empty"))
    if what == "group":
        file.create_group(name)
    elif what == "nan":
        file[name] = np.full(shape, np.nan, draw.choice((np.float16, np.float32, np.float64)))
    elif what == "huge":  # some bytes that say that they are terabytes
        file.create_dataset(name, [2**14 for _ in shape] or [2**42], "f2", chunks=tuple(16 for _ in shape) or (16,))
    elif what == "scalar":
        file[name] = 1.0
    elif what == "text":
        file[name] = "text"
    elif what == "other":
        file[name] = np.ones((*shape, 2), np.int64)
    elif what == "soft":
        file[name] = h5py.SoftLink("/" + name)
    elif what == "outside":
        file[name] = h5py.ExternalLink("/etc/hostname", "/")
    elif what == "raw":
        file.create_dataset(name, shape, "f2", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])
    elif what == "empty":
        file[name] = h5py.Empty("f4")


def mutated(data: bytes, mutations: tuple[Mutation, ...], seed: int) -> tuple[str, bytes]:
    """Change a file in one of the ways; give the name of the way, and the bytes."""
    draw = random.Random(seed)
    mutation = draw.choice(mutations)
    return mutation.__name__, mutation(data, draw)


def write(path: Path, data: bytes) -> None:
    """Put bytes in the place of a file, which may be linked to others."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)
