"""Digests of datasets: of content, and each file is read once."""

import json
import os
from pathlib import Path

import pytest

from udaseg.io import digests
from udaseg.io.digests import cache_folder, dataset_digest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "udaseg" / "digests"


@pytest.fixture
def dataset(tmp_path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for i in range(5):
        (root / f"{i}.png").write_bytes(bytes([i]) * 1000)
        os.utime(root / f"{i}.png", (1_000_000 + i, 1_000_000 + i))
    return root


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """List the names of the files that are read."""
    names, read = [], digests._file_digest
    monkeypatch.setattr(digests, "_file_digest", lambda path: names.append(path.name) or read(path))
    return names


def digest(root: Path, **options) -> str:
    return dataset_digest(sorted(root.iterdir()), root, **options)


def test_an_unchanged_dataset_is_read_once_and_a_changed_file_again(dataset, reads):
    before = digest(dataset)
    assert sorted(reads) == [f"{i}.png" for i in range(5)]
    assert digest(dataset) == before
    assert len(reads) == 5
    (dataset / "3.png").write_bytes(b"other")
    os.utime(dataset / "3.png", (2_000_000, 2_000_000))
    assert digest(dataset) != before
    assert reads[5:] == ["3.png"]


def test_a_copy_with_other_times_in_another_place_is_the_same_dataset(dataset, tmp_path):
    (tmp_path / "copy").mkdir()
    for path in dataset.iterdir():
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    before = digest(dataset)
    assert digest(tmp_path / "copy") == before
    os.utime(dataset / "0.png")
    assert digest(dataset) == before


def test_names_content_and_meaning_count(dataset):
    before = digest(dataset)
    assert digest(dataset, meaning=b"ids") != before
    (dataset / "0.png").rename(dataset / "00.png")
    assert digest(dataset) != before


def test_parts_of_a_dataset_share_what_was_read(dataset, reads):
    files = sorted(dataset.iterdir())
    dataset_digest(files[:3], dataset)
    dataset_digest(files, dataset)
    dataset_digest(files[2:], dataset)
    assert len(reads) == 5


def test_a_file_written_this_moment_is_read_again(dataset, reads):
    """It may change once more without a new time where the file system counts in seconds."""
    (dataset / "0.png").write_bytes(b"a" * 1000)
    before = digest(dataset)
    state = (dataset / "0.png").stat()
    (dataset / "0.png").write_bytes(b"b" * 1000)
    os.utime(dataset / "0.png", ns=(state.st_atime_ns, state.st_mtime_ns))
    assert digest(dataset) != before


@pytest.mark.parametrize("damage", ["{", "[]", '{"files": 7}', '{"files": {"0.png": 7, "1.png": [1000, 0, null]}}'])
def test_a_damaged_cache_is_no_trouble(dataset, cache, damage):
    before = digest(dataset)
    (path,) = cache.iterdir()
    assert json.loads(path.read_text())["root"] == str(dataset)
    path.write_text(damage)
    assert digest(dataset) == before
    assert digest(dataset) == before


def test_a_cache_that_cannot_be_written_is_no_trouble(dataset, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    before = digest(dataset)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert digest(dataset) == before
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert digest(dataset) == before


def test_the_cache_is_where_the_user_says(tmp_path, monkeypatch):
    assert cache_folder() == tmp_path / "cache" / "udaseg"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "udaseg"


def test_progress_is_told_of_the_files_that_are_read(dataset):
    told = []
    digest(dataset, progress=lambda *values: told.append(values))
    assert told == [(i, 5) for i in range(1, 6)]
    digest(dataset, progress=lambda *values: told.append(values))
    assert len(told) == 5


def test_a_missing_file_is_an_error_that_names_it(dataset):
    with pytest.raises(FileNotFoundError, match=r"9\.png"):
        dataset_digest([dataset / "0.png", dataset / "9.png"], dataset)


def test_an_interrupted_reading_is_not_begun_again(dataset, reads):
    def stop(done, total):
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        digest(dataset, progress=stop)
    before = len(reads)
    digest(dataset)
    assert len(reads) - before == 2
