"""What a check of a dataset reports: its splits in numbers, and findings."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something to know about a dataset; an error makes a split unusable, a warning is likely to cost accuracy."""

    severity: Severity
    split: str
    message: str
    files: tuple[str, ...] = ()
    hint: str | None = None


@dataclass(frozen=True)
class Split:
    """What one split holds. Class shares are of the pixels that have a class, `ignored` is of all pixels."""

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
    """The result of a check."""

    dataset: str
    root: str
    splits: tuple[Split, ...]
    findings: tuple[Finding, ...]
    free_bytes: int

    @property
    def ok(self) -> bool:
        """Say whether nothing is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON."""
        return {"ok": self.ok, **asdict(self)}
