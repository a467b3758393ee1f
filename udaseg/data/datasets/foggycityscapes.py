"""Foggy Cityscapes: the images of Cityscapes with synthetic fog of three densities, and the labels of Cityscapes."""

import dataclasses
from pathlib import Path

from udaseg.data.datasets import cityscapes
from udaseg.data.datasets.layout import IMAGES, Files, Labels, choose_split, find_folder, is_folder, list_files

BETAS = ("0.02", "0.01", "0.005")  # attenuation per metre: visibility of some 150, 300 and 600 m
# Without a beta, a split has the densest fog, on which methods are scored.
SPLITS = {
    name: f"{split}/{beta}"
    for split in ("train", "val", "test")
    for name, beta in ((split, BETAS[0]), *((f"{split}-{beta}", beta) for beta in BETAS))
}
IMAGE_COUNTS = {split: cityscapes.IMAGE_COUNTS[split] for split in ("train", "val", "test")}
DOWNLOAD_HINT = (
    "download leftImg8bit_trainvaltest_foggy.zip (or leftImg8bit_trainval_foggyDBF.zip) and gtFine_trainvaltest.zip "
    "from https://www.cityscapes-dataset.com/ and unpack both into one directory"
)
FOLDERS = ("leftImg8bit_foggy", "leftImg8bit_foggyDBF")  # the first fog simulation, and the one that uses semantics


def images(root: Path, split: str) -> Files:
    """List the images of a split with one density of fog, by the names of the clear images."""
    beta = choose_split(split, SPLITS, "foggycityscapes").partition("/")[2]
    files = list_files(_folder(root, split), IMAGES, f"{cityscapes.FOG}{beta}", deep=True)
    others = tuple(f"{cityscapes.FOG}{other}" for other in BETAS)  # the same images in the other densities
    files.left_out = tuple(name for name in files.left_out if not name.rpartition(".")[0].endswith(others))
    return files


def labels(root: Path, split: str) -> Labels:
    """List the labels of a split, those of Cityscapes; raise as it does."""
    name, _, beta = choose_split(split, SPLITS, "foggycityscapes").partition("/")
    labels = cityscapes.labels(root, name)
    note = f"images: {_folder(root, split).parent.name}, beta {beta}"
    return dataclasses.replace(labels, notes=(note, *labels.notes))


def matches(root: Path) -> bool:
    """Return whether a directory holds foggy images; with clear ones beside them it is taken for Cityscapes."""
    has_folder = any(is_folder(root / name) for name in FOLDERS)
    return cityscapes.holds_fog(root) or (has_folder and not cityscapes.matches(root))


def _folder(root: Path, split: str) -> Path:
    folders = (*FOLDERS, "leftImg8bit") if cityscapes.holds_fog(root) else FOLDERS
    candidates = [f"{name}/{SPLITS[split].partition('/')[0]}" for name in folders]
    return find_folder(root, candidates, f"the {split} images of Foggy Cityscapes", DOWNLOAD_HINT)
