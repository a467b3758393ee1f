"""Two rows and their bounds on a tiny toytown, from nothing to the table; one that fails; stopping and going on."""

import contextlib
import csv
import json
import shutil
from pathlib import Path

import pytest

from udaseg.io.locks import LockedError
from udaseg.pipeline import chain
from udaseg.stages.terminal.command import open_plain_run

from . import __main__ as program
from . import measure, run_row
from .definitions import Pair, Row, Table

DOMAIN = {"size": [32, 48]}
PAIR = Pair("tiny", "cs19", (32, 48), {"dataset": "gta5", **DOMAIN}, {"dataset": "cityscapes", **DOMAIN})
TINY = {
    "model": {"encoder": "test_efficientnet", "decoder": "fpn", "width": 8, "weights": "none"},
    "toytown": {"source": 3, "train": 2, "val": 2, "size": [32, 48]},
    "warmup.steps": 2, "warmup.batch": 2, "warmup.save_every": 1,
}  # fmt: skip
ADABN = {
    "chain": ["warmup", "retrain", "evaluate"], "retrain.steps": 0, "retrain.source": "none", "retrain.labels": "none",
    "retrain.adabn": "after", "retrain.batch": 2,
}  # fmt: skip
ROWS = (
    Row("source", "source-gta2city"),
    Row("AdaBN", "source-gta2city", ADABN, against="source"),
    Row("elsewhere", "source-gta2city", {"target.root": "elsewhere"}, against="AdaBN"),
)
TABLE = Table("two", "Two rows", ("tiny",), "source-gta2city", ROWS, TINY)


def run_here(task, running):
    """Run a task in this process; what it prints goes to its log."""
    task.log.parent.mkdir(parents=True, exist_ok=True)
    with task.log.open("a") as out, contextlib.redirect_stderr(out), contextlib.redirect_stdout(out):
        return run_row.main(task.command[3:])


def logs(word: str) -> dict[str, int]:
    """Count the lines in the log of each row that begin with some words."""
    return {path.stem: f"\n{path.read_text()}".count(f"\n{word}") for path in Path("runs/evidence").rglob("*.log")}


def stored() -> list[dict[str, str]]:
    """Read the CSV of the table."""
    with Path("evidence/tiny-two.csv").open(newline="") as file:
        return [*csv.DictReader(file)]


def test_a_table_from_nothing_over_a_row_that_fails(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(measure, "_run", run_here)
    monkeypatch.setattr(program, "read_pairs", lambda: {"tiny": PAIR})
    monkeypatch.setattr(program, "read_tables", lambda: {"two": TABLE})

    def run() -> int:
        return program.main(["tiny", "--seeds", "0", "--jobs", "1"])

    assert run() == 1
    [failed] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed: ")]
    assert failed.startswith("failed: elsewhere, seed 0: error: ")
    assert failed.endswith("; see runs/evidence/tiny/two/seed0/elsewhere.log")
    page = Path("evidence/tiny-two.md").read_text()
    assert "Without a score: elsewhere, seed 0." in page
    # The warm-ups of all rows and of a bound are one.
    warmups = logs("warmup: runs in")
    assert sum(warmups.values()) == 4
    assert (warmups["source"], warmups["adabn"]) == (0, 0)
    assert logs("warmup: taken over from")["adabn"] == 1
    assert sum(logs("stats: runs in").values()) == 0

    shutil.copytree("data/toytown/cityscapes", "data/toytown/elsewhere")
    assert run() == 0
    assert sum(logs("warmup: runs in").values()) == 4
    lines = {line["row"]: line for line in stored()}
    assert len(lines) == 7
    folders = {row.name: Path("runs/evidence/tiny/two/seed0", row.folder) for row in TABLE.all_rows}
    for name, place in (("source", "evaluate-warmup"), ("AdaBN", "evaluate"), ("elsewhere", "evaluate-warmup")):
        miou = json.loads((folders[name] / place / "metrics.json").read_text())["miou"]
        assert lines[name]["miou"] == f"{100 * miou:.2f}"
    assert lines["source"]["digest"] != lines["AdaBN"]["digest"]
    assert lines["source"]["seconds"] == lines["elsewhere"]["seconds"]  # one training
    assert Path("evidence/tiny-two.svg").read_text().startswith("<svg ")
    assert "Without a score" not in Path("evidence/tiny-two.md").read_text()

    # Where nothing is measured again, the commit stays that of the measurement.
    monkeypatch.setattr(run_row, "current_commit", lambda: "later")
    (folders["AdaBN"] / "evidence.json").unlink()
    assert run() == 0
    assert [line["row"] for line in stored() if line["commit"] == "later"] == ["AdaBN"]

    assert program.main(["--check"]) == 0  # the digests that were stored are those of today

    monkeypatch.setattr(run_row, "WEEK", 0.0)  # whoever has to wait, fails
    first = {
        name: chain.steps(open_plain_run(f"runs/evidence/tiny/two/{folder.name}.yaml", seed=0, run=folder))[0]
        for name, folder in folders.items()
    }
    with run_row._one_at_a_time(first["source"], Path("locks")):
        with run_row._one_at_a_time(first["oracle, random scales"], Path("locks")):
            pass
        with pytest.raises(LockedError), run_row._one_at_a_time(first["AdaBN"], Path("locks")):
            pass


def test_tasks_run_in_processes_of_their_own_and_keep_logs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = [measure.Task(Row("a", ""), seed, Path("none.yaml"), tmp_path / f"seed{seed}" / "a") for seed in (0, 1)]
    assert measure.run_tasks(tasks, 2, "test") == tasks
    assert all("error: cannot read recipe none.yaml" in task.log.read_text() for task in tasks)
