"""One process at a time in a directory, which says who it is."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from udaseg.errors import UdasegError
from udaseg.io.files import read_json, write_json

LOCK = ".lock"
OWNER = ".owner.json"


@contextmanager
def locked(folder: Path, command: str) -> Iterator[None]:
    """Hold a directory, which is made where it is missing. Raises UdasegError where another process holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    lock, owner = FileLock(folder / LOCK), folder / OWNER
    try:
        lock.acquire(timeout=0)
    except Timeout:
        held = read_json(owner) or {}
        who = f"process {held.get('pid', '?')} on {held.get('host', '?')}, since {held.get('since', '?')}"
        raise UdasegError(
            f"{folder} is in use by another udaseg ({who}: {held.get('command') or 'unknown command'})",
            "wait for it, stop it, or write somewhere else with --out",
        ) from None
    try:
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        write_json(owner, {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command})
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()
