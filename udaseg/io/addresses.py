"""Addresses of places that hold pictures: s3://bucket/prefix, memory://pictures, file:///data/shards."""

import hashlib
import re
import shlex
from pathlib import Path

from udaseg.errors import UdasegError

_DATA = "data"  # the data directory of a recipe that names none
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]+)://(.*)", re.DOTALL)
_SECRETS = re.compile(r"^[^/]*@|[?]", re.DOTALL)  # user:password@host, and queries, which may hold signatures


def is_address(text: str) -> bool:
    """Return whether a text is an address, and not a path: s3://bucket/prefix."""
    return _ADDRESS.fullmatch(text) is not None


def normalise_address(text: str) -> str:
    """Return an address without slashes at its end, so that one place has one address.

    Raises UdasegError for an address that names no place, that has a password or a signature in it, or that leads
    upwards. An address stands in settings and manifests, which are no place for secrets.
    """
    match = _ADDRESS.fullmatch(text)
    protocol, rest = match.groups() if match else ("", "")
    if not rest.strip("/"):
        raise UdasegError(
            f"{text}: expected the address of a place with pictures, found none",
            f"write {Path(text).absolute().as_uri()}"
            if Path(text).is_dir()
            else "write one such as s3://bucket/prefix or file:///data/shards",
        )
    if protocol == "file" and not rest.startswith("/"):
        raise UdasegError(f"{text}: expected the path from the root of the disk after file://", f"file:///{rest}")
    if _SECRETS.search(rest):
        raise UdasegError(
            f"{protocol}://...: expected an address without a user, a password or a query, found one with them",
            "give credentials in the environment, as AWS_ACCESS_KEY_ID or in the files of the store's own tools",
        )
    if ".." in rest.split("/"):
        raise UdasegError(f"{text}: expected an address without `..`", "write where it leads")
    return f"{protocol}://{rest.rstrip('/')}"


def data_flags(data: str | Path) -> list[str]:
    """Return the flags that name a data directory: none for that of recipes that name none."""
    return [] if str(data) == _DATA else ["--data", str(data)]


def index_command(address: str, data: str | Path, *flags: str) -> str:
    """Return the command that lists an address into the index of a data directory."""
    return shlex.join(["udaseg", "data", "index", address, *data_flags(data), *flags])


def index_folder(address: str, data: str | Path) -> Path:
    """Return the directory of an address's index: the last words of the address, and a digest of all of it."""
    words = re.sub(r"[^A-Za-z0-9]+", "-", address.partition("://")[2]).strip("-")[-40:].strip("-")
    return Path(data, "index", f"{words}-{hashlib.blake2b(address.encode(), digest_size=4).hexdigest()}")
