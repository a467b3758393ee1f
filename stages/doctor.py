"""udaseg doctor: look at packages, devices, disks and data, and at what each recipe still needs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.errors import UdasegError
from udaseg.pipeline import chain, datasets, toytown
from udaseg.pipeline.chain_weights import weights_problems

from .terminal.command import open_plain_run

if TYPE_CHECKING:
    from udaseg.pipeline.doctor import Finding


def _lacking(names: list[str], data: str | None) -> tuple[list[dict[str, Any]], "list[Finding]"]:
    """Return a row for each recipe, with the numbers of its findings from 0, and the findings, one for each fix."""
    from udaseg.pipeline.doctor import Finding, weights

    known: dict[tuple, dict[str, UdasegError]] = {}
    findings: dict[str, Finding] = {}
    rows = []
    for name in names:
        run = open_plain_run(name, data=data)
        recipe, lacks = run.recipe, []
        if not toytown.uses_toytown(run):  # which is rendered where it is missing
            sides = (recipe.source, recipe.sources, recipe.target, recipe.space, recipe.data)
            lacks = [(error.hint, what) for what, error in known.setdefault(sides, datasets.data_problems(run)).items()]
        lacks += [(error.hint, error.message) for error in weights_problems(chain.steps(run))]
        foundation = recipe.retrain.foundation if "retrain" in recipe.chain else None
        for model in (recipe.model, *([foundation.network] if foundation else ())):
            if model.weights == "imagenet" and (absent := weights(model.encoder_name)):
                lacks.append((absent.fix, absent.what))
        for fix, what in lacks:
            before = findings.get(fix, Finding("", fix))
            said = before.what.split("\n") if before.what else []
            own = before.recipes if name in before.recipes else (*before.recipes, name)
            findings[fix] = Finding("\n".join(dict.fromkeys([*said, what])), fix, own)
        numbers = sorted({list(findings).index(fix) for fix, _ in lacks})
        rows.append({"recipe": name, "scale": recipe.scale, "lacks": numbers, "toy": _has_toy(name)})
    return rows, list(findings.values())


def _has_toy(name: str) -> bool:
    try:
        return load_recipe(name, scale="toy").scale == "toy"
    except UdasegError:
        return False


def command(
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Look at this recipe alone.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="The directory that holds the datasets.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Say what is installed, what computes, which data are here, and what each recipe still lacks, with the way out.

    Exits with 1 where something is broken, or where the recipe that --recipe names lacks something.

    Example: udaseg doctor --data /datasets
    """
    from udaseg.pipeline import doctor

    installed, broken = doctor.versions()
    machine, idle = doctor.devices() if installed.get("torch") else ({}, [])
    root = Path(data or "data")
    room, full = doctor.disk({"data": root, "run": Path("runs")})
    there = doctor.datasets(root)
    rows, lacks = _lacking([recipe] if recipe else list(shipped_recipes()), data)
    wrong = [*broken, *idle, *full]
    for row in rows:
        row["lacks"] = [number + len(wrong) + 1 for number in row["lacks"]]
    ok = not (wrong or (recipe and lacks))
    findings = [{"number": i, **one._asdict()} for i, one in enumerate([*wrong, *lacks], 1)]
    if as_json:
        said = {"ok": ok, "versions": installed, "machine": machine, "disk": room, "data": there, "recipes": rows}
        print(json.dumps({**said, "findings": findings}, indent=1, ensure_ascii=False))
    else:
        _print(installed, machine, room, root, there)
        _print_recipes(rows)
        _print_findings(findings)
        missing = f"{_things(lacks)} missing for some recipes" if lacks else "nothing is missing"
        print(f"\n{f'{_things(wrong)} broken' if wrong else 'nothing is broken'}, {missing}")
    if not ok:
        raise typer.Exit(1)


def _things(found: list[Any]) -> str:
    return "1 thing is" if len(found) == 1 else f"{len(found)} things are"


def _print(
    installed: dict[str, str | None],
    machine: dict[str, Any],
    room: dict[str, dict[str, Any]],
    root: Path,
    there: list[dict[str, Any]],
) -> None:
    print("versions: " + ", ".join(f"{name} {version or 'missing'}" for name, version in installed.items()))
    if machine:
        gpus = ", ".join(f"{gpu['name']} with {gpu['bytes'] / 1e9:.0f} GB" for gpu in machine["gpus"]) or "no GPU"
        cores = f"{machine['cores']} cores with {machine['bytes'] / 1e9:.0f} GB"
        print(f"devices:  {gpus}; {cores}; computes on {machine['device']} in {machine['precision']}")
    print("disk:     " + ", ".join(f"{one['free'] / 1e9:.0f} GB free for {one['path']}" for one in room.values()))
    print(f"data:     {'' if there else f'no dataset in {root}'}", end="" if there else "\n")
    for i, one in enumerate(there):
        splits = [_split(name, **counts) for name, counts in one["splits"].items()]
        print(f"{' ' * 10 if i else ''}{one['dataset']} in {one['path']}: {', '.join(splits) or 'no split'}")


def _split(name: str, images: int, published: int | None) -> str:
    return f"{name} {images}" + (f" of {published}" if published and images < published else "")


def _print_recipes(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    from .terminal.tables import console

    alike: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        lacks = "lacks " + ", ".join(map(str, row["lacks"])) if row["lacks"] else "yes"
        without = "" if row["scale"] == "toy" else "--scale toy" if row["toy"] else "no"
        alike.setdefault((lacks, without), []).append(row["recipe"])
    table = Table("can be run", "without data", "recipes", box=None)
    for (lacks, without), names in alike.items():
        table.add_row(lacks, without, ", ".join(names))
    print()
    console().print(table)


def _print_findings(findings: list[dict[str, Any]]) -> None:
    for one in findings:
        what = one["what"].replace("\n", "\n   ")
        print(f"\n{one['number']}. {what}\n   fix: {one['fix']}")
        if one["recipes"]:
            shown = ", ".join(one["recipes"][:6])
            more = len(one["recipes"]) - 6
            print(f"   for: {shown}" + (f" and {more} more" if more > 0 else ""))
