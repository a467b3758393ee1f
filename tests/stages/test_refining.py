"""Refinement by prototypes, as a command."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from udaseg.config.load import load_recipe
from udaseg.data import open_images
from udaseg.data.image_sets import View
from udaseg.inference import adabn
from udaseg.statistics import prototypes

from ..hints import commands


def refine_json(folder: str) -> dict:
    return json.loads(Path(folder, "refine.json").read_text())


def test_prototypes_are_made_from_the_pseudo_labels_when_missing(workspace, udaseg, manifest):
    outcome = udaseg("refine --prototypes")
    assert outcome.code == 0, outcome.err
    assert "prototypes: runs in runs/tiny/prototypes" in outcome.err
    assert "refine: aggregate after prototypes: " in outcome.err
    assert manifest("runs/tiny/prototypes")["inputs"]["labels"]["path"] == "runs/tiny/pseudolabel/labels"
    written = manifest("runs/tiny/refine")
    assert set(written["inputs"]) == {"class_counts", "labels", "model", "predictions", "prototypes", "target"}
    assert written["settings"]["refine"]["first"] == "prototypes"
    assert written["environment"]["device"]
    assert written["metrics"]["flipped"] == sum(refine_json("runs/tiny/refine")["flipped"])
    outcome = udaseg("refine --prototypes")
    assert "prototypes: up to date" in outcome.err
    assert "refine: up to date" in outcome.err


def test_the_order_is_a_setting_and_in_the_results(workspace, udaseg):
    assert udaseg("refine --prototypes --out a").code == 0
    assert udaseg("refine --prototypes --first aggregate --out b").code == 0
    assert refine_json("a")["order"] == ["prototypes", "aggregate"]
    assert refine_json("b")["order"] == ["aggregate", "prototypes"]
    outcome = udaseg("refine --prototypes --no-spatial-prior --pixels all --out c")
    assert outcome.code == 0, outcome.err
    assert sum(refine_json("c")["after"]) == 5 * 64 * 128
    outcome = udaseg("refine --prototypes --first aggregate --pixels all --out d")
    assert outcome.code == 1
    assert "hint: set refine.first=prototypes" in outcome.err
    assert not Path("d").exists()


def test_prototypes_of_another_model_are_refused(workspace, udaseg):
    outcome = udaseg("refine --prototypes --model retrain --out made")
    assert outcome.code == 1
    assert "runs/tiny/prototypes/prototypes.h5 holds the prototypes of another model than" in outcome.err
    labels = "--labels runs/tiny/pseudolabel/labels"
    assert "udaseg prototypes --model runs/tiny/retrain/model.pt" in outcome.err
    assert udaseg(f"prototypes --model runs/tiny/retrain/model.pt {labels} --out own").code == 0
    outcome = udaseg("refine --prototypes --model retrain --prototypes-file own/prototypes.h5 --out made")
    assert outcome.code == 0, outcome.err


def test_a_refinement_has_to_be_chosen(workspace, udaseg):
    outcome = udaseg("refine --no-spatial-prior")
    assert outcome.code == 1
    assert "add --spatial-prior or --prototypes" in outcome.err


def test_prototypes_of_a_model_that_a_flag_names_are_those_that_are_there(workspace, udaseg, manifest):
    shutil.rmtree("runs/tiny/prototypes")
    named = "refine --prototypes --out made --model retrain"
    assert "run first: udaseg prototypes --model=retrain" in udaseg(named).err
    assert udaseg("prototypes").code == 0
    outcome = udaseg(named)
    assert outcome.code == 1
    assert "holds the prototypes of another model than runs/tiny/retrain/model.pt" in outcome.err
    assert "name them with --prototypes-file own-prototypes" in outcome.err
    (pasted,) = commands(outcome.err)
    assert udaseg("", *pasted, tiny=False).code == 0
    assert udaseg(f"{named} --prototypes-file own-prototypes").code == 0
    assert manifest("made")["inputs"]["prototypes"]["path"] == "own-prototypes/prototypes.h5"
    # Batch norm's statistics are means over batches, so these are others.
    assert "batch: 8 -> 1" in udaseg("prototypes --set predict.batch=1 --dry-run").err


def test_anchors_are_of_pixels_that_the_model_has_right(workspace, udaseg, manifest):
    anchors = ("--set", "prototypes.domain=source", "--set", "prototypes.correct=true")
    assert udaseg("prototypes --domain source --out all").code == 0
    assert "correct" not in manifest("all")["settings"]["prototypes"]  # results from before this setting stay
    assert udaseg("prototypes", *anchors).code == 0
    everything, right = (prototypes.read(Path(out, "prototypes.h5")) for out in ("all", "runs/tiny/prototypes"))
    assert (right.counts <= everything.counts).all()
    assert 0 < right.counts.sum() < everything.counts.sum()
    nearest = ("refine --prototypes --no-spatial-prior --pixels all --set refine.decide=nearest", *anchors)
    kept = []
    for margin in (0, 1e3):
        outcome = udaseg(*nearest, "--set", f"refine.margin={margin}")
        assert outcome.code == 0, outcome.err
        kept.append(manifest("runs/tiny/refine")["metrics"]["after"])
    assert kept == [5 * 64 * 128, 0]
    assert "refine.margin: nothing would read it" in udaseg("refine --prototypes --set refine.margin=1").err


@pytest.mark.parametrize("scales", ["[1.0]", "[0.7, 1.3]"])
def test_rectified_scores_go_on_after_a_kill(workspace, udaseg, killed, manifest, scales):
    views = ("--set", f"predict.scales={scales}")
    assert udaseg("predict", *views).code == 0
    assert udaseg("pseudolabel", *views).code == 0
    assert udaseg("refine --prototypes --out alone", *views).code == 0
    killed("refine --prototypes --out runs/stopped", "*/stopped.partial/labels/*.png", 2)
    assert len(list(Path("runs/stopped.partial/labels").glob("[!.]*.png"))) == 2
    assert udaseg("refine --prototypes --out runs/stopped", *views).code == 0
    assert manifest("runs/stopped")["outputs"]["digest"] == manifest("alone")["outputs"]["digest"]


def test_features_are_of_the_statistics_that_predictions_are_made_with(workspace, udaseg, manifest):
    recipe = load_recipe("tiny.yaml")
    target = open_images("cityscapes", "data/toytown/cityscapes", "train")
    (workspace / "adapted").mkdir()
    shutil.copy("runs/tiny/warmup/model.pt", "adapted")
    settings = recipe.warmup.model_copy(update={"batch": recipe.predict.batch})
    adabn.estimate_target_statistics(Path("adapted/model.pt"), View(target, recipe.target.size), settings)
    assert udaseg("prototypes --out own").code == 0
    plain = ("--set", "predict.adabn=false")
    assert udaseg("prototypes --out other --model adapted/model.pt", *plain).code == 0
    assert udaseg("prototypes --out learnt", *plain).code == 0
    own, other, learnt = (prototypes.read(Path(out, "prototypes.h5")).centroids for out in ("own", "other", "learnt"))
    np.testing.assert_array_equal(own, other)
    assert not np.allclose(own, learnt, equal_nan=True)
    labels, given = {}, "refine --prototypes --predictions runs/tiny/predict/predictions.h5"
    for out, words in (("a", "own/prototypes.h5"), ("b", "other/prototypes.h5 --model adapted/model.pt")):
        outcome = udaseg(f"{given} --out {out} --prototypes-file {words}", *(plain if out == "b" else ()))
        assert outcome.code == 0, outcome.err
        labels[out] = [path.read_bytes() for path in sorted(Path(out, "labels").iterdir())]
    assert labels["a"] == labels["b"]
    assert "adabn: true -> false" in " ".join(udaseg("refine --prototypes --out a --dry-run", *plain).err.split())


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("refine --prototypes --no-spatial-prior --confidence 0.5", "--confidence: nothing would read it", "--spatial"),
        ("refine --temperature 5 --pixels all", "--pixels, --temperature: nothing would read them", "add --prototypes"),
        ("retrain --thresholds none.json", "--thresholds: nothing would read it: mining and lrent", "retrain.mine=0.8"),
        ("retrain --prototypes-file none.h5", "--prototypes-file: nothing would read it", "leave it out"),
        ("retrain --set retrain.init=weights --model warmup", "--model: nothing would read it", "retrain.init=warmup"),
        ("retrain --set retrain.temperature=2", "retrain.temperature: nothing would read it", "retrain.consistency"),
        ("warmup --set adversary.weight=0.1", "adversary.weight: nothing would read it", "adversary.align=output"),
        (
            "warmup --set chain=[warmup] --set warmup.fda=0.1 --set stylize.beta=0.1",
            "stylize.beta: nothing would read it",
            "set warmup.fda",
        ),
        (
            "retrain --set retrain.teacher=0.9 --set retrain.online={} --labels none",
            "--labels: nothing would read it: retrain.labels is none, or retrain.online labels all pixels anew",
            "retrain.online.pixels=unlabelled",
        ),
        ("prototypes --domain source --labels none", "--labels: nothing would read it: the source has", "--domain tar"),
        ("pseudolabel --policy iast --p 0.3", "--p: nothing would read it: the thresholds of iast", "iast.alpha"),
        (
            "predict --average probs",
            "--average: nothing would read it: the network sees every image once",
            "add --flip",
        ),
        ("pseudolabel --set pseudolabel.p_max=0.9", "pseudolabel.p_max: nothing would read it", "rounds=2"),
        ("pseudolabel --set prior.kernel=3", "prior.kernel: nothing would read it: the policy", "policy=cbst-sp"),
        ("pseudolabel --set pseudolabel.iast.gamma=1", "pseudolabel.iast.gamma: nothing", "pseudolabel.policy=iast"),
    ],
)
def test_a_flag_that_nothing_would_read_is_refused(workspace, udaseg, words, message, hint):
    outcome = udaseg(words)
    assert outcome.code == 1
    assert message in outcome.err
    assert hint in outcome.err
