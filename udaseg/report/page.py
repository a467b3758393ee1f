"""Write the report page: numbers, charts and images of one run, or of several side by side."""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from udaseg.io.files import atomic
from udaseg.pipeline import format
from udaseg.report import seeds
from udaseg.report.image_panels import Panel, panels
from udaseg.report.page_values import SERIES, view
from udaseg.report.run_data import RunData, collect
from udaseg.report.scores import evaluations
from udaseg.report.svg import spreads

MAX_RUNS = 8  # whose predictions are shown side by side


def render(data: RunData | Sequence[RunData], shared_panels: Sequence[Panel] = ()) -> str:
    """Return the page of one run, or of several side by side, as a self-contained HTML document.

    `shared_panels` are images that all runs were scored on, with the prediction of each run. Texts from the runs are
    escaped. The page reads nothing from elsewhere, and runs no script but its own for sliders. Raises UdasegError where
    the evaluations of a run score different classes.
    """
    runs = [data] if isinstance(data, RunData) else list(data)
    environment = Environment(
        loader=PackageLoader("udaseg.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        percent=format.percent,
        points=format.points,
        share=format.share,
        count=format.count,
        duration=format.duration,
        moment=format.moment,
        size=format.size,
        number=format.number,
    )
    style = "\n".join(map(style_sheet, ("colours", "report", "charts")))
    script = resources.files("udaseg.report").joinpath("slider.js").read_text(encoding="utf-8")
    views = [view(run, f"r{i}-" if len(runs) > 1 else "") for i, run in enumerate(runs, 1)]
    return environment.get_template("report.html").render(
        runs=views,
        style=Markup(style),
        script=Markup(script),
        policy=_policy(script),
        spread=seeds.spread(runs) if len(runs) > 1 else [],
        shared=_shared_classes(views),
        by_class=_by_class(runs) if len(runs) > 1 else None,
        shared_panels=shared_panels,
    )


def _policy(script: str) -> str:
    """Return the policy by which a browser runs this script alone, and reads nothing from elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"


def style_sheet(name: str) -> str:
    """Return a style sheet of the page: colours, report, or charts, which a drawing needs beside colours."""
    return resources.files("udaseg.report").joinpath(f"{name}.css").read_text(encoding="utf-8")


def write(
    run: Path | Sequence[Path],
    out: Path,
    images: Mapping[str, Path] | None = None,
    chain: Sequence[str] | None = None,
) -> Path:
    """Write the report of a run, or of several, to `out` in one piece, and return that path.

    `images` and `chain` are those of `collect`. Raises UdasegError as `collect` and `render` do.
    """
    runs = [run] if isinstance(run, str | Path) else list(run)
    return save([collect(Path(one), images, chain) for one in runs], out)


def save(data: Sequence[RunData], out: Path) -> Path:
    """Write the report of collected runs to `out` in one piece, and return that path."""
    names = [one.name for one in data]
    html = render([_with_distinct_name(one, names) for one in data], _shared_panels(data))
    with atomic(Path(out)) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")
    return Path(out)


def _with_distinct_name(run: RunData, names: Sequence[str]) -> RunData:
    """Return a run, named by its path where another run has the same name."""
    return replace(run, name=str(run.path)) if names.count(run.name) > 1 else run


def _shared_panels(data: Sequence[RunData]) -> tuple[Panel, ...]:
    """Return the images, scored by all runs, on which the runs differ most."""
    stages = [one.evaluation("adapted") or one.evaluation("source") for one in data]
    if len(data) < 2 or len(data) > MAX_RUNS or None in stages:
        return ()
    return panels([stage.folder for stage in stages], common=True)


def _by_class(runs: Sequence[RunData]) -> dict[str, Any] | None:
    """Draw the IoU of every class in every experiment with its spread over seeds, the best class first.

    None where the runs score different classes, or where the experiments are more than the colours of the page.
    """
    groups = seeds.experiments(runs)
    values = [seeds.classes_over_seeds(group) for group in groups]
    classes = {tuple(next(iter(evaluations(run).values())).classes) for run in runs if evaluations(run)}
    if len(groups) > SERIES or None in values or len(classes) > 1:
        return None
    rows = [(name, list(row)) for name, row in zip(classes.pop(), zip(*values, strict=True), strict=True)]
    rows = [row for row in rows if any(row[1])]
    rows.sort(key=lambda row: -(row[1][0] or (0.0, 0.0))[0])
    series = [f"s{i}" for i in range(len(groups))]
    return {
        "chart": spreads(rows, series, "IoU of every class in every run, with its spread over seeds"),
        "legend": [(style, ", ".join(run.name for run in group)) for style, group in zip(series, groups, strict=True)],
        "seeds": any(len(group) > 1 for group in groups),
    }


def _shared_classes(views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the adapted IoU of every run by class, where all runs score the same classes."""
    lists = [tuple(row.name for row in one["classes"]) for one in views]
    if len(views) < 2 or not lists[0] or len(set(lists)) > 1:
        return []
    return [
        {"name": name, "scores": [one["classes"][c] for one in views], "colour": views[0]["colours"].get(name)}
        for c, name in enumerate(lists[0])
    ]
