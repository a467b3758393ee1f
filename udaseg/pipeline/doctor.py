"""Look at the machine: packages, devices, disks, datasets, weights."""

import importlib
import os
import platform
import re
import shutil
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import udaseg
from udaseg.errors import UdasegError

MODULES = {"pillow": "PIL", "pyyaml": "yaml", "scikit-learn": "sklearn"}  # packages of another name than their module
ROOM = 5e9  # bytes that a small run takes with its models
DRIVER = Path("/proc/driver/nvidia/version")


class Finding(NamedTuple):
    """A problem, its fix, and the recipes that are concerned; none where all are."""

    what: str
    fix: str
    recipes: tuple[str, ...] = ()


def versions() -> tuple[dict[str, str | None], list[Finding]]:
    """Give the version of every package udaseg requires, None where there is none, and what is problems with them."""
    installed: dict[str, str | None] = {"udaseg": udaseg.__version__, "python": platform.python_version()}
    problems = []
    for text in metadata.requires("udaseg") or []:
        if "extra ==" in text:
            continue
        name, least = re.match(r"([\w.-]+)(?:>=([\d.]+))?", text).groups()
        problem = None
        try:
            installed[name] = metadata.version(name)
            importlib.import_module(MODULES.get(name.lower(), name))
            if least and _number(installed[name]) < _number(least):
                problem = f"{name} is {installed[name]}, udaseg needs {least} or newer"
        except metadata.PackageNotFoundError:
            installed[name] = None
            problem = f"{name} is not installed"
        except (ImportError, OSError) as error:
            problem = f"{name} {installed[name]} cannot be imported: {error}"
        if problem:
            problems.append(Finding(problem, f"pip install --upgrade --force-reinstall '{text}'"))
    return installed, problems


def devices() -> tuple[dict[str, Any], list[Finding]]:
    """Return the device, GPUs, cores and memory (bytes) of the machine, and a problem where a GPU is not used."""
    import torch

    from udaseg.models import devices as torch_devices

    device = torch_devices.choose()
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    machine = {
        "device": device.type,
        "gpus": [{"name": gpu.name, "bytes": gpu.total_memory} for gpu in gpus],
        "cores": os.cpu_count(),
        "bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "precision": "bf16" if torch_devices.bfloat16("auto", device) else "fp32",
    }
    problems = []
    if device.type == "cpu" and DRIVER.exists():
        built = f"it is built for CUDA {torch.version.cuda}" if torch.version.cuda else "it is built without CUDA"
        problems.append(
            Finding(
                f"there is an NVIDIA driver, but PyTorch does not use it: {built}",
                "install the PyTorch for this driver (https://pytorch.org/get-started/locally/), or a newer driver",
            )
        )
    return machine, problems


def disk(folders: dict[str, Path]) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Return the free bytes of the disks of some folders, and problems with space and permissions."""
    disks, problems = {}, []
    for name, folder in folders.items():
        existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
        free = shutil.disk_usage(existing).free
        disks[name] = {"path": str(folder), "free": free}
        if not os.access(existing, os.W_OK):
            problems.append(
                Finding(f"{existing} cannot be written ({name})", f"mend its permissions, or give another --{name}")
            )
        elif free < ROOM:
            text = f"{free / 1e9:.1f} GB are free for {folder} ({name}); a small run takes {ROOM / 1e9:.0f} GB"
            problems.append(Finding(text, f"free some space, or give another --{name}"))
    return disks, problems


def datasets(root: Path) -> list[dict[str, Any]]:
    """List the datasets in a directory and its toytown: their images, and the published numbers of images."""
    from udaseg.data.datasets.registry import DATASETS, detect

    rows = []
    for folder in sorted([*root.glob("*"), *root.glob("toytown/*")]):
        try:
            dataset = detect(folder)
        except UdasegError:
            continue
        if (folder / "toytown.json").is_file():  # it holds datasets, and its own layout is taken for one
            continue
        reader, is_whole = DATASETS[dataset], not (folder.parent / "toytown.json").is_file()
        splits = {}
        for split, total in (reader.IMAGE_COUNTS or dict.fromkeys(reader.splits(folder))).items():
            with suppress(UdasegError):
                splits[split] = {"images": len(reader.images(folder, split)), "published": total if is_whole else None}
        rows.append({"dataset": dataset, "path": str(folder), "splits": splits})
    return rows


def weights(encoder: str) -> Finding | None:
    """Return a finding where the ImageNet weights of an encoder are not on this machine."""
    from udaseg.models.weights.imagenet import find_imagenet

    try:
        url, path, is_here = find_imagenet(encoder)
    except UdasegError as error:
        return Finding(error.message, error.hint)
    if is_here:
        return None
    return Finding(
        f"the ImageNet weights of {encoder} are not here yet",
        "the first training downloads them; without a network, name a file of weights with --set model.weights=FILE, "
        f"or put {url} at {path}",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
