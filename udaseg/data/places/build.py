"""Build the index of a place: list its objects and the members of its shards, in parts that survive a kill."""

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from udaseg.data.places.index_file import count_rows, require_arrow, write_rows
from udaseg.data.places.layout_of_shards import SHARDS, is_safe
from udaseg.data.places.listing import Listed, list_objects
from udaseg.data.places.merge import merge_parts
from udaseg.data.places.parquet_shard import list_parquet
from udaseg.data.places.row import Row
from udaseg.data.places.store import Store, open_store
from udaseg.data.places.tar_shard import list_tar
from udaseg.errors import UdasegError
from udaseg.io.files import read_json, write_json

INDEX = "index.parquet"
_PARTS = "parts"
_STATE = "listed.json"  # how far the listing is; in the folder of the parts
_THREADS = 8  # requests at a time: the store's answers are waited for
_BLOCK = 8 << 20  # bytes of a shard that are read in one request
_SHOWN = 5  # names of what is left out
_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")

Show = Callable[[int, int], None]  # (done, total)
ShowProgress = Callable[[str], AbstractContextManager[Show]]  # of a unit


class Summary(NamedTuple):
    """The numbers of an index: its files, the shards that hold some, the bytes of all, and what is left out."""

    files: int
    shards: int
    bytes: int
    warnings: tuple[str, ...]


@dataclass
class _LeftOut:
    """Objects and members that are no pictures: how many, and the names of the first."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, other: "_LeftOut") -> None:
        self.count += other.count
        self.first = (self.first + other.first)[:_SHOWN]

    def warnings(self, address: str) -> tuple[str, ...]:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        text = f"{address}: {self.count} files are left out of the index: {', '.join(self.first)}{more}"
        return (text,) if self.count else ()


def build_index(address: str, out: Path, *, read_all: bool = False, show: ShowProgress) -> Summary:
    """Write the index of an address into the folder `out`, or go on with it.

    Shards are read once from beginning to end. Of other objects the store's own version counts; they are read where it
    has none, and with `read_all`. Raises UdasegError for an address with no objects, a shard that is damaged, and where
    two pictures have the same path.
    """
    require_arrow(address)
    store, parts = open_store(address), out / _PARTS
    state = _list(store, parts, read_all, show)
    shards = [Listed(*one) for one in state["shards"]]
    if not state["objects"] and not shards:
        raise UdasegError(f"{address}: expected pictures, found no object", "check the address")
    paths = [parts / f"objects-{i:06}.parquet" for i in range(state["pages"])]
    left_out = _LeftOut(**state["left_out"])
    with show("shards") as progress, ThreadPoolExecutor(_THREADS) as pool:
        listed = pool.map(lambda numbered: _list_shard(store, parts, *numbered), enumerate(shards))
        try:
            for done, (path, others) in enumerate(listed, 1):
                paths.append(path)
                left_out.add(others)
                progress(done, len(shards))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    total = sum(map(count_rows, paths))
    with show("files") as progress:
        count = merge_parts(paths, out / INDEX, total, progress)
    for path in parts.iterdir():
        path.unlink()
    parts.rmdir()
    return Summary(count, len(shards), state["bytes"], left_out.warnings(address))


def _list(store: Store, parts: Path, read_all: bool, show: ShowProgress) -> dict[str, Any]:
    """List the objects, a part for each page; return how many there are, and the shards among them."""
    state = read_json(parts / _STATE) or {
        "after": "", "pages": 0, "objects": 0, "bytes": 0, "shards": [], "left_out": asdict(_LeftOut()),
        "is_whole": False,
    }  # fmt: skip
    if state["is_whole"]:
        return state
    left_out = _LeftOut(**state["left_out"])
    with show("objects") as progress, ThreadPoolExecutor(_THREADS) as pool:
        for page in list_objects(store, state["after"]):
            shards = [one for one in page if one.name.endswith(SHARDS)]
            unusable = [one for one in page if one.name.endswith(_COMPRESSED) or not is_safe(one.name)]
            plain = [one for one in page if one not in {*shards, *unusable}]
            if plain:
                with write_rows(parts / f"objects-{state['pages']:06}.parquet") as writer:
                    writer.put(pool.map(lambda one: _row(store, one, read_all), plain))
                state["pages"] += 1
            state["objects"] += len(plain)
            state["bytes"] += sum(one.size or 0 for one in page)
            state["shards"] += shards
            left_out.add(_LeftOut(len(unusable), [one.name for one in unusable]))
            state["left_out"] = asdict(left_out)
            state["after"] = page[-1].name
            write_json(parts / _STATE, state)
            progress(state["objects"] + len(state["shards"]), 0)
    state["is_whole"] = True
    write_json(parts / _STATE, state)
    return state


def _row(store: Store, listed: Listed, read_all: bool) -> Row:
    if listed.etag and listed.size is not None and not read_all:
        return Row(listed.name, listed.size, None, listed.etag)
    data = store.read(listed.name)
    return Row(listed.name, len(data), hashlib.blake2b(data, digest_size=16).hexdigest(), listed.etag)


def _list_shard(store: Store, parts: Path, number: int, shard: Listed) -> tuple[Path, "_LeftOut"]:
    """List the members of a shard into a part, unless it is there; return the part, and what is left out."""
    path, others = parts / f"shard-{number:06}.parquet", parts / f"shard-{number:06}.json"
    if not path.exists():
        with store.open(shard.name, _BLOCK) as file:
            place = f"{store.address}/{shard.name}"
            if shard.name.endswith(".tar"):
                rows, left_out = list_tar(file, file.size, shard.name, place)
            else:
                rows = list_parquet(file, shard.name, place)
                rows, left_out = ([], [shard.name]) if rows is None else (rows, [])
        write_json(others, asdict(_LeftOut(len(left_out), left_out[:_SHOWN])))
        with write_rows(path) as writer:
            writer.put(sorted(rows, key=lambda row: row.path))
    return path, _LeftOut(**(read_json(others) or {}))
