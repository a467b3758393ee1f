"""The figures of a table from the scores of its rows: means, differences seed by seed, shares of the gap."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from udaseg.report.compare import Spread, over_seeds

from .definitions import LOWER, UPPER, Row, Table
from .scores import Score

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class Line:
    """A row with its figures, fractions of 1; a figure that cannot be computed is None, or lacks the seed."""

    row: Row
    scores: Mapping[int, Score]  # by seed
    rare: BySeed = field(default_factory=dict)  # the mean IoU of the rarest classes
    difference: BySeed = field(default_factory=dict)  # of mIoU to the row that it is compared with
    share: BySeed = field(default_factory=dict)  # of the gap between the bounds

    @property
    def miou(self) -> Spread | None:
        """The mean IoU over seeds."""
        return spread({seed: score.miou for seed, score in self.scores.items()})

    @property
    def ahead(self) -> tuple[int, int] | None:
        """In how many seeds the row is ahead of the one it is compared with, and of how many."""
        gains = self.difference.values()
        return (sum(gain > 0 for gain in gains), len(gains)) if gains else None

    @property
    def seconds(self) -> float | None:
        """The mean time of its trainings."""
        return statistics.fmean(score.seconds for score in self.scores.values()) if self.scores else None


@dataclass(frozen=True)
class Figures:
    """The lines of a table: its rows, the two bounds, and the augmentations that came out worse."""

    table: Table
    seeds: tuple[int, ...]
    rare: Mapping[str, float]  # the rarest classes with their shares of the source's labels
    rows: tuple[Line, ...]
    lower: Line | None
    upper: Line | None
    worse: tuple[Line, ...]

    @property
    def lines(self) -> list[Line]:
        """All lines in order: the lower bound, the rows, the upper bound."""
        return [line for line in (self.lower, *self.rows, self.upper) if line is not None]


def figures(table: Table, scores: Sequence[Score], rare: Mapping[str, float], seeds: Sequence[int]) -> Figures:
    """Compute the figures of a table from the scores of its rows and bounds.

    A bound is the augmentation with the larger mean over the seeds. The share of the gap is
    (row - lower) / (upper - lower), seed by seed; a seed in which the upper bound is no better has none.
    """
    by_row: dict[str, dict[int, Score]] = {row.name: {} for row in table.all_rows}
    for score in scores:
        by_row[score.row][score.seed] = score
    bounds = {
        bound: [Line(row, by_row[row.name]) for row in table.bound_rows(bound).values()] for bound in (LOWER, UPPER)
    }
    best = {
        bound: max(lines, key=_rank) if any(one.scores for one in lines) else None for bound, lines in bounds.items()
    }
    low, high = best[LOWER], best[UPPER]

    def complete(line: Line) -> Line:
        against = by_row.get(line.row.against or "", {})
        difference = _seed_by_seed(lambda score, other: score - other, line.scores, against)
        share = {}
        if low is not None and high is not None and line not in (low, high):
            share = _seed_by_seed(_share, line.scores, low.scores, high.scores)
        rares = {seed: _mean_of(score, rare) for seed, score in line.scores.items()}
        known = {seed: value for seed, value in rares.items() if value is not None}
        return Line(line.row, line.scores, known, difference, share)

    return Figures(
        table,
        tuple(seeds),
        rare,
        tuple(complete(Line(row, by_row[row.name])) for row in table.rows),
        None if low is None else complete(low),
        None if high is None else complete(high),
        tuple(complete(one) for lines in bounds.values() for one in lines if one.scores and one not in (low, high)),
    )


def spread(values: BySeed) -> Spread | None:
    """Return the mean and the standard deviation over seeds; None without a value."""
    return over_seeds([*values.values()]) if values else None


def _rank(line: Line) -> tuple[int, float]:
    """Return what the better augmentation has more of: seeds, then mean IoU."""
    return len(line.scores), line.miou.mean if line.miou else 0.0


def _share(score: float, low: float, high: float) -> float | None:
    return (score - low) / (high - low) if high > low else None


def _mean_of(score: Score, classes: Mapping[str, float]) -> float | None:
    """Return the mean IoU of some classes, without those that occur nowhere."""
    values = [iou for name in classes if (iou := score.iou[name]) is not None]
    return statistics.fmean(values) if values else None


def _seed_by_seed(number: Callable[..., float | None], *rows: Mapping[int, Score]) -> dict[int, float]:
    """Compute a number from the mean IoU of several rows for each seed that all of them have."""
    common = [seed for seed in rows[0] if all(seed in row for row in rows)]
    values = {seed: number(*(row[seed].miou for row in rows)) for seed in common}
    return {seed: value for seed, value in values.items() if value is not None}
