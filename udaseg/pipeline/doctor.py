"""Look at the machine: what is installed, what computes, how much room there is, and which datasets are at hand."""

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
    """Something that is missing or broken, how to mend it, and the recipes that need it; none where all do."""

    what: str
    fix: str
    recipes: tuple[str, ...] = ()


def versions() -> tuple[dict[str, str | None], list[Finding]]:
    """Give the version of every package udaseg requires, None where there is none, and what is wrong with them."""
    found: dict[str, str | None] = {"udaseg": udaseg.__version__, "python": platform.python_version()}
    wrong = []
    for text in metadata.requires("udaseg") or []:
        if "extra ==" in text:
            continue
        name, least = re.match(r"([\w.-]+)(?:>=([\d.]+))?", text).groups()
        problem = None
        try:
            found[name] = metadata.version(name)
            importlib.import_module(MODULES.get(name.lower(), name))
            if least and _number(found[name]) < _number(least):
                problem = f"{name} is {found[name]}, udaseg needs {least} or newer"
        except metadata.PackageNotFoundError:
            found[name] = None
            problem = f"{name} is not installed"
        except (ImportError, OSError) as error:
            problem = f"{name} {found[name]} cannot be imported: {error}"
        if problem:
            wrong.append(Finding(problem, f"pip install --upgrade --force-reinstall '{text}'"))
    return found, wrong


def devices() -> tuple[dict[str, Any], list[Finding]]:
    """Describe what computes: the GPUs, the cores, the memory (bytes); and whether a GPU lies idle."""
    import torch

    from udaseg.models import devices as chosen

    device = chosen.choose()
    gpus = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
    found = {
        "device": device.type,
        "gpus": [{"name": gpu.name, "bytes": gpu.total_memory} for gpu in gpus],
        "cores": os.cpu_count(),
        "bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "precision": "bf16" if chosen.bfloat16("auto", device) else "fp32",
    }
    wrong = []
    if device.type == "cpu" and DRIVER.exists():
        built = f"it is built for CUDA {torch.version.cuda}" if torch.version.cuda else "it is built without CUDA"
        wrong.append(
            Finding(
                f"there is an NVIDIA driver, but PyTorch does not use it: {built}",
                "install the PyTorch for this driver (https://pytorch.org/get-started/locally/), or a newer driver",
            )
        )
    return found, wrong


def disk(places: dict[str, Path]) -> tuple[dict[str, dict[str, Any]], list[Finding]]:
    """Give the free bytes of the disks that some places are on, or will be, and whether they can be written."""
    found, wrong = {}, []
    for name, place in places.items():
        there = next(path for path in (place.absolute(), *place.absolute().parents) if path.exists())
        free = shutil.disk_usage(there).free
        found[name] = {"path": str(place), "free": free}
        if not os.access(there, os.W_OK):
            wrong.append(
                Finding(f"{there} cannot be written ({name})", f"mend its permissions, or give another --{name}")
            )
        elif free < ROOM:
            what = f"{free / 1e9:.1f} GB are free for {place} ({name}); a small run takes {ROOM / 1e9:.0f} GB"
            wrong.append(Finding(what, f"free some space, or give another --{name}"))
    return found, wrong


def datasets(root: Path) -> list[dict[str, Any]]:
    """List the datasets in a directory, and in those of toytown in it: their images, and how many there should be."""
    from udaseg.data.datasets.registry import DATASETS, detect

    found = []
    for place in sorted([*root.glob("*"), *root.glob("toytown/*")]):
        try:
            dataset = detect(place)
        except UdasegError:
            continue
        if (place / "toytown.json").is_file():  # it holds datasets, and its own layout is taken for one
            continue
        reader, whole = DATASETS[dataset], not (place.parent / "toytown.json").is_file()
        splits = {}
        for split, total in (reader.IMAGE_COUNTS or dict.fromkeys(reader.splits(place))).items():
            with suppress(UdasegError):
                splits[split] = {"images": len(reader.images(place, split)), "published": total if whole else None}
        found.append({"dataset": dataset, "path": str(place), "splits": splits})
    return found


def weights(backbone: str) -> Finding | None:
    """Say where the ImageNet weights of a backbone come from, unless they are in PyTorch's cache."""
    from udaseg.models.encoders import imagenet_url
    from udaseg.models.weights.torchvision import imagenet_path

    path = imagenet_path(backbone)
    if path.is_file():
        return None
    return Finding(
        f"the ImageNet weights of {backbone} are not here yet",
        f"the first warm-up downloads them; without a network, put {imagenet_url(backbone)} at {path}",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
