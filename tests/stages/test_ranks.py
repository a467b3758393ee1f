"""Two processes give the bytes of one, or train to its weights; one that dies takes the other down with a word."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import KILLING

SEVERAL = """
import sys
from udaseg.stages import cli
for command in sys.argv[1:]:
    if code := cli.run([*command.split(), "--recipe", "tiny.yaml"]):
        sys.exit(code)
"""
STOPPING = (
    """
import os, signal
from udaseg.train import loop

poly = loop.poly

def stopping(step, settings):
    if step == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return poly(step, settings)

loop.poly = stopping
"""
    + SEVERAL
)
WARMUP = "warmup --force --set warmup.precision=fp32 --set warmup.batch=3"
TAUGHT = "retrain --out taught --set retrain.teacher=0.99 --set retrain.online.pixels=unlabelled"
GMM = "gmm --set source.dataset=synthia --set space=syn16 --out mixtures"
SHARED = ("predict", "pseudolabel", "refine", "prototypes", "evaluate")


def both(*programs: list[str]) -> list[tuple[int, str]]:
    """Run one program a process, as torchrun would start them; give their exit codes and what they say."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    running = []
    for rank, program in enumerate(programs):
        said = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(len(programs)), **place}
        given = {"env": os.environ | said, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", *program], **given))
    ended = [process.communicate(timeout=250)[1] for process in running]
    return [(process.returncode, words) for process, words in zip(running, ended, strict=True)]


def test_two_processes_give_the_bytes_of_one(workspace, finished, udaseg, manifest):
    for command in SHARED:
        shutil.rmtree(Path("runs/tiny", command))
    ended = both(*[[SEVERAL, *SHARED, GMM]] * 2)
    assert [code for code, _ in ended] == [0, 0], ended
    assert "predict: 5 images" in ended[0][1]
    assert ended[1][1] == ""  # one process speaks
    for command in SHARED:
        found, alone = (manifest(place / "runs" / "tiny" / command) for place in (Path(), finished))
        assert found["environment"]["processes"] == 2
        assert found["outputs"]["count"] == alone["outputs"]["count"], command
        assert found["outputs"]["digest"] == alone["outputs"]["digest"], command
        assert found["metrics"] == alone["metrics"], command
    shutil.move("mixtures", "by_two")
    assert udaseg(GMM).code == 0
    assert Path("by_two/gmm.h5").read_bytes() == Path("mixtures/gmm.h5").read_bytes()


def test_two_processes_run_the_network_for_labels_of_which_nothing_is_stored(workspace, finished, manifest):
    """The labels and thresholds are those of one process, from stored logits."""
    direct = "pseudolabel --store none --out direct"
    ended = both(*[[SEVERAL, direct]] * 2)
    assert [code for code, _ in ended] == [0, 0], ended
    assert ended[1][1] == ""
    found, alone = manifest("direct"), manifest(finished / "runs" / "tiny" / "pseudolabel")
    assert found["environment"]["processes"] == 2
    assert found["outputs"]["digest"] == alone["outputs"]["digest"]


def test_a_process_that_dies_takes_the_other_down_with_a_word(workspace, udaseg, manifest):
    shutil.rmtree("runs/tiny/predict")
    one = "predict --set predict.batch=1"
    alive, dead = both([SEVERAL, one], [KILLING, "*.part", "0", *one.split(), "--recipe", "tiny.yaml"])
    assert dead[0] == -9
    assert alive[0] == 1
    assert "error (process 1 of 2): process 1 of 2 lost the connection to the others" in alive[1]
    assert "one of them ended" in alive[1]
    assert "Traceback" not in alive[1]
    assert not Path("runs/tiny/predict/manifest.json").exists()
    assert udaseg("predict --set predict.batch=1").code == 0
    continued = manifest("runs/tiny/predict")["outputs"]["digest"]
    assert udaseg("predict --set predict.batch=1 --force").code == 0
    assert manifest("runs/tiny/predict")["outputs"]["digest"] == continued


def losses(folder):
    return [json.loads(line) for line in Path(folder, "log.jsonl").read_text().splitlines()]


def test_a_training_is_shared_stops_as_one_and_goes_on(workspace, udaseg, manifest):
    assert udaseg(f"{WARMUP} --out alone").code == 0
    stopped = both([SEVERAL, WARMUP], [STOPPING, WARMUP])
    assert [code for code, _ in stopped] == [130, 130], stopped
    assert "warmup: stopped after step 2 of 4; the state is saved; the same command continues" in stopped[0][1]
    assert "Traceback" not in stopped[0][1] + stopped[1][1]
    assert Path("runs/tiny/warmup.partial/state.pt").exists()
    goes_on = WARMUP.replace(" --force", "")
    ended = both(*[[SEVERAL, goes_on, TAUGHT]] * 2)
    assert [code for code, _ in ended] == [0, 0], ended
    assert ended[1][1] == ""
    assert "warmup: continues" in ended[0][1]
    assert "retrain: one process does it, and the other 1 wait" in ended[0][1]
    assert [manifest(folder)["environment"]["processes"] for folder in ("runs/tiny/warmup", "taught")] == [2, 1]
    assert len(losses("alone")) == 4
    for alone, shared in zip(losses("alone"), losses("runs/tiny/warmup"), strict=True):
        assert shared == pytest.approx(alone, rel=1e-3)


def test_a_training_process_that_dies_takes_the_other_down_with_a_word(workspace):
    dead, alive = both([KILLING, "*state.pt", "0", *WARMUP.split(), "--recipe", "tiny.yaml"], [SEVERAL, WARMUP])
    assert dead[0] == -9
    assert alive[0] == 1
    assert "error (process 2 of 2): process 2 of 2 lost the connection to the others" in alive[1]
    assert "Traceback" not in alive[1]
