"""What a user does wrong, or finds broken, ends in a message with the way out, and in the right exit code."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from udaseg.__main__ import main
from udaseg.pipeline import manifest
from udaseg.stages import cli


def replaced(path: Path, content: bytes) -> None:
    """Put other bytes in a file that may be shared with the finished run."""
    path.unlink()
    path.write_bytes(content)


def assert_error(outcome, *parts: str) -> None:
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    assert re.search(r"^error: ", outcome.err, re.MULTILINE), outcome.err
    for part in parts:
        assert part in outcome.err


@pytest.mark.parametrize(
    ("command", "needs", "first"),
    [
        ("predict", "runs/tiny/warmup", "udaseg warmup --recipe tiny.yaml"),
        ("pseudolabel", "runs/tiny/warmup", "udaseg warmup --recipe tiny.yaml"),
        ("refine --spatial-prior", "runs/tiny/pseudolabel", "udaseg pseudolabel --recipe tiny.yaml"),
        ("prototypes", "runs/tiny/warmup", "udaseg warmup --recipe tiny.yaml"),
        ("retrain", "runs/tiny/refine", "udaseg refine --spatial-prior --recipe tiny.yaml"),
        ("evaluate", "runs/tiny/warmup", "udaseg warmup --recipe tiny.yaml"),
    ],
)
def test_a_missing_input_names_the_command_that_makes_it(rendered, udaseg, command, needs, first):
    outcome = udaseg(command)
    assert_error(outcome, f"{needs} does not exist, and this stage reads it", f"run first: {first}")
    assert not Path("runs", "tiny", command.split()[0]).exists()


def test_what_a_stage_lacks_is_said_before_anything_is_made(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    for command in ("predict", "pseudolabel", "refine --spatial-prior", "retrain", "evaluate", "report"):
        assert_error(udaseg(command, tiny=False))
    assert not (tmp_path / "data").exists()


def test_missing_data_is_listed_with_its_places_its_source_and_the_way_without(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg("warmup --recipe gta2city --data nowhere", tiny=False)
    assert_error(
        outcome, "nowhere/gta5", "nowhere/cityscapes", "the train images", "the val images",
        "https://download.visinf.tu-darmstadt.de/data/from_games/", "https://www.cityscapes-dataset.com/",
        "udaseg warmup --recipe gta2city --scale toy", "make gta2city SCALE=toy",
    )  # fmt: skip
    assert outcome.err.count("error: ") == 1
    assert outcome.out == ""
    assert list(tmp_path.iterdir()) == []


def test_one_missing_dataset_of_two_is_told_alike(rendered, udaseg):
    shutil.rmtree("data/toytown/cityscapes")
    assert_error(
        udaseg("status --recipe gta2city --data data/toytown", tiny=False),
        "there is no directory data/toytown/cityscapes", "www.cityscapes-dataset.com", "make gta2city SCALE=toy",
    )  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        "warmup --nope",
        "nope",
        "warmup --steps many",
        "pseudolabel --p",
        "data",
        "data make",
        "recipe show",
        "predict x",
    ],
)
def test_wrong_usage_exits_with_2(tmp_path, monkeypatch, udaseg, arguments):
    monkeypatch.chdir(tmp_path)
    assert udaseg(arguments, tiny=False).code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["warmup", "--recipe", "gta2citi"], ["there is no recipe named 'gta2citi'", "gta2city"]),
        (["warmup", "--recipe", "nope.yaml"], ["cannot read recipe nope.yaml"]),
        (["warmup", "--scale", "huge"], ["--scale huge: expected full or toy"]),
        (["warmup", "--set", "warmup.steps"], ["KEY=VALUE"]),
        (["warmup", "--set", "warmup.stepz=1"], ["unknown setting 'warmup.stepz'", "steps, batch"]),
        (["warmup", "--set", "toytown.trees=1"], ["unknown setting 'toytown.trees'", "source, train, val"]),
        (["warmup", "--steps", "-1"], ["warmup.steps", "found -1"]),
        (["warmup", "--set", "warmup.lr=.inf"], ["warmup.lr", "finite"]),
        (["pseudolabel", "--policy", "best"], ["pseudolabel.policy", "'cbst'", "found 'best'"]),
        (["pseudolabel", "--p", "0"], ["pseudolabel.p", "found 0"]),
        (["pseudolabel", "--predictions", "nope.h5"], ["nope.h5 does not exist"]),
        (["predict", "--model", "nope"], ["--model nope"]),
        (["data", "make", "there", "--size", "64"], ["--size 64: expected HEIGHTxWIDTH", "256x512"]),
        (["data", "check", "nope"], ["there is no directory nope"]),
        (["recipe", "show", "nope"], ["there is no recipe named 'nope'"]),
        (["recipe", "copy", "nope"], ["there is no shipped recipe 'nope'"]),
        (["warmup", "--set", "space=[a, a]"], ["a"]),
        (["warmup", "--set", "space=[lane]"], ["expected two classes or more, found lane alone"]),
        (["warmup", "--set", "space=cs20"], ["there is no class space 'cs20'", "cs19"]),
    ],
)
def test_wrong_values_exit_with_1_and_name_the_value(tmp_path, monkeypatch, udaseg, arguments, parts):
    monkeypatch.chdir(tmp_path)
    assert_error(udaseg("", *arguments, tiny=False), *parts)
    assert list(tmp_path.iterdir()) == []


def test_a_world_that_cannot_be_rendered(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    assert_error(udaseg("data make there --size 4x4", tiny=False), "4x4", "try 256x512")
    assert not (tmp_path / "runs").exists()


def test_debug_shows_the_traceback(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UDASEG_DEBUG", "")  # which --debug sets, and which is put back after the test
    outcome = udaseg("--debug predict --model nope", tiny=False)
    assert outcome.code == 1
    assert "Traceback" in outcome.err
    assert "error: --model nope" in outcome.err


def test_a_stage_that_cannot_begin_gives_back_what_it_made_before(workspace, udaseg):
    Path("junk.pt").write_bytes(b"no model")
    before = Path("runs/tiny/predict/predictions.h5").read_bytes()
    outcome = udaseg("predict --model junk.pt")
    assert_error(outcome, "junk.pt is truncated", "nothing was written: runs/tiny/predict is as it was before")
    assert Path("runs/tiny/predict/predictions.h5").read_bytes() == before
    assert "predict: up to date" in udaseg("predict").err


def test_work_that_was_stopped_is_not_thrown_away_without_a_word(workspace, udaseg, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("udaseg.models.checkpoint.save", interrupted)
        assert udaseg("warmup --force").code == 130
    status = udaseg("status")
    assert "warmup to run: it is unfinished" in status.out
    outcome = udaseg("warmup --steps 3 --dry-run")
    assert "begun otherwise: it starts over; warmup.steps: 4 -> 3" in outcome.err


def test_tables_are_not_cut_where_there_is_no_terminal(workspace, udaseg, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    outcome = udaseg("compare --published synthia2city --classes", tiny=False)
    assert "…" not in outcome.out
    assert "depth distribution" in outcome.out


def test_a_truncated_picture_is_named(workspace, udaseg):
    image = next((workspace / "data" / "toytown" / "cityscapes" / "leftImg8bit" / "train").rglob("*.png"))
    replaced(image, image.read_bytes()[:2000])
    for command in ("predict", "stylize"):
        assert_error(udaseg(command), str(image.relative_to(workspace)), "copy or unpack it again")
        # Either nothing was written, and the result of before is there, which is known to be of other images.
        planned = udaseg(f"{command} --dry-run").err
        assert f"would run into runs/tiny/{command}: " in planned
        assert ("it is unfinished" in planned) != ("has changed" in planned)
    outcome = udaseg("data check data/toytown/cityscapes", tiny=False)
    assert outcome.code == 1
    assert image.name in outcome.out


def test_a_truncated_label_is_named(workspace, udaseg):
    label = workspace / "data" / "toytown" / "gta5" / "labels" / "00002.png"
    replaced(label, label.read_bytes()[:200])
    assert_error(udaseg("warmup --steps 6"), "gta5/labels/00002.png")
    assert_error(udaseg("data stats"), "gta5/labels/00002.png")


def test_damaged_predictions_are_named(workspace, udaseg):
    path = Path("runs/tiny/predict/predictions.h5")
    shutil.copy(path, "scores.h5")
    Path("scores.h5").write_bytes(path.read_bytes()[:3000])
    outcome = udaseg("pseudolabel --predictions scores.h5 --out made")
    assert_error(outcome, "cannot read predictions from scores.h5", "udaseg predict")
    Path("scores.h5").write_bytes(b"no HDF5")
    assert_error(udaseg("pseudolabel --predictions scores.h5 --out made"), "cannot read predictions from scores.h5")
    shutil.copy(path, "scores.h5")
    with h5py.File("scores.h5", "a") as file:
        del file["logits"][sorted(file["logits"])[1]].attrs["height"]
    assert_error(udaseg("pseudolabel --predictions scores.h5 --out made"), "scores.h5", "height")


def test_damaged_models_are_named(workspace, udaseg):
    model = Path("runs/tiny/warmup/model.pt")
    Path("bad.pt").write_bytes(model.read_bytes()[:30000])
    assert_error(udaseg("predict --model bad.pt --out made"), "bad.pt")
    Path("bad.pt").write_bytes(b"\x80\x04cposix\nsystem\n(S'touch owned'\ntR.")
    assert_error(udaseg("evaluate --model bad.pt --out made"), "bad.pt")
    assert not Path("owned").exists()
    # In its own place, a model that was damaged after the stage was complete is seen too.
    replaced(model, model.read_bytes()[:30000])
    assert "warmup: runs in runs/tiny/warmup: its outputs have changed" in udaseg("warmup").err


def test_a_model_of_other_classes_is_refused(workspace, udaseg):
    outcome = udaseg("predict --set space=[road,sky,car] --out made")
    assert_error(outcome, "runs/tiny/warmup/model.pt does not fit the recipe", "classes: expected 3 (road, sky, car)")
    outcome = udaseg("evaluate --set space=syn16 --out scores")
    assert_error(outcome, "does not fit the recipe", "classes: expected 16")


def test_a_model_of_another_architecture_is_refused(workspace, udaseg):
    outcome = udaseg("retrain --set model.name=bisenet --out made")
    assert_error(
        outcome, "model.name: expected bisenet, found None", "model.encoder: expected None, found test_efficientnet"
    )


def test_a_broken_manifest_is_named(workspace, udaseg):
    replaced(workspace / "runs" / "tiny" / "predict" / "manifest.json", b"{")
    assert_error(udaseg("predict"), "runs/tiny/predict/manifest.json", "move runs/tiny/predict away")


def test_files_of_somebody_else_are_left_alone(workspace, udaseg):
    photos = workspace / "photos"
    photos.mkdir()
    (photos / "me.jpg").write_bytes(b"precious")
    assert_error(
        udaseg("pseudolabel --out photos"), "photos holds files that no stage has written", "name an empty or a new"
    )
    assert [path.name for path in photos.iterdir() if not path.name.startswith(".")] == ["me.jpg"]
    assert_error(udaseg("data make photos", tiny=False), "photos")
    assert (photos / "me.jpg").read_bytes() == b"precious"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written(workspace, udaseg):
    locked = workspace / "locked"
    locked.mkdir(mode=0o555)
    assert_error(udaseg("pseudolabel --out locked/here"), "cannot read or write", "locked")


def test_a_place_that_is_a_file(workspace, udaseg):
    (workspace / "file").write_text("")
    assert_error(udaseg("pseudolabel --out file"), "file")
    assert_error(udaseg("pseudolabel --out file/here"), "file")


def test_what_the_machine_refuses_is_no_traceback(workspace, udaseg, monkeypatch):
    def refused(*arguments):
        raise PermissionError(13, "Permission denied", "runs/tiny/warmup/model.pt")

    monkeypatch.setattr(manifest, "content_digest", refused)
    assert_error(udaseg("predict"), "cannot read or write runs/tiny/warmup/model.pt: Permission denied")


def test_a_chain_with_an_unknown_stage_lists_the_known_ones(workspace, udaseg):
    assert_error(udaseg("status --set chain=[warmup,dance]"), "there is no stage dance", "pseudolabel")


def test_python_dash_m_and_interrupts_end_with_the_right_code():
    words = [sys.executable, "-m", "udaseg", "predict", "--model", "nope"]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    ended = subprocess.run([sys.executable, "-m", "udaseg", "--version"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "0.1.0\n")


def test_an_interrupt_before_the_command_is_there_is_no_traceback(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run", interrupted)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the tests keep theirs
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (130, "stopped before it had begun\n")


@pytest.mark.parametrize(("given", "seen"), [(None, "PASSIVE"), ("ACTIVE", "ACTIVE")])
def test_threads_leave_the_core_while_they_wait_unless_told_otherwise(monkeypatch, given, seen):
    """PyTorch looks at it once, when the command imports it."""
    monkeypatch.setenv("OMP_WAIT_POLICY", given or "")
    if given is None:
        monkeypatch.delenv("OMP_WAIT_POLICY")
    found = []
    monkeypatch.setattr(cli, "run", lambda arguments: found.append(os.environ["OMP_WAIT_POLICY"]) or 0)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the tests keep theirs
    with pytest.raises(SystemExit):
        main()
    assert found == [seen]


def test_a_stage_that_is_interrupted_ends_with_130(workspace, udaseg, monkeypatch):
    from udaseg.pseudo import passes

    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(passes, "write_label", interrupted)
    outcome = udaseg("pseudolabel --force")
    assert outcome.code == 130
    assert "pseudolabel: interrupted; the same command continues" in outcome.err
    assert cli.run(["--version"]) == 0
