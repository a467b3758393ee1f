"""Locks on files."""

import os
from pathlib import Path

import pytest

from udaseg.io.locks import LockedError, locked, this_process


def test_a_lock_is_held_by_one_at_a_time(tmp_path):
    path = tmp_path / "new" / ".s.lock"
    with locked(path), pytest.raises(LockedError), locked(path):
        pass
    with locked(path):
        pass


def test_a_place_that_cannot_be_written_is_an_error_and_no_lock(tmp_path):
    (tmp_path / "file").write_text("")
    for path in ("/proc/.s.lock", tmp_path / "file" / ".s.lock"):
        with pytest.raises(OSError, match=r"s\.lock|file"), locked(Path(path)):
            pass


def test_a_process_says_who_it_is():
    owner = this_process("udaseg predict")
    assert (owner["pid"], owner["command"]) == (os.getpid(), "udaseg predict")
    assert owner["since"].endswith("Z")
