"""List the objects below an address in the order of their names, a page at a time."""

from collections.abc import Iterator
from typing import NamedTuple

from udaseg.data.places.store import Store, version_of

_PAGE = 5000  # objects


class Listed(NamedTuple):
    """An object of a store: its name below the address, its size, and what the store calls its version."""

    name: str
    size: int | None
    etag: str | None


def list_objects(store: Store, after: str = "") -> Iterator[list[Listed]]:
    """Yield pages of objects in the order of their names: those that come after a name.

    S3 lists them by pages; of other stores a folder is in memory at a time. Hidden objects, and the empty ones that
    mark folders, are left out. Raises UdasegError where the store cannot be listed.
    """
    objects = _of_s3(store, after) if store.protocol == "s3" else _walk(store, "", after)
    page: list[Listed] = []
    for one in objects:
        if _is_hidden(one.name):
            continue
        page.append(one)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _of_s3(store: Store, after: str) -> Iterator[Listed]:
    token = None
    while True:
        answer = store.page(after, token)
        for entry in answer.get("Contents", ()):
            yield Listed(store.relative(f"{answer['Name']}/{entry['Key']}"), entry["Size"], version_of(entry))
        token = answer.get("NextContinuationToken")
        if not token:
            return


def _walk(store: Store, folder: str, after: str) -> Iterator[Listed]:
    """Walk through folders so that all names come in order: a folder counts with the slash after its name."""
    entries = {}
    for entry in store.list(folder):
        name = store.relative(entry["name"])
        is_folder = entry["type"] == "directory"
        if name and name != folder:
            entries[name + "/" * is_folder] = entry
    for name in sorted(entries):
        entry = entries[name]
        if entry["type"] != "directory":
            if name > after:
                yield Listed(name, entry.get("size"), version_of(entry))
        elif name > after or after.startswith(name):
            yield from _walk(store, name.removesuffix("/"), after)


def _is_hidden(name: str) -> bool:
    return name.endswith("/") or any(part.startswith(".") for part in name.split("/"))
