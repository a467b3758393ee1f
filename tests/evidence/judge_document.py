"""The measured worth of scores without target labels: a document, a CSV of all models, and a chart."""

import csv
import io
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from udaseg.inference.judgement.scores import SCORES
from udaseg.pipeline.format import DASH, points
from udaseg.report.comparison_table import TextTable, markdown, spread
from udaseg.report.svg import LETTER, element, line, text

from .chart import alone
from .judge_figures import Correlation, Regrets, correlation, error, regrets_of_rows, regrets_of_runs
from .judged import Model, Trained

PITCH, TOP, WIDTH = 24.0, 34.0, 380.0  # units from row to row, above the first, and of the axis
PREDICTED = {"atc": "pixel accuracy", "expected": "mIoU"}  # what a score predicts in numbers


@dataclass(frozen=True)
class Found:
    """What is written: the runs, their models by digest, and on how many images these were judged."""

    runs: Sequence[Trained]
    models: Mapping[str, Model]
    images: int

    @property
    def by_pair(self) -> dict[str, list[Model]]:
        """The models of each pair, each once."""
        pairs: dict[str, list[Model]] = {}
        for one in self.models.values():
            pairs.setdefault(one.pair, []).append(one)
        return pairs


def as_markdown(found: Found) -> str:
    """Return the figures as a Markdown document."""
    counts = ", ".join(f"{pair} {len(models)}" for pair, models in found.by_pair.items())
    seconds = statistics.fmean(one.seconds for one in found.models.values())
    parts = [
        "# Scores without target labels",
        f"{len(found.models)} models of {len(found.runs)} runs ({counts}), judged on {found.images} images of each "
        f"domain, {seconds:.1f} s of one processor for a model.",
        _table(found),
        "![Rank correlations with the true mIoU](judge.svg)",
        "\n".join(f"* {note}" for note in _notes(found)),
    ]
    return "\n\n".join(parts) + "\n"


def _table(found: Found) -> str:
    pairs, lines = found.by_pair, []
    for name in SCORES:
        cells = [_correlation(correlation([models], name)) for models in pairs.values()]
        cells.append(_correlation(correlation([*pairs.values()], name)))
        for regrets in (
            regrets_of_runs(found.runs, found.models, name),
            regrets_of_rows(found.runs, found.models, name),
        ):
            cells += _regrets(regrets)
        lines.append((name, *cells))
    header = ("score", *pairs, "all pairs", "regret in a run", "to the last", "ahead, behind", "regret between runs",
              "to the mean", "ahead, behind")  # fmt: skip
    return markdown(TextTable("", header, tuple(lines), ()))


def _correlation(value: Correlation | None) -> str:
    return DASH if value is None else f"{value.value:.2f} ({value.low:.2f} to {value.high:.2f})".replace("-", "−")


def _regrets(regrets: Regrets | None) -> list[str]:
    if regrets is None:
        return [DASH] * 3
    return [
        spread(regrets.mean),
        spread(regrets.gain, points),
        f"{regrets.ahead}, {regrets.behind} of {regrets.groups}",
    ]


def _notes(found: Found) -> list[str]:
    models = [*found.models.values()]
    truths = {"atc": lambda one: one.accuracy, "expected": lambda one: one.miou}
    errors = [
        f"`{name}` differs from the true {what} by {spread(error(models, name, truths[name]))} points"
        for name, what in PREDICTED.items()
    ]
    return [
        "Columns of pairs: Spearman's rank correlation with the true mIoU on the labelled split, positive where the "
        "better value has the better model, with its 95 % interval (bootstrap over models, 1,000 samples). *All pairs* "
        "has the ranks within each pair.",
        "*Regret* is the best mIoU of a group of models less that of the chosen one, in points, mean ± standard "
        "deviation over the groups. *To the last* and *to the mean* are what the choice gains over the last model of "
        "the run, and over the mean of the runs. *Ahead, behind* counts groups.",
        "In a run the choice is among the models of its trainings, between runs among the last models of all runs of "
        "one pair and seed. Runs that learn target labels are left out.",
        "A model that several runs share counts once in a correlation. Models of one run are alike, so the intervals "
        "are too narrow.",
        f"{'; '.join(errors)} (mean and deviation of the absolute difference).",
    ]


def as_csv(found: Found) -> str:
    """Return every model with its scores as CSV; mIoU and accuracy are in percent."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["pair", "run", "seed", "stage", "digest", "miou", "accuracy", *SCORES])
    for one in found.models.values():
        figures = ["" if value is None else f"{value:.5f}" for value in one.scores.values()]
        percents = f"{100 * one.miou:.2f}", f"{100 * one.accuracy:.2f}"
        writer.writerow([one.pair, one.row, one.seed, one.stage, one.digest[:12], *percents, *figures])
    return out.getvalue()


def as_svg(found: Found) -> str:
    """Return the chart: for each score its correlation within pairs, a stroke for the interval, a dot for each pair."""
    pairs = found.by_pair
    left, bottom = 14 + LETTER * max(map(len, SCORES)), TOP + PITCH * len(SCORES)
    width, height = left + WIDTH + 60, bottom + 22

    def at(value: float) -> float:
        return left + WIDTH * (value + 1) / 2

    shapes = [
        text(left, TOP - 16, "rank correlation with the true mIoU, its 95 % interval, and each pair", "start", "axis")
    ]
    for tick in (-1.0, -0.5, 0.0, 0.5, 1.0):
        shapes.append(line(at(tick), TOP, at(tick), bottom, "grid" if tick else "axis-line"))
        shapes.append(text(at(tick), bottom + 14, f"{tick:g}".replace("-", "−"), "middle", "axis"))
    for row, name in enumerate(SCORES):
        y, whole = TOP + PITCH * (row + 0.5), correlation([*pairs.values()], name)
        shapes.append(text(left - 8, y + 3.6, name, "end"))
        if whole is None:
            continue
        shapes.append(line(at(whole.low), y, at(whole.high), y, "whisker s1"))
        for pair, models in pairs.items():
            one = correlation([models], name)
            if one is not None:
                title = element("title", f"{pair}: {one.value:.2f}")
                shapes.append(element("circle", title, cx=at(one.value), cy=y, r=2.0, class_="kept"))
        shapes.append(element("circle", cx=at(whole.value), cy=y, r=3.4, class_="mark s1"))
        shapes.append(text(left + WIDTH + 10, y + 3.6, f"{whole.value:.2f}".replace("-", "−")))
    return alone(width, height, "rank correlation of each score with the true mIoU", shapes)
