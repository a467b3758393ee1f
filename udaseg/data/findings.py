"""The report of a dataset check: numbers of each split, and findings."""

import shlex
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from udaseg.data.places.indexed_path import IndexedPath
from udaseg.io.addresses import data_flags

Severity = Literal["error", "warning", "note"]
Use = Literal["source", "target"]
UNLABELLED = "images without a label"
SCORED = ("val", "validation", "test")  # splits that `evaluate` reads; the others are for training


def check_command(root: Path | IndexedPath | str, *flags: str) -> str:
    """Return the command that checks a dataset, in backticks."""
    folder = data_flags(root.source.data) if isinstance(root, IndexedPath) else []
    return f"`{shlex.join(['udaseg', 'data', 'check', str(root), *folder, *flags])}`"


@dataclass(frozen=True)
class Finding:
    """One observation about a dataset: an error makes a split unusable, a warning is likely to cost accuracy.

    `part` is what it is about. Nothing reads the labels of a target's training split.
    """

    severity: Severity
    split: str
    message: str
    files: tuple[str, ...] = ()
    hint: str | None = None
    part: Literal["images", "labels"] = "images"


@dataclass(frozen=True)
class Split:
    """The numbers of one split.

    `expected` is the published number of images. `sizes` counts images of each "HxW", `ids` pixels of each id.
    `classes` holds the share of each class in the pixels that have a class; `images_with` counts the images with that
    class. `ignored` is the share of ignored pixels in all pixels.
    """

    name: str
    images: int
    labels: int
    depth: int
    expected: int | None
    coding: str | None
    sizes: Mapping[str, int]
    ids: Mapping[int, int]
    classes: Mapping[str, float]
    images_with: Mapping[str, int]
    ignored: float | None


@dataclass(frozen=True)
class Report:
    """The result of a dataset check; `free_bytes` is the free space on the disk of `root`."""

    dataset: str
    root: str
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    free_bytes: int

    @property
    def ok(self) -> bool:
        """Return whether no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def usable_as(self) -> tuple[Use, ...]:
        """Return what the dataset can be used as: a target also with errors in training labels."""
        errors = [finding for finding in self.findings if finding.severity == "error"]
        if all(finding.part == "labels" and finding.split not in SCORED for finding in errors):
            return ("target",) if errors else ("source", "target")
        return ()

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {"ok": self.ok, "usable_as": self.usable_as, **asdict(self)}


def for_use(finding: Finding, use: Use | None, labelled: Collection[str]) -> Finding:
    """Return a finding with the weight that it has for the use of a dataset; None is any use.

    `labelled` names the splits of which at least one image has a label.
    """
    if finding.severity != "error" or finding.part == "images":
        return finding
    if use == "target" and finding.split not in SCORED:
        return replace(finding, severity="note", hint=None)
    is_scored = finding.split in SCORED and finding.split in labelled
    if use != "source" and is_scored and finding.message == UNLABELLED:
        return replace(finding, severity="warning", hint="evaluate scores the images that have a label")
    return finding
