"""The report of a dataset check: numbers of each split, and findings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One observation about a dataset: an error makes a split unusable, a warning is likely to cost accuracy."""

    severity: Severity
    split: str
    message: str
    files: tuple[str, ...] = ()
    hint: str | None = None


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

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {"ok": self.ok, **asdict(self)}
