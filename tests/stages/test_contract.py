"""docs/contract.md says what the stages write: held against files of every kind, entry by entry, both ways."""

import json
import re
import runpy
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from udaseg.metrics import DepthErrors
from udaseg.statistics import gmm

ROOT = Path(__file__).parent.parent.parent

CONTRACT = runpy.run_path(str(ROOT / "docs" / "contract.py"))
FILES = {file.file: file for file in CONTRACT["FILES"]}
STAGES = ("warmup", "stylize", "predict", "pseudolabel", "refine", "prototypes", "gmm", "stats", "retrain", "evaluate")
KINDS = {"text": str, "integer": int, "true or false": bool, "object": dict, "null": type(None), "tensor": torch.Tensor}
ABLATED = ("--set", "chain=[warmup,evaluate-warmup]", "--set", "ablation={seen twice: {evaluate.flip: true}}")
ONE = {"texts": "text", "integers": "integer", "numbers": "number", "nulls": "null"}


def fits(value: Any, kind: str, classes: int | None) -> bool:
    """Tell whether a value of JSON is of a kind, such as `list of integers or nulls [C]`."""
    kind, _, dimensions = kind.partition(" [")
    if kind.startswith("list of "):
        if not isinstance(value, list) or (dimensions.startswith("C") and len(value) != classes):
            return False
        inner = kind.removeprefix("list of ") + (f" [{dimensions.partition(', ')[2]}" if ", " in dimensions else "")
        return all(fits(one, inner, classes) for one in value)
    if kind.startswith("lists of "):
        return fits(value, f"list of {kind.removeprefix('lists of ')} [{dimensions}", classes)
    alternatives = [ONE.get(one, one) for one in ([kind] if kind == "true or false" else kind.split(" or "))]
    if "number" in alternatives and isinstance(value, int | float) and not isinstance(value, bool):
        return True
    return "any" in alternatives or any(
        isinstance(value, KINDS[one]) and (isinstance(value, bool) == (KINDS[one] is bool))
        for one in alternatives
        if one in KINDS
    )


def leaves(file, values: dict, prefix: str = "") -> dict[str, Any]:
    """Give the values of nested mappings by their dotted keys, down to those that the contract names."""
    found = {}
    for key, value in values.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, dict) and entry(file, dotted) is None and value:
            found |= leaves(file, value, f"{dotted}.")
        else:
            found[dotted] = value
    return found


def entry(file, key: str):
    """Find what the contract says of a key; `<...>` stands for any name."""
    exact = [one for one in file.entries if one.key == key]
    patterns = [(re.sub(r"<\w+>", "\0", one.key), one) for one in file.entries if "<" in one.key]
    matching = [one for text, one in patterns if re.fullmatch(re.escape(text).replace("\0", r"[^@]+"), key)]
    return next(iter([*exact, *matching]), None)


def check(name: str, values: dict, cases: tuple[str, ...] = ()) -> None:
    """Hold a mapping against the contract; `cases` are those in which conditional entries have to be there."""
    file = FILES[name]
    found, classes = leaves(file, values), len(values.get("classes") or values.get("names") or ())
    assert [key for key in found if entry(file, key) is None] == []
    classes = classes or len(values.get("meta", {}).get("classes", ()))
    wrong = {key: value for key, value in found.items() if not fits(value, entry(file, key).kind, classes)}
    assert wrong == {}
    said = {entry(file, key).key for key in found}
    due = {one.key for one in file.entries if not one.when or any(case in one.when.split(", ") for case in cases)}
    assert due - said - {"<term>"} == set()


def check_h5(path: Path, case: str = "") -> None:
    """Hold an HDF5 file against the contract, in the case in which it has some conditional entries."""
    file, found = FILES[path.name], {}
    with h5py.File(path) as stored:
        stored.visititems(lambda key, node: found.update({key: node}) if isinstance(node, h5py.Dataset) else None)
        sizes = {"C": len(stored.attrs["classes"])}
        names = [f"@{key}" for key in stored.attrs]
        for key, node in found.items():
            one = entry(file, key)
            dtype, shape = re.fullmatch(r"(\w+) \[(.*)\]", one.kind).groups()
            letters = shape.split(", ")
            assert (node.dtype, node.ndim) == (np.dtype(dtype), len(letters)), key
            for letter, size in zip(letters, node.shape, strict=True):
                assert size == (int(letter) if letter.isdigit() else sizes.setdefault(letter, size)), key
            names += [key, *(f"{key}@{name}" for name in node.attrs if name != "zeros")]
    entries = [entry(file, key) for key in names]
    assert None not in entries
    assert {one.key for one in entries} == {one.key for one in file.entries if one.when in ("", case)}


def read(path: str) -> dict:
    return json.loads(Path(path).read_text())


def test_the_document_is_up_to_date():
    assert CONTRACT["DOCUMENT"].read_text() == CONTRACT["markdown"](), "run `make docs`"


def test_every_value_is_described():
    assert [(file.file, entry.key) for file in FILES.values() for entry in file.entries if not entry.meaning] == []


@pytest.mark.parametrize("stage", STAGES)
def test_manifests_and_lists_of_files(finished, stage):
    for name in ("manifest.json", "outputs.json"):
        check(name, json.loads((finished / "runs/tiny" / stage / name).read_text()))


def test_files_of_the_chain(workspace, udaseg):
    run = "runs/tiny"
    check("run.json", read(f"{run}/run.json"))
    check("refine.json", read(f"{run}/refine/refine.json"))
    check("stats.json", read(f"{run}/stats/stats.json"), ("always; optional to read",))
    check("metrics.json", read(f"{run}/evaluate/metrics.json"))
    check("metrics.json", read(f"{run}/evaluate/metrics.json") | {"depth": DepthErrors().document()})
    for stage in ("warmup", "retrain"):
        check("model.pt", torch.load(f"{run}/{stage}/model.pt", weights_only=True))
        check("state.pt", torch.load(f"{run}/{stage}/state.pt", weights_only=True))
        for line in Path(run, stage, "log.jsonl").read_text().splitlines():
            check("log.jsonl", json.loads(line))
    for line in Path(run, "stylize/pairs.jsonl").read_text().splitlines():
        check("pairs.jsonl", json.loads(line))
    check_h5(Path(run, "predict/predictions.h5"), "logits")
    assert udaseg("predict --store confidence --out bytes").code == 0
    check_h5(Path("bytes/predictions.h5"), "confidence")
    check_h5(Path(run, "prototypes/prototypes.h5"))
    assert udaseg("prior").code == 0
    check_h5(Path(run, "prior/prior.h5"))
    for path in [*Path(run).glob("*/labels/*.png")]:
        if path.parent.parent.name in ("pseudolabel", "refine"):
            with Image.open(path) as label:
                assert label.mode == "P"


@pytest.mark.parametrize("policy", ["st", "st-sp", "cbst", "cbst-sp", "percentile", "iast"])
def test_thresholds(workspace, udaseg, policy):
    assert udaseg(f"pseudolabel --policy {policy}").code == 0
    check("thresholds.json", read("runs/tiny/pseudolabel/thresholds.json"), (policy,))


def test_gmm(tmp_path):
    shape = (3, 2)
    fitted = gmm.Gmm(np.full(shape, 0.5), np.ones((*shape, 3)), np.ones((*shape, 3)), ("a", "b", "c"), (4, 8))
    gmm.write(tmp_path / "gmm.h5", fitted)
    check_h5(tmp_path / "gmm.h5")


def test_what_commands_write_that_are_no_stages(workspace, udaseg):
    assert udaseg("ablate --seeds 0", *ABLATED).code == 0
    check("ablation/ablation.json", read("runs/tiny/ablation/ablation.json"))
    image = next(Path("data").rglob("*_leftImg8bit.png"))
    assert udaseg(f"apply runs/tiny/retrain {image} --out labelled", tiny=False).code == 0
    check("classes.yaml", yaml.safe_load(Path("labelled/classes.yaml").read_text()), ("written by `apply`; optional",))
    scored = f"--labels labelled/labels --source {image} --source-labels labelled/labels"
    assert udaseg(f"adapt runs/tiny/retrain {image} --out adapted {scored}", tiny=False).code == 0
    check("adapt.json", read("adapted/adapt.json"), ("with `--labels`", "with `--source`"))
    check("model.pt", torch.load("adapted/model.pt", weights_only=True))
