"""Set the page: numbers, charts and pictures of one run, or of several side by side, in one HTML file."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from udaseg.files import atomic
from udaseg.report import scores, wording
from udaseg.report.collect import RunData, collect
from udaseg.report.view import view


def render(data: RunData | Sequence[RunData]) -> str:
    """Write the page of one run, or of several side by side, as a self-contained HTML document.

    Every text from the run is escaped; there are no scripts and no addresses outside the page.
    Raises UdasegError where the evaluations of a run do not score the same classes.
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
        percent=wording.percent,
        points=wording.points,
        share=wording.share,
        count=wording.count,
        duration=wording.duration,
        size=wording.size,
        number=wording.number,
    )
    style = resources.files("udaseg.report").joinpath("report.css").read_text(encoding="utf-8")
    views = [view(run, f"r{i}-" if len(runs) > 1 else "") for i, run in enumerate(runs, 1)]
    return environment.get_template("report.html").render(
        runs=views,
        style=Markup(style),
        spread=scores.spread(runs) if len(runs) > 1 else [],
        shared=_shared_classes(views),
    )


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
    data = [collect(Path(one), images, chain) for one in runs]
    # A run may be called by the same name as another in a different place.
    names = [one.name for one in data]
    html = render([_told_apart(one, names) for one in data])
    with atomic(Path(out)) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return Path(out)


def _told_apart(run: RunData, names: Sequence[str]) -> RunData:
    return replace(run, name=str(run.path)) if names.count(run.name) > 1 else run


def _shared_classes(views: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the adapted IoU of every run by class, where all runs score the same classes."""
    lists = [tuple(row.name for row in one["classes"]) for one in views]
    if len(views) < 2 or not lists[0] or len(set(lists)) > 1:
        return []
    return [
        {"name": name, "scores": [one["classes"][c] for one in views], "colour": views[0]["colours"].get(name)}
        for c, name in enumerate(lists[0])
    ]
