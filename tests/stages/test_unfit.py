"""What does not fit together is refused with a word, and nothing that was asked for is ignored."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = Path("runs/tiny")
FEW = "--set space=[road,sky,car]"


def assert_refused(outcome, *parts):
    assert outcome.code == 1, outcome
    assert "Traceback" not in outcome.err
    assert "hint:" in outcome.err
    for part in parts:
        assert part in outcome.err


def test_labels_of_other_classes_are_refused(workspace, udaseg):
    shutil.copytree(RUN / "pseudolabel", "theirs")
    document = json.loads(Path("theirs/thresholds.json").read_text())
    document["classes"] = document["classes"][::-1]
    Path("theirs/thresholds.json").unlink()
    Path("theirs/thresholds.json").write_text(json.dumps(document))
    Path("theirs/manifest.json").unlink()
    for command in ("retrain", "refine", "prototypes"):
        outcome = udaseg(f"{command} --labels theirs/labels --out made")
        assert_refused(outcome, "theirs/labels is of 19 classes, expected 19: it is in another order", "--recipe")
    outcome = udaseg(f"retrain {FEW} --model runs/tiny/warmup/model.pt --out made")
    assert_refused(outcome, "runs/tiny/refine/labels is of 19 classes, expected 3: it is with sidewalk, building")


def test_scores_of_other_classes_are_refused_in_a_run(workspace, udaseg):
    shutil.copy(RUN / "predict" / "predictions.h5", "scores.h5")
    for command in ("pseudolabel --predictions scores.h5", "refine --predictions scores.h5"):
        assert_refused(udaseg(f"{command} {FEW}"), "scores.h5 is of 19 classes, expected 3")
    assert (
        udaseg(f"pseudolabel --predictions scores.h5 {FEW} --out made").code == 0
    )  # on their own they are what they are


def test_scores_of_other_pictures_are_not_shown_beside(workspace, udaseg):
    assert "adapted" in udaseg("evaluate").out
    outcome = udaseg("evaluate --set target.val=train")
    assert outcome.code == 0, outcome.err
    assert "adapted" not in outcome.out
    assert (
        "runs/tiny/evaluate-warmup has other images, classes or label sizes, and is not shown beside it" in outcome.err
    )


def test_a_source_only_model_is_not_called_adapted_elsewhere(workspace, udaseg):
    outcome = udaseg("evaluate --model warmup --out scores")
    assert outcome.code == 0, outcome.err
    assert "adapted" not in outcome.out
    assert "adapted" in udaseg("evaluate --model retrain --out others").out


def test_the_model_of_the_last_round_is_shown_beside_the_source_only_one(workspace, udaseg):
    shutil.copytree(RUN / "retrain", RUN / "round2" / "retrain")
    outcome = udaseg("evaluate --set rounds=2")
    assert outcome.code == 0, outcome.err
    assert "adapted" in outcome.out
    assert "runs/tiny/round2/retrain/model.pt" in outcome.err


@pytest.mark.parametrize("damage", [None, "{}", '{"images": "two"}'])
def test_a_report_does_not_pass_over_scores_that_are_gone(workspace, udaseg, damage):
    assert "report: up to date" in udaseg("report").err
    path = RUN / "evaluate" / "metrics.json"
    path.unlink()
    if damage is not None:
        path.write_text(damage)
    assert_refused(udaseg("report"), "runs/tiny/evaluate", "metrics.json")


def test_a_broken_log_is_seen_by_the_report(workspace, udaseg):
    log = RUN / "retrain" / "log.jsonl"
    text = log.read_text()
    log.unlink()
    log.write_text(text + "half a li")
    assert_refused(udaseg("report"), "runs/tiny/retrain/log.jsonl")


def test_metrics_without_their_pictures_are_no_traceback(workspace, udaseg):
    path = RUN / "evaluate-warmup" / "metrics.json"
    metrics = json.loads(path.read_text())
    del metrics["images"]
    path.unlink()
    path.write_text(json.dumps(metrics))
    assert_refused(udaseg("evaluate"), "evaluate-warmup/metrics.json: images is missing")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("warmup --gmm x.h5", "--gmm: nothing would read it: the network estimates no density"),
        ("warmup --class-counts x.json", "--class-counts: nothing would read it: warmup.class_weights and"),
        ("pseudolabel --prior x.h5", "--prior: nothing would read it: st-sp and cbst-sp alone have a prior"),
        ("warmup --steps 5 --set warmup=7", "warmup is set to 7, and warmup.steps too"),
        ("warmup --seed 9223372036854775808", "seed: Input should be less than 9223372036854775808"),
        ("warmup --set target.size=[90000,90000]", "target.size.0: Input should be less than or equal to 16384"),
    ],
)
def test_what_nothing_would_read_or_hold_is_refused(workspace, udaseg, command, words):
    assert_refused(udaseg(command), words)


def test_a_recipe_without_a_name_is_none(workspace, udaseg):
    assert_refused(udaseg("status", "--recipe", "", tiny=False), "there is no recipe named ''")


def test_a_size_that_no_memory_holds_is_refused(workspace, udaseg):
    Image.new("RGB", (8, 8)).save("one.png")
    outcome = udaseg("apply runs/tiny/warmup one.png --out made --size 90000x90000", tiny=False)
    assert_refused(outcome, "--size 90000x90000: expected HEIGHTxWIDTH, up to 16384 each")


def test_a_setting_that_is_given_twice_is_named_with_its_line(workspace, udaseg):
    Path("twice.yaml").write_text("base: demo\nwarmup: {lr: 0.1}\nseed: 1\nwarmup: {lr: 0.2}\n")
    outcome = udaseg("status --recipe twice.yaml", tiny=False)
    assert_refused(outcome, "recipe twice.yaml is not YAML: 'warmup' is given twice", "line 4")


def split(place: Path, stems: list[str], labelled: bool = True) -> None:
    for kind in ("images", "labels")[: 1 + labelled]:
        (place / kind).mkdir(parents=True)
    for stem in stems:
        Image.new("RGB", (16, 16)).save(place / "images" / f"{stem}.png")
        if labelled:
            Image.fromarray(np.zeros((16, 16), np.uint8)).save(place / "labels" / f"{stem}.png")


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    split(Path("mine/train"), ["a", "b"])
    split(Path("mine/val"), ["c"])
    Path("mine/classes.yaml").write_text("names: [road, sky, car]\n")
    side = "{dataset: folder, root: mine, size: [16, 16]}"
    Path("mine.yaml").write_text(
        f"base: demo\nspace: [road, sky, car]\ndata: .\ntoytown: null\nsource: {side}\ntarget: {side}\n"
    )


def test_pictures_that_cannot_be_read_are_not_left_out_without_a_word(own, udaseg):
    outcome = udaseg("data stats --recipe mine.yaml", tiny=False)
    assert outcome.code == 0
    assert "stats: warning: the source has no pixel of sky, car: no network learns these from it" in outcome.err
    Path("mine/train/images/d.heic").write_bytes(b"")
    Image.new("RGB", (16, 16)).save("mine/train/images/e.gif")
    for command in ("data stats --recipe mine.yaml --force", "warmup --recipe mine.yaml --dry-run"):
        outcome = udaseg(command, tiny=False)
        assert outcome.code == 0
        assert outcome.err.startswith("data: mine, train: 2 files are left out: d.heic, e.gif\n")
    outcome = udaseg("data check mine", tiny=False)
    assert outcome.code == 0
    assert "warning: train: 2 files beside the images are left out: d.heic, e.gif" in outcome.out


def test_labels_without_a_picture_are_not_left_out_without_a_word(own, udaseg):
    Path("mine/train/images/b.png").unlink()
    outcome = udaseg("data stats --recipe mine.yaml", tiny=False)
    assert_refused(outcome, "expected an image for each of 2 labels, found none for 1: b.png")
    assert udaseg("data check mine", tiny=False).code == 1


def test_classes_named_twice_in_a_list_are_refused(own, udaseg):
    Path("mine/classes.yaml").write_text("names: [road, road, car, person]\n")
    assert_refused(udaseg("data stats --recipe mine.yaml", tiny=False), "expected each name once")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_closed_stream_is_no_traceback_and_takes_no_file(tmp_path, closed):
    command = f"{sys.executable} -m udaseg recipe show demo {closed}"
    ended = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_terminal_of_few_signs_prints_what_it_can(workspace):
    command = [sys.executable, "-m", "udaseg", "status", "--run", "runs/tiny", "--recipe", "tiny.yaml"]
    for name, value in (("PYTHONIOENCODING", "ascii"), ("COLUMNS", "0"), ("COLUMNS", "20")):
        ended = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "", name: value})
        assert ended.returncode == 0, ended.stderr
        assert "pseudolabel" in ended.stdout
        assert "mIoU" in ended.stdout


def test_a_source_with_nothing_to_learn_is_refused(own, udaseg):
    """A training on it would go on for days at a loss of 0."""
    for label in Path("mine/train/labels").iterdir():
        Image.fromarray(np.full((16, 16), 255, np.uint8)).save(label)
    outcome = udaseg("warmup --recipe mine.yaml", tiny=False)
    assert_refused(
        outcome, "mine: every pixel is ignored in all of 2 labels (of 2) that were checked; expected some of road, sky"
    )
    assert not Path("runs/mine/warmup/model.pt").exists()


def test_refining_labels_that_are_not_all_there_says_so(workspace, udaseg):
    Path("empty").mkdir()
    outcome = udaseg("refine --labels empty --out made")
    assert_refused(
        outcome,
        "empty holds no pseudo-label for 5 of 5 images",
        "or make the labels: udaseg pseudolabel",
    )


def test_a_place_whose_name_is_no_utf8_is_as_good_as_any(workspace, manifest):
    place = os.fsdecode(b"caf\xe9")
    RUN.rename(place)
    for command in ("predict --flip", "report"):
        words = [sys.executable, "-m", "udaseg", *command.split(), "--run", place]
        for said in ("runs in caf\\udce9", "up to date (caf\\udce9"):
            ended = subprocess.run(words, capture_output=True, text=True, check=False)
            assert ended.returncode == 0, ended.stderr
            assert said in ended.stderr
    assert manifest(Path(place, "predict"))["inputs"]["model"]["path"] == f"{place}/warmup/model.pt"


def test_a_directory_of_datasets_is_none(rendered, udaseg):
    outcome = udaseg("data check data/toytown", tiny=False)
    assert_refused(
        outcome,
        "data/toytown is not a dataset; it holds gta5, synthia, cityscapes",
        "name one of them, as with `udaseg data check data/toytown/gta5`",
    )


def test_what_stands_in_the_way_of_toytown_is_found_by_the_check(rendered, udaseg):
    Path("own.yaml").write_text("base: tiny.yaml\ndata: data\ntarget: {dataset: folder, root: real}\n")
    for command in ("recipe check own.yaml", "warmup --recipe own.yaml"):
        outcome = udaseg(command, tiny=False)
        assert_refused(
            outcome, "data/gta5 should hold a dataset, and toytown is not rendered into data: data holds files"
        )
        assert "`udaseg data make data/toytown --source 6 --train 5 --val 3 --size 64x128`" in outcome.err
    shutil.copytree("data/toytown/gta5", "data/gta5")
    shutil.copytree("data/toytown/cityscapes", "data/cityscapes")
    Path("own.yaml").write_text("base: tiny.yaml\ndata: data\n")
    for command in ("recipe check own.yaml", "warmup --recipe own.yaml"):  # what is there is read
        outcome = udaseg(command, tiny=False)
        assert outcome.code == 0, outcome.err
    assert not list(Path("data").glob("manifest.json"))
    shutil.rmtree("data/cityscapes")
    shutil.copytree("data/toytown/cityscapes", "data/cityscapes")  # a part of what is needed is not enough
    shutil.rmtree("data/gta5")
    assert_refused(udaseg("warmup --recipe own.yaml", tiny=False), "data/gta5 should hold a dataset")
    Path("own.yaml").write_text("base: tiny.yaml\ntarget: {dataset: folder, root: real}\n")
    assert_refused(udaseg("recipe check own.yaml", tiny=False), "data/toytown/real")
