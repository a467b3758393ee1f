"""Published tables of results, with their source, and a check of their means."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from udaseg.errors import UdasegError, did_you_mean
from udaseg.io.files import parse_yaml
from udaseg.metrics import SYNTHIA13

TOLERANCE = 0.0006  # of means: tables print tenths of a percent


@dataclass(frozen=True)
class PublishedRow:
    """A row of a published table, as fractions of 1; None where nothing is printed.

    `network` is the network as printed. `recipes` are those whose runs belong beside the row; the first reproduces
    it. Some have another network than the row, which a comparison then tells. Where several rows have one recipe, their
    runs differ: `settings` are those of the row's runs, by dotted key, and `evaluation` is the stage that scores them.
    `depth` has the errors of the estimated depth, by their names in metrics.json.
    """

    method: str
    recipes: tuple[str, ...]
    network: str | None
    iou: tuple[float | None, ...]
    miou: float | None
    miou13: float | None
    accuracy: float | None = None  # of pixels
    settings: Mapping[str, Any] = field(default_factory=dict)
    evaluation: str | None = None
    depth: Mapping[str, float] = field(default_factory=dict)

    @property
    def recipe(self) -> str | None:
        """The first of the recipes, None where there is none."""
        return next(iter(self.recipes), None)


@dataclass(frozen=True)
class Published:
    """A published table. `mean_of` is the number of classes of its means; it may print fewer classes.

    `gt_size` is the height and width to which the code of the rows that recipes reproduce resizes labels before it
    counts; None where it does not, as far as is known.
    """

    name: str
    title: str
    source: str
    classes: tuple[str, ...]
    mean_of: int
    rows: tuple[PublishedRow, ...]
    gt_size: tuple[int, int] | None = None

    def wrong_means(self, row: PublishedRow) -> dict[str, tuple[float, float]]:
        """Return the printed means that are not the mean of their classes: {field: (printed, mean)}."""
        of_class = dict(zip(self.classes, row.iou, strict=False))
        means = {"miou": (row.miou, self.classes if self.mean_of == len(self.classes) else ())}
        means["miou13"] = (row.miou13, SYNTHIA13)
        wrong = {}
        for name, (printed, classes) in means.items():
            values = [of_class.get(c) for c in classes]
            if printed is None or not values or None in values:
                continue
            mean = sum(values) / len(values)
            if abs(mean - printed) > TOLERANCE:
                wrong[name] = (printed, mean)
        return wrong


def tables() -> dict[str, Path]:
    """List the tables that come with udaseg, by name."""
    folder = Path(str(resources.files("udaseg.report"))) / "published"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def published(name: str) -> Published:
    """Read a table by its name; the percentages in the file become fractions. Raises UdasegError for another name."""
    files = tables()
    if name not in files:
        raise UdasegError(
            f"there is no published table {name!r}", f"{did_you_mean(name, files)}known: {', '.join(files)}"
        )
    values = parse_yaml(files[name].read_text(encoding="utf-8"))
    classes = tuple(values["classes"])
    rows = tuple(
        PublishedRow(
            row["method"],
            _names(row.get("recipe")),
            row.get("network", values.get("network")),
            tuple(_fraction(value) for value in row.get("iou", ())),
            _fraction(row.get("miou")),
            _fraction(row.get("miou13")),
            _fraction(row.get("accuracy")),
            row.get("settings", {}),
            row.get("evaluation"),
            row.get("depth", {}),
        )
        for row in values["rows"]
    )
    mean_of, gt_size = values.get("mean_of", len(classes)), values.get("gt_size")
    return Published(
        name, values["title"], values["source"], classes, mean_of, rows, None if gt_size is None else tuple(gt_size)
    )


def _names(value: str | list[str] | None) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value or ())


def _fraction(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
