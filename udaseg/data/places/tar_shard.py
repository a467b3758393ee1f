"""List the samples of a tar file in WebDataset's form, without unpacking anything."""

import hashlib
import tarfile
from collections.abc import Iterator
from itertools import groupby
from typing import IO, NamedTuple

from udaseg.data.places.layout_of_shards import choose_members, is_safe, path_in_dataset, split_key, split_of
from udaseg.data.places.row import Row
from udaseg.errors import UdasegError

_BLOCK = 512  # bytes: a tar is made of such blocks, and ends with empty ones
_BUFFER = 1 << 15  # bytes: tarfile copies what is left of its buffer at every read
_CHUNK = 1 << 20  # bytes that are hashed at a time


class _Member(NamedTuple):
    name: str
    offset: int
    size: int
    digest: str


def list_tar(file: IO[bytes], size: int, shard: str, place: str) -> tuple[list[Row], list[str]]:
    """Read a tar from its beginning to its end; return a row for each picture in it, and the names that are left out.

    Members that follow each other with the same key are a sample. `size` is that of the tar, `place` names it in
    errors. Raises UdasegError for a tar that is cut off or damaged, or compressed, and for a member whose name leads
    out of the dataset.
    """
    rows, left_out = [], []
    split = split_of(shard)
    for key, group in groupby(_members(file, size, place), key=lambda member: split_key(member.name)[0]):
        members = {split_key(member.name)[1]: member for member in group}
        chosen = choose_members(members)
        for kind, extension in chosen.items():
            member = members[extension]
            suffix = extension.rpartition(".")[2]
            path = path_in_dataset(split, kind, key, suffix)
            rows.append(Row(path, member.size, member.digest, None, shard, member.offset))
        left_out += [member.name for extension, member in members.items() if extension not in chosen.values()]
    return rows, left_out


def _members(file: IO[bytes], size: int, place: str) -> Iterator[_Member]:
    end = 0
    try:
        with tarfile.open(fileobj=file, mode="r|", bufsize=_BUFFER) as tar:
            for member in tar:
                blocks = -(-member.size // _BLOCK) * _BLOCK if member.isreg() else 0
                end = member.offset_data + blocks
                if not member.isreg() or member.issparse():
                    continue
                name = member.name.removeprefix("./")
                if not is_safe(name):
                    raise UdasegError(
                        f"{place}: expected names of samples, found a member {name!r}",
                        "write the shard again without it",
                    )
                yield _Member(name, member.offset_data, member.size, _digest(tar.extractfile(member)))
                tar.members.clear()  # it would keep every header
    except (tarfile.TarError, EOFError) as error:
        raise _damaged(place, size, str(error)) from None
    if end + _BLOCK > size:  # tarfile takes a tar without its end for a whole one
        raise _damaged(place, size, "no end of the archive")


def _digest(file: IO[bytes]) -> str:
    hasher = hashlib.blake2b(digest_size=16)
    while data := file.read(_CHUNK):
        hasher.update(data)
    return hasher.hexdigest()


def _damaged(place: str, size: int, problem: str) -> UdasegError:
    return UdasegError(
        f"{place}: expected a whole tar file, found {size} bytes of a damaged or compressed one: {problem}",
        "copy it again; a compressed tar has to be unpacked into a plain one, as its members are read one by one",
    )
