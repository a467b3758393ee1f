"""Locks on files: one process at a time, which says who it is."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout


class LockedError(Exception):
    """Another process, or another part of this one, holds the lock."""


@contextmanager
def locked(path: Path, seconds: float = 0.0) -> Iterator[None]:
    """Hold the lock file at `path`, made where it is missing, for the time of the block.

    Raises LockedError where it is held elsewhere and does not come free in so many seconds, and OSError where it
    cannot be written. The file stays: removing a lock file would let two processes lock two files of one name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.touch()  # filelock takes a place that cannot be written for a lock that is held
    lock = FileLock(path)
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        raise LockedError(path) from None
    try:
        yield
    finally:
        lock.release()


def this_process(command: str) -> dict[str, Any]:
    """Return the process id, host, start (UTC, ISO 8601) and command, for a file that says who is at work."""
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": command}
