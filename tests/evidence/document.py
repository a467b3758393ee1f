"""A table as Markdown, to be read, and as CSV, with the scores of every seed and class."""

import csv
import io
import json
from collections.abc import Mapping
from typing import Any

from udaseg.config import Recipe
from udaseg.labels import class_space
from udaseg.pipeline.format import DASH, duration, points, share
from udaseg.report.comparison_table import TextTable, markdown, spread
from udaseg.stages.cli import STAGES

from .definitions import Pair
from .figures import Figures, Line
from .figures import spread as over_seeds
from .recipes import RowRecipe

COLUMNS = (
    "pair", "table", "row", "seed", "miou", "rare", "difference", "share", "seconds", "recipe", "set", "commit",
    "digest",
)  # fmt: skip


def as_markdown(pair: Pair, found: Figures, recipes: Mapping[str, RowRecipe], changes: Mapping[str, Any]) -> str:
    """Return the figures of a table on a pair as a Markdown document; `recipes` are by row."""
    seeds = ", ".join(map(str, found.seeds))
    name = f"{pair.name}-{found.table.name}"
    space = class_space(recipes[found.table.rows[0].name].recipe.space)
    parts = [
        f"# {found.table.title}: {pair.name}",
        f"{_domains(pair, len(space))} Seed{'s' if len(found.seeds) > 1 else ''} {seeds}.",
        _scores(found),
        f"![{found.table.title}: {pair.name}]({name}.svg)",
        "\n".join(f"* {note}" for note in _notes(found, changes)),
        _origins(found, recipes),
    ]
    return "\n\n".join(parts) + "\n"


def _domains(pair: Pair, classes: int) -> str:
    def domain(values: Mapping[str, Any]) -> str:
        height, width = values["size"]
        return f"{values.get('root', values['dataset'])} at {height}x{width}"

    crop = "x".join(map(str, pair.crop))
    return f"From {domain(pair.source)} to {domain(pair.target)}, {classes} classes, crops of {crop}."


def _scores(found: Figures) -> str:
    lines = []
    for line in found.lines:
        cells = [spread(line.miou), spread(over_seeds(line.rare)), line.row.against or ""]
        cells += ["", ""] if line.row.against is None else [spread(over_seeds(line.difference), points), _ahead(line)]
        is_bound = line in (found.lower, found.upper)
        cells += ["" if is_bound else spread(over_seeds(line.share)), duration(line.seconds)]
        lines.append((f"*{line.row.name}*" if is_bound else line.row.name, *cells))
    header = ("row", "mIoU", "rarest", "against", "difference", "ahead in", "share of the gap", "training")
    return markdown(TextTable("", header, tuple(lines), ()))


def _ahead(line: Line) -> str:
    return DASH if line.ahead is None else f"{line.ahead[0]} of {line.ahead[1]}"


def _notes(found: Figures, changes: Mapping[str, Any]) -> list[str]:
    notes = [
        "Scores are mIoU in percent on the labelled split of the target, mean ± standard deviation over the seeds.",
        "*Rarest* is the mean of the classes with the fewest pixels in the source's labels: "
        + ", ".join(f"{name} ({share(part)} %)" for name, part in found.rare.items())
        + ".",
        "*Difference* is in points, seed by seed. *Ahead in* counts the seeds in which it is above zero.",
        "*Share of the gap* is (row - source-only) / (oracle - source-only) in percent, seed by seed, between the "
        "lines in italics. Both have one recipe, and the oracle learns the target's own labels. Each is the better of "
        "two augmentations by its mean score.",
    ]
    if found.worse:
        others = "; ".join(f"{line.row.name} {spread(line.miou)}" for line in found.worse)
        notes.append(f"The augmentations that came out worse: {others}.")
    missing = [
        f"{line.row.name}, seed {seed}" for line in found.lines for seed in found.seeds if seed not in line.scores
    ]
    if missing:
        notes.append(f"Without a score: {'; '.join(missing)}.")
    if changes:
        notes.append(f"All rows that do not change these themselves have {_settings(changes)}.")
    return notes


def _origins(found: Figures, recipes: Mapping[str, RowRecipe]) -> str:
    lines = []
    for line in found.lines:
        recipe = recipes[line.row.name]
        commits = ", ".join(dict.fromkeys(score.commit for score in line.scores.values())) or DASH
        digests = ", ".join(dict.fromkeys(score.digest for score in line.scores.values())) or DASH
        named = _settings({key: value for key, value in recipe.named.items() if key != "chain"})
        named = ", ".join(filter(None, ["the target as source" if line.row.learns_target else "", named]))
        lines.append((line.row.name, f"`{recipe.base}`", named, steps(recipe.recipe), commits, digests))
    header = ("row", "recipe", "changed", "steps", "commit", "digest of the recipe")
    return markdown(TextTable("", header, tuple(lines), ())).replace("---:", "---")  # text, which begins on the left


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"`{key}: {json.dumps(value)}`" for key, value in settings.items())


def steps(recipe: Recipe) -> str:
    """Return the steps of the trainings of a recipe, in the order of its chain."""
    parts = []
    for name in recipe.chain:
        stage = STAGES.get(name)
        if stage is not None and stage.trains:
            times = f"{recipe.rounds} x " if stage.each_round and recipe.rounds > 1 else ""
            parts.append(f"{name} {times}{getattr(recipe, stage.section or name).steps}")
    return ", ".join(parts)


def as_csv(pair: Pair, found: Figures, recipes: Mapping[str, RowRecipe], changes: Mapping[str, Any]) -> str:
    """Return the scores of every row and seed as CSV, percent and points, with a column for each class.

    It has the augmentations that came out worse too. `set` holds the settings that all rows have, as JSON.
    """
    lines = [*found.lines, *found.worse]
    classes = [*next(score.iou for line in lines for score in line.scores.values())]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*COLUMNS, *classes])
    for line in lines:
        for seed, score in sorted(line.scores.items()):
            figures = score.miou, line.rare.get(seed), line.difference.get(seed), line.share.get(seed)
            origin = recipes[line.row.name]
            writer.writerow(
                [pair.name, found.table.name, line.row.name, seed, *map(_figure, figures), f"{score.seconds:.0f}",
                 origin.base, json.dumps(dict(changes)) if changes else "", score.commit, score.digest,
                 *(_figure(score.iou[name]) for name in classes)]
            )  # fmt: skip
    return out.getvalue()


def _figure(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"
