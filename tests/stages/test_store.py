"""predict.store: logits, confidence, or none: what the stages after it find, and what they give."""

import json
from pathlib import Path

import h5py
import pytest

from udaseg.data.images import read as read_images
from udaseg.pseudo import counted_images

POLICIES = ("cbst", "st", "percentile", "iast", "cbst-sp")


def content(folder: str | Path) -> dict[str, bytes]:
    """Return the labels and thresholds of a stage, by name."""
    paths = [*Path(folder, "labels").glob("*.png"), Path(folder, "thresholds.json")]
    return {path.name: path.read_bytes() for path in paths}


@pytest.fixture
def seen(monkeypatch) -> list[str]:
    """Collect the images that are opened: those that the network sees."""
    names, read = [], read_images.read_image

    def reading(path):
        names.append(path.name)
        return read(path)

    monkeypatch.setattr(read_images, "read_image", reading)
    return names


@pytest.mark.parametrize("policy", POLICIES)
def test_the_network_gives_the_labels_of_its_stored_logits(workspace, udaseg, policy):
    assert udaseg(f"pseudolabel --policy {policy} --out stored").code == 0
    outcome = udaseg(f"pseudolabel --policy {policy} --store none --out direct")
    assert outcome.code == 0, outcome.err
    assert len(content("stored")) == 6
    assert content("direct") == content("stored")
    assert sorted(path.name for path in Path("direct").iterdir()) == sorted(
        path.name for path in Path("stored").iterdir()
    )


def test_views_and_batches_are_those_of_predict(workspace, udaseg):
    changes = "--set predict.batch=2 --set predict.flip=true --set predict.average=probs --set predict.adabn=stem"
    assert udaseg(f"predict --out stored-logits {changes}").code == 0
    assert udaseg("pseudolabel --predictions stored-logits --out stored").code == 0
    assert udaseg(f"pseudolabel --store none --out direct {changes}").code == 0
    assert content("direct") == content("stored")


def test_a_stopped_first_pass_goes_on(workspace, udaseg, monkeypatch, seen):
    plain = "pseudolabel --store none --set predict.adabn=false --set predict.batch=1"
    assert udaseg(f"{plain} --out alone").code == 0
    note = counted_images.CountedImages.note

    def stopping(self, stem):
        note(self, stem)
        if len(self._counted) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(counted_images, "SECONDS", -1.0)
    monkeypatch.setattr(counted_images.CountedImages, "note", stopping)
    outcome = udaseg(f"{plain} --out direct")
    assert outcome.code == 130
    assert "the same command continues" in outcome.err
    monkeypatch.setattr(counted_images.CountedImages, "note", note)
    seen.clear()
    outcome = udaseg(f"{plain} --out direct")
    assert "pseudolabel: continues in direct" in outcome.err
    assert len(seen) == 2 + 5  # the rest of the first pass, and the second
    assert content("direct") == content("alone")
    assert not Path("direct/counted").exists()


def test_a_kill_in_the_second_pass_costs_the_images_without_a_label(workspace, udaseg, killed, seen):
    plain = "pseudolabel --store none --set predict.adabn=false --set predict.batch=1"
    assert udaseg(f"{plain} --out alone").code == 0
    killed(f"{plain} --out direct", "*direct.partial/labels/*.png", 3)
    left = 5 - len(list(Path("direct.partial/labels").glob("[!.]*.png")))
    assert left in (1, 2)  # of two threads, both may write when one is killed
    seen.clear()
    assert udaseg(f"{plain} --out direct").code == 0
    assert len(seen) == left
    assert content("direct") == content("alone")


def test_confidences_go_through_the_stages(workspace, udaseg, manifest):
    store = ("--set", "predict.store=confidence")
    outcome = udaseg("predict", *store)
    assert 'predict.store: (not set) -> "confidence"' in outcome.err
    assert manifest("runs/tiny/predict")["settings"]["predict"]["store"] == "confidence"
    with h5py.File("runs/tiny/predict/predictions.h5") as file:
        assert list(file) == ["confidence"]
    first = Path("runs/tiny/predict/predictions.h5").read_bytes()
    assert udaseg("predict --force --store confidence").code == 0
    assert Path("runs/tiny/predict/predictions.h5").read_bytes() == first
    assert "predict: up to date" in udaseg("predict --store confidence").err
    refine = "refine --spatial-prior --confidence 0.5"
    for command in ("pseudolabel --policy percentile", refine, "prototypes", "retrain", "report"):
        outcome = udaseg(command, *store)
        assert outcome.code == 0, outcome.err
    assert json.loads(Path("runs/tiny/refine/refine.json").read_text())["confidence"] == 0.5


def test_a_file_of_confidences_scores_and_does_not_average(workspace, udaseg):
    val = "--set target.split=val --out val"
    assert udaseg(f"predict --store confidence {val}").code == 0
    assert udaseg("evaluate --predictions val --out scores").code == 0
    outcome = udaseg("evaluate --predictions val --average probs --out scores")
    assert "labels and confidences alone" in outcome.err
    outcome = udaseg("ensemble --predictions val --predictions val")
    assert outcome.code == 1
    assert "the average of several networks needs the logits of all classes" in outcome.err
    assert "udaseg predict --store logits" in outcome.err


def test_low_thresholds_of_confidences_are_a_warning(workspace, udaseg):
    """After four steps no class is sure: another one than the most likely could win."""
    outcome = udaseg("pseudolabel --store confidence")
    assert outcome.code == 0, outcome.err
    assert "is at most 0.5, so that it could win where another class is more likely" in outcome.err


@pytest.mark.parametrize(
    ("command", "message", "hint"),
    [
        ("pseudolabel --policy cbst-sp --store confidence", "weighs the probabilities of all", "predict.store=logits"),
        ("refine --prototypes --store confidence", "store=confidence does not store them", "predict.store=logits"),
        ("refine --prototypes --store none", "predict.store=none does not store them", "refine.prototypes=false"),
        ("refine --spatial-prior --confidence 0.9 --store none", "confidence=0.9 reads", "predict.store=confidence"),
        ("refine --temporal --store none", "read what the frame before was predicted as", "predict.store=confidence"),
        ("pseudolabel --store none --predictions predict", "nothing would read it", "--store logits"),
        ("pseudolabel --model warmup", "nothing would read it: the predictions are stored", "--store none"),
        ("pseudolabel --store all", "", "logits"),
    ],
)
def test_what_a_store_cannot_give_is_refused_before_anything_is_made(workspace, udaseg, command, message, hint):
    before = {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")}
    outcome = udaseg(command)
    assert outcome.code in (1, 2)
    assert message in outcome.err
    assert hint in outcome.err
    assert {path: path.stat().st_mtime_ns for path in Path("runs").rglob("*")} == before


def test_a_file_of_another_store_names_the_command_that_makes_the_right_one(workspace, udaseg):
    assert udaseg("predict --store confidence --out bytes").code == 0
    for command in ("pseudolabel --policy cbst-sp", "refine --prototypes --labels pseudolabel"):
        outcome = udaseg(f"{command} --predictions bytes --out other")
        assert outcome.code == 1
        assert "predict again, and store them: udaseg predict --store logits" in outcome.err


def test_a_recipe_that_asks_for_more_than_is_stored_is_refused_as_a_whole(workspace, udaseg):
    recipe = Path("tiny.yaml").read_text()
    chain = "chain: [warmup, predict, pseudolabel, prototypes, refine, retrain, evaluate]\n"
    more = recipe.replace("refine: {", "refine: {prototypes: true, ") + chain
    Path("more.yaml").write_text(more + "predict: {store: confidence}\n")
    outcome = udaseg("recipe check more.yaml", tiny=False)
    assert outcome.code == 1
    assert "predict.store=confidence does not store them" in outcome.err
    assert "set predict.store=logits, or refine.prototypes=false" in outcome.err
    for store in ("logits", "confidence", "none"):
        Path("fits.yaml").write_text(recipe + chain + f"predict: {{store: {store}}}\n")
        outcome = udaseg("recipe check fits.yaml", tiny=False)
        assert outcome.code == 0, outcome.err


def test_a_chain_runs_without_predictions(workspace, udaseg, manifest):
    outcome = udaseg("run --set predict.store=none")
    assert outcome.code == 0, outcome.err
    assert "predict: nothing is stored (predict.store=none): pseudolabel runs the network itself" in outcome.err
    assert not list(Path("runs/tiny").rglob("predictions.h5"))
    settings = manifest("runs/tiny/pseudolabel")
    assert settings["settings"]["predict"]["store"] == "none"
    assert {"model", "target"} <= settings["inputs"].keys()
    assert "predictions" not in settings["inputs"]
    assert "pseudolabel: up to date" in udaseg("run --set predict.store=none").err


@pytest.mark.parametrize("command", ["predict --store confidence", "pseudolabel --store none"])
def test_the_disk_is_told_for_each_store(workspace, udaseg, command):
    told = udaseg(f"{command} --out made --estimate --json").json
    assert udaseg(f"{command} --out made").code == 0
    written = sum(path.stat().st_size for path in Path("made").rglob("*") if path.is_file())
    assert written / 2 < told["disk_bytes"] < 2 * written
