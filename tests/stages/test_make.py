"""The targets of the Makefile call `udaseg run` with the variables as flags."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from udaseg.config.load import load_recipe

MAKEFILE = Path(__file__).parent.parent.parent / "Makefile"


@pytest.fixture
def make(tmp_path):
    def run(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess:
        surroundings = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        # The installation of the checkout is not touched: what stands for it here is up to date.
        command = ["make", "-f", str(MAKEFILE), "-o", ".venv/ready", f"UDASEG={sys.executable} -m udaseg"]
        return subprocess.run(
            [*command, *words], cwd=cwd, capture_output=True, text=True, check=False, env=surroundings
        )

    return run


def commands(ended: subprocess.CompletedProcess) -> list[str]:
    """List the commands that `make -n` prints."""
    assert ended.returncode == 0, ended.stderr
    return [line.partition(" -m udaseg ")[2].strip() for line in ended.stdout.splitlines() if " -m udaseg " in line]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["demo"], "run demo"),
        (["gta2city", "SCALE=toy", "ROUNDS=3"], "run gta2city --scale toy     --rounds 3"),
        (["demo", "SEED=1", "RUN=runs/demo-1"], "run demo   --seed 1 --run runs/demo-1"),
        (["gta2city", "DATA=/my data"], "run gta2city  --data '/my data'"),
        (["chain", "RECIPE=mine.yaml", "SET=a.b=1 c.d=2"], "run mine.yaml      --set a.b=1  --set c.d=2"),
        (["ablation", "RECIPE=demo", "SEEDS=0 1"], "ablate --recipe demo  --seeds '0 1'"),
    ],
)
def test_variables_become_flags(workspace, make, words, command):
    (found,) = commands(make("-n", *words, cwd=MAKEFILE.parent))
    assert found.split() == command.split()


def test_the_bands_of_fda_are_averaged_in_each_round_and_at_the_end(make):
    words = " ".join(make("-n", "multi-band", "SCALE=toy", "RUN=here", cwd=MAKEFILE.parent).stdout.split())
    bands = [f"here/{band}-gta2city" for band in ("fda", "fda05", "fda09")]
    for folder in ("round$round/predict", "predict-val"):
        assert " ".join(f"--predictions {band}/{folder}" for band in bands) in words
    assert "pseudolabel --recipe fda-gta2city --scale toy --run here --round $round" in words
    assert "retrain --recipe $band --scale toy --run here/$band --round $round" in words
    assert words.endswith("compare here/evaluate-ensemble --published gta2city")


def test_the_rows_of_a_table_of_cbst_are_variants_of_its_recipe(make):
    def words(*arguments):
        ended = make("-n", *arguments, "SCALE=toy", "RUN=here", cwd=MAKEFILE.parent)
        assert ended.returncode == 0, ended.stderr
        return " ".join(ended.stdout.split())

    place = "here/cbst-resnet38-gta2bdd"
    rows = (f"{place}/ablation/seed0/{row}" for row in ("source", "ST", "ST-SP", "full", "CBST-SP"))
    said = words("cbst-table-gta2bdd")
    assert f"ablation RECIPE=cbst-resnet38-gta2bdd RUN={place} SEEDS='0'" in said
    assert f"compare --published cbst-gta2bdd {' '.join(rows)}" in said
    assert "seed0/CBST-SP-MST" in words("cbst-table-gta2city", "NETWORK=vgg16")
    assert "ablation RECIPE=cbst-city2rio " in words("cbst-table", "NETWORK=deeplab")
    for name in ("cbst-resnet38-gta2bdd", "cbst-vgg16-gta2city", "cbst-resnet38-city2rio"):
        assert {"source", "ST"} <= load_recipe(name).ablation.keys()
    assert {"ST-SP", "CBST-SP"} <= load_recipe("cbst-resnet38-gta2bdd").ablation.keys()
    assert "CBST-SP-MST" in load_recipe("cbst-vgg16-gta2city").ablation


def test_evidence_gets_its_variables_as_flags(make):
    def command(*words: str) -> str:
        return " ".join(make("-n", "evidence", *words, cwd=MAKEFILE.parent).stdout.replace("\\\n", "").split())

    words = ("PAIR=toytown", "TABLE=smoke", "SEEDS=0 1", "JOBS=1", "DATA=/my data", "SET=a.b=1 c.d=2")
    flags = "--seeds '0 1' --jobs 1 --data '/my data' --set a.b=1 --set c.d=2"
    assert command(*words) == f".venv/bin/python -m tests.evidence toytown smoke {flags}"
    assert command("CHECK=1") == ".venv/bin/python -m tests.evidence --check"


def test_a_finished_chain_says_so(workspace, make):
    ended = make("chain", "RECIPE=tiny.yaml")
    assert ended.returncode == 0, ended.stderr
    assert "run: done, everything is up to date in runs/tiny; the page is runs/tiny/report.html" in ended.stderr


def test_a_wrong_setting_stops_make(workspace, make):
    ended = make("chain", "RECIPE=tiny.yaml", "SET=warmup.stepz=3")
    assert ended.returncode == 2
    assert "unknown setting 'warmup.stepz'" in ended.stderr


def test_a_chain_needs_a_recipe(workspace, make):
    ended = make("chain")
    assert ended.returncode == 2
    assert "make chain needs RECIPE=NAME" in ended.stderr
