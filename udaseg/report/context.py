"""Turn a run into what the template shows: tables, charts, captions."""

import json
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from markupsafe import Markup

from udaseg.errors import UdasegError
from udaseg.labels import class_space
from udaseg.report import scores
from udaseg.report.collect import ROLES, TRAINING, RunData, Stage
from udaseg.report.curves import accuracies, confident, curves, ellipses, terms
from udaseg.report.denoising import legend, summary
from udaseg.report.depths import depth_errors, distances
from udaseg.report.rounds import across
from udaseg.report.svg import bars, dots, heat, interval

KEY_NUMBERS = 6  # metrics of a stage shown in the lineage's table; its details list them all
SERIES = 8  # curves that the style sheet can tell apart


def view(run: RunData, prefix: str) -> dict[str, Any]:
    """Return the template's values for one run. `prefix` keeps the anchors of several runs apart."""
    found = scores.evaluations(run)
    labelling = [shown for number in _rounds(run) if (shown := _labelling(run, number))]
    names = _class_names(run)
    warmed_up = run.evaluation("source") is run.last("evaluate-warmup") is not None
    return {
        "run": run,
        "prefix": prefix,
        "seed": scores.seed(run),
        "seconds": sum(stage.manifest.get("seconds") or 0 for stage in run.stages if stage.manifest),
        "unfinished": [stage.name for stage in run.stages if not stage.manifest],
        "skipped": [stage for stage in run.stages if stage.skipped],
        "warnings": [(stage.name, _warnings(stage)) for stage in run.stages if _warnings(stage)],
        "colours": _colours(run, names),
        **_scores(found),
        "depth": depth_errors(found),
        **_confusions(found),
        "roles": {role: run.evaluation(role) for role in ROLES},
        "evaluations": (evaluations := _evaluations(run)),
        "conventions": list(dict.fromkeys(str(one["convention"]) for one in evaluations if one["convention"])),
        "stylised_baseline": warmed_up and _uses_stylised(run.last("warmup")),
        "aligned_baseline": warmed_up and run.aligned,
        "warned": {name for part in labelling for name, _ in part["warnings"]},  # those shown beside their labels
        "labelling": labelling,
        "rounds": across(labelling),
        "denoising": run.denoising and summary(run.denoising, names),
        "kinds": {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in legend(run.denoising).items()},
        "training": [_training(stage) for stage in run.stages if stage.kind in TRAINING and stage.log],
        "mixtures": _mixtures(run),
        "lineage": [_lineage(stage) for stage in run.stages],
        "commands": _commands(run),
        "environments": _environments(run),
    }


def _commands(run: RunData) -> list[str]:
    """List the commands that made the stages; one that made several is needed once."""
    said = [
        (s.manifest.get("command") or f"# {s.name} has no command in its manifest") for s in run.stages if s.manifest
    ]
    return list(dict.fromkeys(map(str, said)))


def _scores(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if not found:
        return {"headline": None, "means": [], "classes": [], "absent": [], "bars": "", "interval": "", "models": []}
    classes, means = scores.class_scores(found), scores.mean_scores(found)
    best = "adapted" if "adapted" in found else next(iter(found))
    present = [row for row in classes if getattr(row, best) is not None]
    present.sort(key=lambda row: -getattr(row, best))
    shown = [role for role in ("source", "adapted") if role in found] or [best]
    named = {"source": "source-only", "adapted": "adapted", "oracle": "oracle"}
    chart = Markup("")
    if present:
        chart = bars(
            [(row.name, [getattr(row, role) for role in shown]) for row in present],
            shown,
            [row.oracle if shown != ["oracle"] else None for row in present],
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
        "models": [(role, words) for role, words in named.items() if role in found],
    }


def _confusions(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    result = found.get("adapted") or found.get("source")
    if result is None:
        return {"confusion": Markup(""), "confused": [], "confusion_of": None}
    chart = heat(result["classes"], scores.confusion_shares(result), "confusion matrix, rows are the truth")
    return {
        "confusion": chart,
        "confused": scores.largest_confusions(result, 5),
        "confusion_of": "adapted" if "adapted" in found else "source-only",
    }


def _evaluations(run: RunData) -> list[dict[str, Any]]:
    base = run.evaluation("source")
    start = base.result.get("miou") if base else None
    shown = []
    own = [stage for stage in run.stages if stage.kind == "evaluate" and stage.result]
    for stage in (*own, *run.bounds.values()):
        miou = stage.result.get("miou")
        delta = None if None in (miou, start) or stage is base else miou - start
        known = {key: stage.result.get(key) for key in ("miou", "pixel_accuracy", "images", "convention")}
        known["model"] = _input_paths(stage).get("model")
        shown.append({"name": stage.name, "delta": delta, **known})
    return shown


def _labelling(run: RunData, number: int) -> dict[str, Any] | None:
    stages = {s.kind: s for s in run.stages if s.round == number and s.result and s.kind in ("pseudolabel", "refine")}
    pseudo, refine = stages.get("pseudolabel"), stages.get("refine")
    rows = scores.label_rows(pseudo, refine)
    if not rows:
        return None
    base = [(row.name, row.predicted or 0, row.kept, row.refined) for row in rows]
    kept = [(name, [_part(part, total) for part in parts]) for name, total, *parts in base]
    used = [i for i, stage in enumerate((pseudo, refine)) if stage]
    series = ["kept", "refined"]
    dotted = [(0, "ring"), (1, "kept"), (2, "refined")]
    dotted = [(i, style) for i, style in dotted if any(row.shares[i] is not None for row in rows)]
    total = sum(row.predicted or 0 for row in rows)
    return {
        "round": number,
        "rows": rows,
        "pseudo": pseudo,
        "refine": refine,
        "warnings": [(stage.name, _warnings(stage)) for stage in (pseudo, refine) if stage and _warnings(stage)],
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
            [(row.name, [row.shares[i] for i, _ in dotted]) for row in rows],
            [style for _, style in dotted],
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
        "confident": _shares(stage, confident(stage.log), "the share of the labels made online by {} that were sure"),
    }


def _shares(stage: Stage, names: Sequence[str], label: str) -> dict[str, Any] | None:
    """Draw what of a training's log lies between 0 and 1, where there is any of it."""
    if not names:
        return None
    finals = [next(r[name] for r in reversed(stage.log) if r.get(name) is not None) for name in names]
    chart = curves(stage.log, names, f"{label.format(stage.name)}, over its steps", shares=True)
    return {"chart": chart, "legend": list(zip(names, finals, strict=True))}


def _mixtures(run: RunData) -> list[dict[str, Any]]:
    if run.mixtures is None:
        return []
    fitted = [c for c in range(len(run.mixtures.classes)) if run.mixtures.fitted(c)]
    return [
        {
            "name": run.mixtures.classes[c],
            "chart": ellipses(run.mixtures, c),
            "distances": distances(run.mixtures, c),
            "metres": run.mixtures.metres(c),
        }
        for c in fitted
    ]


def _lineage(stage: Stage) -> dict[str, Any]:
    manifest = stage.manifest or {}
    metrics = {k: v for k, v in (manifest.get("metrics") or {}).items() if k != "skipped"}
    plain = [(key, value) for key, value in metrics.items() if isinstance(value, int | float | str)]
    return {
        "stage": stage,
        "state": "unfinished" if stage.manifest is None else "skipped" if stage.skipped else "done",
        "numbers": plain[:KEY_NUMBERS],
        "settings": _lines(manifest.get("settings")),
        "metrics": _lines(metrics),
        "inputs": {name: given for name, given in (manifest.get("inputs") or {}).items() if isinstance(given, dict)},
        "outputs": manifest.get("outputs") or {},
        "manifest": manifest,
    }


def _environments(run: RunData) -> list[tuple[list[str], dict[str, Any]]]:
    """Group the stages by the environment they ran in."""
    groups: dict[str, tuple[list[str], dict[str, Any]]] = {}
    for stage in (stage for stage in run.stages if stage.manifest):
        values = {**(stage.manifest.get("environment") or {}), "udaseg": stage.manifest.get("version")}
        groups.setdefault(json.dumps(values, sort_keys=True), ([], values))[0].append(stage.name)
    return list(groups.values())


def _warnings(stage: Stage) -> list[str]:
    return list((stage.manifest or {}).get("warnings") or ())


def _class_names(run: RunData) -> list[str]:
    return next((stage.result["classes"] for stage in reversed(run.stages) if stage.result), [])


def _colours(run: RunData, names: list[str]) -> dict[str, str]:
    """Name the colour of each class: that of the label images, else that of the class space."""
    palette = run.palette
    if not palette and names:
        try:
            palette = class_space(names).palette
        except UdasegError:
            return {}  # names that cannot be a class space still have their numbers shown
    return {name: "#{:02x}{:02x}{:02x}".format(*rgb) for name, rgb in zip(names, palette or (), strict=False)}


def _rounds(run: RunData) -> list[int]:
    return sorted({stage.round for stage in run.stages})


def _uses_stylised(warmup: Stage | None) -> bool:
    return warmup is not None and any(PurePath(path).name == "stylize" for path in _input_paths(warmup).values())


def _input_paths(stage: Stage) -> dict[str, str]:
    return {
        name: str(given.get("path"))
        for name, given in (stage.manifest.get("inputs") or {}).items()
        if isinstance(given, dict)
    }


def _part(part: int | None, total: int) -> float | None:
    return None if part is None or not total else part / total


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf")


def _lines(values: Any) -> str:
    return json.dumps(values, indent=1, ensure_ascii=False) if values else ""
