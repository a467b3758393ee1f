"""Turn a run into the values of the template: tables, charts, captions."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from udaseg.errors import UdasegError, join_names
from udaseg.io.documents.metrics import Metrics
from udaseg.labels import class_space
from udaseg.report import scores, seeds
from udaseg.report.denoising import legend, summary
from udaseg.report.depth_charts import distances, ellipses, has_mixture, mean_distance
from udaseg.report.depth_errors import depth_errors
from udaseg.report.label_counts import label_rows
from udaseg.report.rounds import across
from udaseg.report.run_data import ROLES, TRAINING, RunData, Stage
from udaseg.report.section_values import calibration, changes, features
from udaseg.report.svg import bars, dots, heat, interval
from udaseg.report.training_curves import accuracies, confident, curves, terms

KEY_NUMBERS = 6  # metrics of a stage shown in the lineage's table; its details list them all
SERIES = 8  # curves that the style sheet can tell apart


def view(run: RunData, prefix: str) -> dict[str, Any]:
    """Return the template's values for one run. `prefix` makes the anchors of several runs different."""
    metrics = scores.evaluations(run)
    labelling = [part for number in _rounds(run) if (part := _labelling(run, number))]
    names = _class_names(run)
    colours = _colours(run, names)
    is_warmup_baseline = run.evaluation("source") is run.last("evaluate-warmup") is not None
    return {
        "run": run,
        "prefix": prefix,
        "seed": seeds.seed(run),
        "sources": _sources(run),
        "seconds": sum(stage.manifest.seconds for stage in run.stages if stage.manifest),
        "unfinished": [stage.name for stage in run.stages if not stage.manifest],
        "skipped": [stage for stage in run.stages if stage.skipped],
        "warnings": [(stage.name, stage.warnings) for stage in run.stages if stage.warnings],
        "colours": colours,
        **_scores(metrics),
        "changes": changes(metrics),
        "features": features(run.features, colours),
        "calibration": calibration(run),
        "depth": depth_errors(metrics),
        **_confusions(metrics),
        "roles": {role: run.evaluation(role) for role in ROLES},
        "evaluations": (evaluations := _evaluations(run)),
        "conventions": list(dict.fromkeys(one["convention"] for one in evaluations)),
        "stylised_baseline": is_warmup_baseline and _uses_stylised(run.last("warmup")),
        "aligned_baseline": is_warmup_baseline and run.is_warmup_aligned,
        "warned": {name for part in labelling for name, _ in part["warnings"]},  # listed beside their labels
        "labelling": labelling,
        "rounds": across(labelling),
        "denoising": run.denoising and summary(run.denoising, names),
        "kinds": {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in legend(run.denoising).items()},
        "training": [_training(stage) for stage in run.stages if stage.kind in TRAINING and stage.log],
        "gmm": _gmm(run),
        "lineage": [_lineage(stage) for stage in run.stages],
        "commands": _commands(run),
        "environments": _environments(run),
    }


def _sources(run: RunData) -> list[str]:
    """Describe the sources of the last training that read several; none where all read one."""
    trainings = [stage.manifest.settings for stage in run.stages if stage.kind in TRAINING and stage.manifest]
    several = next((settings["sources"] for settings in reversed(trainings) if settings.get("sources")), {})
    total = sum(one.get("share") or 0 for one in several.values())
    texts = []
    for name, one in several.items():
        share = f"{one['share'] / total:.1%} of the draws" if one.get("share") else "drawn by its number of images"
        lacks = f", cannot label {join_names(one['missing'], 20)}" if one.get("missing") else ""
        texts.append(f"{name} ({share}{lacks})")
    return texts


def _commands(run: RunData) -> list[str]:
    """List the commands of the stages in their order, each once."""
    finished = [stage for stage in run.stages if stage.manifest]
    commands = [stage.manifest.command or f"# {stage.name} has no command in its manifest" for stage in finished]
    return list(dict.fromkeys(commands))


def _scores(metrics: dict[str, Metrics]) -> dict[str, Any]:
    if not metrics:
        return {"headline": None, "means": [], "classes": [], "absent": [], "bars": "", "interval": "", "models": []}
    classes, means = scores.class_scores(metrics), scores.mean_scores(metrics)
    best = "adapted" if "adapted" in metrics else next(iter(metrics))
    present = [row for row in classes if getattr(row, best) is not None]
    present.sort(key=lambda row: -getattr(row, best))
    drawn = [role for role in ("source", "adapted") if role in metrics] or [best]
    named = {"source": "source-only", "adapted": "adapted", "oracle": "oracle"}
    chart = Markup("")
    if present:
        chart = bars(
            [(row.name, [getattr(row, role) for role in drawn]) for row in present],
            drawn,
            [row.oracle if drawn != ["oracle"] else None for row in present],
            "IoU of every class, best class first",
        )
    head = means[0]
    axis = interval(head.source, head.adapted, head.oracle) if head.delta is not None else Markup("")
    absent = [row.name for row in classes if (row.source, row.adapted, row.oracle) == (None, None, None)]
    return {
        "headline": head,
        "means": means,
        "classes": classes,
        "absent": absent,
        "bars": chart,
        "interval": axis,
        "models": [(role, words) for role, words in named.items() if role in metrics],
    }


def _confusions(metrics: dict[str, Metrics]) -> dict[str, Any]:
    result = metrics.get("adapted") or metrics.get("source")
    if result is None:
        return {"confusion": Markup(""), "confused": [], "confusion_of": None}
    chart = heat(result.classes, scores.confusion_shares(result), "confusion matrix, rows are the truth")
    return {
        "confusion": chart,
        "confused": scores.largest_confusions(result, 5),
        "confusion_of": "adapted" if "adapted" in metrics else "source-only",
    }


def _evaluations(run: RunData) -> list[dict[str, Any]]:
    base = run.evaluation("source")
    start = base.result.miou if base else None
    rows = []
    scored = [stage for stage in run.stages if stage.kind == "evaluate" and stage.result]
    for stage in (*scored, *run.bounds.values()):
        miou = stage.result.miou
        delta = None if None in (miou, start) or stage is base else miou - start
        keys = ("miou", "miou_interval", "last", "pixel_accuracy", "images", "convention")
        values = {key: getattr(stage.result, key) for key in keys}
        rows.append({"name": stage.name, "delta": delta, "model": stage.inputs.get("model"), **values})
    return rows


def _labelling(run: RunData, number: int) -> dict[str, Any] | None:
    stages = {s.kind: s for s in run.stages if s.round == number and s.result and s.kind in ("pseudolabel", "refine")}
    pseudo, refine = stages.get("pseudolabel"), stages.get("refine")
    rows = label_rows(pseudo, refine)
    if not rows:
        return None
    base = [(row.name, row.predicted or 0, row.kept, row.refined) for row in rows]
    kept = [(name, [_part(part, total) for part in parts]) for name, total, *parts in base]
    used = [i for i, stage in enumerate((pseudo, refine)) if stage]
    series = ["kept", "refined"]
    dot_styles = [(0, "ring"), (1, "kept"), (2, "refined")]
    dot_styles = [(i, style) for i, style in dot_styles if any(row.shares[i] is not None for row in rows)]
    total = sum(row.predicted or 0 for row in rows)
    return {
        "round": number,
        "rows": rows,
        "pseudo": pseudo,
        "refine": refine,
        "warnings": [(stage.name, stage.warnings) for stage in (pseudo, refine) if stage and stage.warnings],
        "total": total,
        "kept": _part(sum(row.kept or 0 for row in rows), total),
        "refined": _part(sum(row.refined or 0 for row in rows), total) if refine else None,
        "bars": bars(
            [(name, [parts[i] for i in used]) for name, parts in kept],
            [series[i] for i in used],
            [None] * len(rows),
            "share of each class's predicted pixels that become training labels",
        )
        if total
        else Markup(""),
        "dots": dots(
            [(row.name, [row.shares[i] for i, _ in dot_styles]) for row in rows],
            [style for _, style in dot_styles],
            "share of each class among predicted, pseudo-labelled and refined pixels",
        ),
    }


def _training(stage: Stage) -> dict[str, Any]:
    names = terms(stage.log)[:SERIES]
    finals = [next((r[name] for r in reversed(stage.log) if r.get(name) is not None), None) for name in names]
    broken = next((r["step"] for r in stage.log if r.get("loss") is not None and not _finite(r["loss"])), None)
    return {
        "name": stage.name,
        "finished": stage.manifest is not None,
        "steps": stage.log[-1]["step"],
        "chart": curves(stage.log, names, f"losses of {stage.name} over its steps"),
        "legend": list(zip(names, finals, strict=True)),
        "broken": broken,
        "accuracy": _shares(stage, accuracies(stage.log), "how often the discriminator of {} was right"),
        "confident": _shares(
            stage, confident(stage.log), "the share of confident labels among the online labels of {}"
        ),
    }


def _shares(stage: Stage, names: Sequence[str], label: str) -> dict[str, Any] | None:
    """Draw the entries of a training's log that lie between 0 and 1; None without any."""
    if not names:
        return None
    finals = [next(r[name] for r in reversed(stage.log) if r.get(name) is not None) for name in names]
    chart = curves(stage.log, names, f"{label.format(stage.name)}, over its steps", shares=True)
    return {"chart": chart, "legend": list(zip(names, finals, strict=True))}


def _gmm(run: RunData) -> list[dict[str, Any]]:
    if run.gmm is None:
        return []
    return [
        {
            "name": name,
            "chart": ellipses(run.gmm, c),
            "distances": distances(run.gmm, c),
            "metres": mean_distance(run.gmm, c),
        }
        for c, name in enumerate(run.gmm.classes)
        if has_mixture(run.gmm, c)
    ]


def _lineage(stage: Stage) -> dict[str, Any]:
    manifest = stage.manifest
    if manifest is None:
        return {"name": stage.name, "state": "unfinished", "manifest": None, "numbers": []}
    metrics = {key: value for key, value in manifest.metrics.items() if key != "skipped"}
    plain = [(key, value) for key, value in metrics.items() if isinstance(value, int | float | str)]
    return {
        "name": stage.name,
        "state": "skipped" if stage.skipped else "done",
        "manifest": manifest,
        "numbers": plain[:KEY_NUMBERS],
        "settings": _indented(manifest.settings),
        "metrics": _indented(metrics),
    }


def _environments(run: RunData) -> list[tuple[list[str], dict[str, Any]]]:
    """Group the stages by the environment they ran in."""
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for stage in (stage for stage in run.stages if stage.manifest):
        values = {**stage.manifest.environment, "udaseg": stage.manifest.version}
        groups.setdefault(json.dumps(values, sort_keys=True), ([], values))[0].append(stage.name)
    return list(groups.values())


def _class_names(run: RunData) -> list[str]:
    """Return the classes of the run's last result, or those of its networks."""
    without = [] if isinstance(run.features, str) else list(run.features.classes)
    return next((stage.result.classes for stage in reversed(run.stages) if stage.result), without)


def _colours(run: RunData, names: list[str]) -> dict[str, str]:
    """Return the colour of each class, from the label images or else from the class space."""
    palette = run.palette
    if not palette and names:
        try:
            palette = class_space(names).palette
        except UdasegError:
            return {}  # names that cannot be a class space have no colours
    return {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in zip(names, palette or (), strict=False)}


def _rounds(run: RunData) -> list[int]:
    return sorted({stage.round for stage in run.stages})


def _uses_stylised(warmup: Stage | None) -> bool:
    return warmup is not None and any(PurePath(path).name == "stylize" for path in warmup.inputs.values())


def _part(part: int | None, total: int) -> float | None:
    return None if part is None or not total else part / total


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf")


def _indented(values: Any) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) if values else ""
