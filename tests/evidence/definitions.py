"""What is measured: pairs of domains and tables of rows, read from pairs.yaml and tables.yaml."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from udaseg.config.load import load_recipe
from udaseg.errors import UdasegError, did_you_mean
from udaseg.io.files import parse_yaml

HERE = Path(__file__).parent
# Each bound is the better of two augmentations. Crops have the size that toy recipes have.
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "random scales": {"warmup.augment.crop": [96, 192], "warmup.augment.scale": [0.5, 1.5]},
    "whole images": {"warmup.augment.crop": None, "warmup.augment.scale": [1.0, 1.0]},
}
LOWER, UPPER = "source-only", "oracle"


@dataclass(frozen=True)
class Pair:
    """Two domains, the classes that are scored, and the sizes (height, width) at which networks see them."""

    name: str
    space: str | list[str]
    crop: tuple[int, int]
    source: Mapping[str, Any]  # settings of the domain in a recipe: dataset, root, coding, size
    target: Mapping[str, Any]

    @property
    def roots(self) -> list[str]:
        """The folders of its datasets in the data directory, but for those that toytown writes."""
        return [side["root"] for side in (self.source, self.target) if "root" in side]

    @property
    def is_rendered(self) -> bool:
        """Whether a domain of it is rendered."""
        return len(self.roots) < 2


@dataclass(frozen=True)
class Row:
    """A recipe with settings that change it, by dotted key."""

    name: str
    recipe: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    against: str | None = None  # the row that it is compared with
    learns_target: bool = False  # from the target's own labels: the upper bound

    @property
    def folder(self) -> str:
        """The name of its directory."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


@dataclass(frozen=True)
class Table:
    """Rows to measure on a pair, and the recipe of the bounds between which they lie."""

    name: str
    title: str
    pairs: tuple[str, ...]
    bounds: str
    rows: tuple[Row, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)  # of all rows and bounds
    is_trial: bool = False

    def bound_rows(self, bound: str) -> dict[str, Row]:
        """Return the rows of which the better one is a bound, LOWER or UPPER, by augmentation."""
        return {
            name: Row(f"{bound}, {name}", self.bounds, settings, learns_target=bound == UPPER)
            for name, settings in AUGMENTATIONS.items()
        }

    @property
    def all_rows(self) -> tuple[Row, ...]:
        """The rows and those of the bounds, in the order in which they are run."""
        return (*self.bound_rows(LOWER).values(), *self.rows, *self.bound_rows(UPPER).values())


def read_pairs() -> dict[str, Pair]:
    """Return all pairs by name."""
    values = parse_yaml((HERE / "pairs.yaml").read_text(encoding="utf-8"))
    return {
        name: Pair(name, one["space"], tuple(one["crop"]), one["source"], one["target"]) for name, one in values.items()
    }


def read_tables() -> dict[str, Table]:
    """Return all tables by name."""
    values = parse_yaml((HERE / "tables.yaml").read_text(encoding="utf-8"))
    return {
        name: Table(
            name,
            one["title"],
            tuple(one["pairs"]),
            _recipe(one["bounds"]),
            _rows(one["rows"]),
            one.get("set", {}),
            one.get("trial", False),
        )
        for name, one in values.items()
    }


def choose(kind: str, name: str, known: Mapping[str, Any]) -> Any:
    """Return a pair or a table by name; raise UdasegError where there is none of that name."""
    if name not in known:
        raise UdasegError(f"there is no {kind} {name!r}", f"{did_you_mean(name, known)}known: {', '.join(known)}")
    return known[name]


def tables_of(pair: Pair, tables: Mapping[str, Table]) -> list[Table]:
    """Return the tables that are meant for a pair, without trials."""
    return [table for table in tables.values() if pair.name in table.pairs and not table.is_trial]


def _rows(values: Mapping[str, Mapping[str, Any]]) -> tuple[Row, ...]:
    rows, before = [], None
    for name, row in values.items():
        recipe, settings = _recipe(row["recipe"]), row.get("set", {})
        if "variant" in row:
            changes = choose("variant", row["variant"], load_recipe(recipe, scale="toy").ablation)
            recipe, changes = (changes, {}) if isinstance(changes, str) else (recipe, changes)
            settings = changes | settings
        rows.append(Row(name, recipe, settings, row.get("against", before)))
        before = name
    return tuple(rows)


def _recipe(name: str) -> str:
    """Return the name of a shipped recipe, or the path of one beside this file."""
    return str(HERE / name) if name.endswith(".yaml") else name
