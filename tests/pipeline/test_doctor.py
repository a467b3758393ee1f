"""What the doctor sees of the machine, each on a machine that lacks it."""

import importlib
from importlib import metadata
from pathlib import Path

import pytest
import torch

from udaseg.models import devices
from udaseg.pipeline import doctor


def test_a_sound_installation_has_every_package_and_no_findings():
    found, wrong = doctor.versions()
    assert wrong == []
    assert found["torch"] == metadata.version("torch")
    assert {"numpy", "pillow", "typer", "scikit-learn"} <= found.keys()
    assert "ruff" not in found  # of the extras


def test_a_missing_an_old_and_a_broken_package_are_named_with_the_command_that_mends_them(monkeypatch):
    versions = {"numpy": "1.0.9"}
    version, load = metadata.version, importlib.import_module

    def known(name):
        if name == "rich":
            raise metadata.PackageNotFoundError
        return versions.get(name) or version(name)

    def imported(name):
        if name == "h5py":
            raise ImportError("libhdf5.so: cannot open")
        return load(name)

    monkeypatch.setattr(doctor.metadata, "version", known)
    monkeypatch.setattr(doctor.importlib, "import_module", imported)
    found, wrong = doctor.versions()
    said = {finding.what: finding.fix for finding in wrong}
    assert found["rich"] is None
    assert len(said) == 3
    assert said["rich is not installed"].startswith("pip install --upgrade --force-reinstall 'rich>=")
    assert any(what.startswith("numpy is 1.0.9, udaseg needs 1.26") for what in said)
    assert any("h5py" in what and "libhdf5.so: cannot open" in what for what in said)


def test_a_driver_that_pytorch_does_not_use_is_a_finding(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "choose", lambda: torch.device("cpu"))
    monkeypatch.setattr(doctor, "DRIVER", tmp_path / "none")
    found, wrong = doctor.devices()
    assert found["device"] == "cpu"
    assert found["cores"] >= 1
    assert found["bytes"] > 1e8
    assert wrong == []
    (tmp_path / "none").write_text("NVRM version")
    _, (finding,) = doctor.devices()
    assert "there is an NVIDIA driver, but PyTorch does not use it" in finding.what


def test_a_full_and_a_locked_disk_are_findings(monkeypatch, tmp_path):
    found, wrong = doctor.disk({"data": tmp_path / "not" / "yet", "run": tmp_path})
    assert found["data"]["free"] > 0
    monkeypatch.setattr(doctor, "ROOM", 1e18)
    _, wrong = doctor.disk({"data": tmp_path})
    assert "GB are free for" in wrong[0].what
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    _, wrong = doctor.disk({"data": tmp_path / "not"})
    assert wrong[0].what == f"{tmp_path} cannot be written (data)"


def test_weights_are_named_until_they_are_in_the_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    finding = doctor.weights("resnet18")
    path = Path(finding.fix.rsplit(" at ", 1)[1])
    assert path.is_relative_to(tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"")
    assert doctor.weights("resnet18") is None


@pytest.mark.parametrize("root", ["empty", "nowhere"])
def test_a_directory_without_datasets_has_none(tmp_path, root):
    (tmp_path / "empty" / "photos").mkdir(parents=True)
    assert doctor.datasets(tmp_path / root) == []
