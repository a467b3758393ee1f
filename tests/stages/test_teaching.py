"""Retraining with a teacher and distillation, as commands."""

import json
from pathlib import Path

import pytest
import timm
import torch
import yaml

from udaseg.config.load import load_recipe
from udaseg.data import open_images
from udaseg.data.image_sets import View
from udaseg.inference.adabn import estimate_target_statistics

PROTOTYPES = ("--set", "retrain.teacher=0.9", "--set", "retrain.online={rectify: true}", "--set",
              "retrain.consistency=0.5", "--set", "refine.prototypes=true")  # fmt: skip
DISTILL = ("--set", "distill={steps: 2, batch: 2, log_every: 1}")
CHAIN = ("--set", "chain=[warmup,stylize,predict,pseudolabel,refine,retrain,distill,evaluate-retrain,evaluate]")


def terms(folder: str) -> set[str]:
    return json.loads(Path(folder, "log.jsonl").read_text().splitlines()[-1]).keys() - {"step", "loss", "lr"}


def test_prototypes_that_move_start_from_those_of_the_run(workspace, udaseg, manifest):
    outcome = udaseg("retrain --out made", *PROTOTYPES)
    assert outcome.code == 0, outcome.err
    assert "prototypes: runs in runs/tiny/prototypes" in outcome.err
    assert manifest("made")["inputs"]["prototypes"]["path"] == "runs/tiny/prototypes/prototypes.h5"
    assert terms("made") == {"source", "target", "consistency", "confident"}
    outcome = udaseg("retrain --model retrain --out other", *PROTOTYPES)
    assert outcome.code == 1
    assert "holds the prototypes of another model than runs/tiny/retrain/model.pt" in outcome.err


def test_what_the_teacher_says_needs_no_stored_labels(rendered, udaseg, manifest):
    assert udaseg("warmup").code == 0
    online = ("--set", "retrain.labels=none", "--set", "retrain.teacher=0.9", "--set", "retrain.online={}")
    rare = ("--set", "retrain.rare={pixels: 200, temperature: 0.001}")
    outcome = udaseg("retrain", "--set", "retrain.source=source", "--set", "retrain.classmix=true", *online, *rare)
    assert outcome.code == 0, outcome.err
    written = manifest("runs/tiny/retrain")
    assert set(written["inputs"]) == {"class_counts", "model", "source", "target"}
    assert terms("runs/tiny/retrain") == {"source", "target", "confident"}
    assert "stats: runs in runs/tiny/stats" in outcome.err
    table = outcome.err.partition("rare class sampling draws each class, of 6 source images\n")[2].splitlines()[1:20]
    assert [len(line.split()) >= 4 for line in table] == [True] * 19
    assert sum(float(line.split()[-3]) for line in table) == pytest.approx(1, abs=1e-4)
    for start in ("rare class sampling never draws", "rare class sampling draws", "retrain.teacher=0.9 averages over"):
        assert [warning.startswith(start) for warning in written["warnings"]].count(True) == 1


def test_the_statistics_of_the_target_need_no_second_training(workspace, udaseg):
    words = ["retrain.steps=0", "retrain.labels=none", "retrain.source=none", "retrain.adabn=after"]
    outcome = udaseg("retrain --out copied", *(word for one in words for word in ("--set", one)))
    assert outcome.code == 0, outcome.err
    assert udaseg("warmup --out trained --set warmup.adabn=after").code == 0
    copied, trained, plain = (
        Path(folder, "model.pt").read_bytes() for folder in ("copied", "trained", "runs/tiny/warmup")
    )
    assert copied == trained != plain


def test_frozen_encoders_are_inputs_whatever_training_starts_from(workspace, udaseg, manifest):
    encoder = load_recipe("tiny.yaml").model.encoder_name
    for name in (encoder, "test_vit"):
        torch.save(timm.create_model(name, num_classes=0).state_dict(), f"{name}.pth")
    settings = {
        "model.weights": f"{encoder}.pth", "retrain.source": "source", "retrain.masked": "{block: 8}",
        "retrain.feature_distance": "{}", "retrain.passes": "separate",
        "retrain.foundation": "{encoder: test_vit, weights: test_vit.pth, side: 32}",
    }  # fmt: skip
    outcome = udaseg("retrain --out near", *(word for item in settings.items() for word in ("--set", "=".join(item))))
    assert outcome.code == 0, outcome.err
    assert "features stay near the pre-trained ones on traffic light, traffic sign, person" in outcome.err
    inputs = manifest("near")["inputs"]
    assert [inputs[name]["path"] for name in ("weights", "foundation_weights")] == [f"{encoder}.pth", "test_vit.pth"]
    distances = {"feature_distance", "distance", "foundation_source", "foundation_target"}
    assert terms("near") == {"source", "target", "masked"} | distances
    outcome = udaseg("retrain --out other --set retrain.foundation.weights=nowhere.pth")
    assert outcome.code == 1
    assert "error: retrain.foundation: there is no weights file nowhere.pth" in outcome.err
    assert "hint: set retrain.foundation.encoder and retrain.foundation.weights" in outcome.err


def test_settings_that_do_not_fit_are_said_before_anything_is_made(rendered, udaseg):
    outcome = udaseg("retrain", "--set", "retrain.consistency=1.0")
    assert outcome.code == 1
    assert "error: retrain.consistency needs a teacher" in outcome.err
    assert "hint: set retrain.teacher=0.999" in outcome.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("words", ["warmup", "retrain", "distill --set distill.steps=1"])
def test_frozen_statistics_are_not_each_domains_own(workspace, udaseg, words):
    stage = words.split()[0]
    outcome = udaseg(words, "--set", "model.bn=frozen", "--set", f"{stage}.adabn=stem")
    assert outcome.code == 1
    assert f"error: {stage}.adabn=stem normalises each domain by itself in training, and" in outcome.err
    section = "retrain" if stage == "retrain" else "model"
    assert f"hint: set {stage}.adabn=after, or {section}.bn=train" in outcome.err
    assert udaseg(words, "--set", "model.bn=frozen", "--set", f"{stage}.adabn=after", "--dry-run").code == 0


def test_distillation_is_a_stage_of_the_chain_and_what_it_makes_is_evaluated(workspace, udaseg, manifest):
    outcome = udaseg("status --json", *CHAIN, *DISTILL)
    rows = outcome.json["stages"]
    assert [row["stage"] for row in rows][-3:] == ["distill", "evaluate-retrain", "evaluate"]
    assert [row["state"] for row in rows][-3:-1] == ["to run", "to run"]
    outcome = udaseg("distill", *CHAIN, *DISTILL)
    assert outcome.code == 0, outcome.err
    assert manifest("runs/tiny/distill")["inputs"]["model"]["path"] == "runs/tiny/retrain/model.pt"
    assert terms("runs/tiny/distill") == {"source", "target", "soft", "confident"}
    assert udaseg("evaluate", *CHAIN, *DISTILL).code == 0
    assert manifest("runs/tiny/evaluate")["inputs"]["model"]["path"] == "runs/tiny/distill/model.pt"
    assert udaseg("evaluate --model retrain", *CHAIN, *DISTILL).code == 0
    assert manifest("runs/tiny/evaluate-retrain")["inputs"]["model"]["path"] == "runs/tiny/retrain/model.pt"
    states = [row["state"] for row in udaseg("status --json", *CHAIN, *DISTILL).json["stages"]]
    assert set(states) == {"up to date"}
    page = udaseg("report", *CHAIN, *DISTILL)
    assert page.code == 0, page.err
    html = Path("runs/tiny/report.html").read_text()
    assert "distill: the share of confident labels among those that the teacher makes at every step" in html
    assert "up to date (runs/tiny/evaluate-retrain)" in udaseg("evaluate --round 1", *CHAIN, *DISTILL).err


def test_a_student_is_distilled_again_and_the_second_one_is_the_result(workspace, udaseg, manifest):
    twice = ("--set", "chain=[retrain,distill,redistill,evaluate-distill,evaluate]")
    assert "runs/tiny/distill does not exist" in udaseg("distill --again", *twice, *DISTILL).err
    apart = ("--set", "model.bn=frozen", "--set", "distill.adabn=stem")
    assert "error: distill.adabn=stem normalises each domain by itself" in udaseg("distill --again", *twice, *apart).err
    short = ("--set", "distill={steps: 1, batch: 2}")
    for words in ("distill", "distill --again"):
        outcome = udaseg(words, *twice, *short)
        assert outcome.code == 0, outcome.err
    assert manifest("runs/tiny/redistill")["inputs"]["model"]["path"] == "runs/tiny/distill/model.pt"
    said = udaseg("evaluate --dry-run", *twice).err
    assert "runs/tiny/evaluate: input model (runs/tiny/redistill/model.pt) has changed" in said


def test_the_round_that_is_asked_for_is_distilled(workspace, udaseg):
    two = (*CHAIN, *DISTILL, "--set", "rounds=2")
    assert "runs/tiny/round1/retrain does not exist" in udaseg("distill --round 1", *two).err
    assert "runs/tiny/round2/retrain does not exist" in udaseg("distill", *two).err


@pytest.mark.parametrize(
    ("words", "missing", "hint"),
    [
        ("distill", "round3/retrain", "udaseg retrain --round 3"),
        ("predict --round 3", "round2/retrain", "udaseg retrain --round 2"),
        ("predict --round 2", "round1/retrain", "udaseg retrain"),
        ("retrain --round 2", "round2/refine", "udaseg refine --spatial-prior --round 2"),
    ],
)
def test_what_is_missing_is_hinted_at_with_its_round(workspace, udaseg, words, missing, hint):
    outcome = udaseg(words, "--set", "rounds=3", *DISTILL)
    assert outcome.code == 1
    assert f"runs/tiny/{missing} does not exist" in outcome.err
    assert f"hint: run first: {hint} --recipe tiny.yaml --set rounds=3" in " ".join(outcome.err.split())


def test_a_light_student_of_a_finished_network(workspace, udaseg):
    outcome = udaseg(
        "distill --out light", "--set", "model={name: bisenet, backbone: resnet18, weights: none}", *DISTILL
    )
    assert outcome.code == 0, outcome.err
    assert udaseg("evaluate --model light --out scores --json").json["images"] == 3


@pytest.mark.parametrize(
    ("stage", "adabn"),
    [("warmup", "true"), ("retrain", "true"), ("distill", "true"), ("retrain", "stem"), ("retrain", "after")],
)
def test_a_training_can_end_with_batch_norms_statistics_of_the_target(workspace, udaseg, manifest, stage, adabn):
    settings = ("--set", f"{stage}.adabn={adabn}", *(DISTILL if stage == "distill" else ()))
    outcome = udaseg(f"{stage} --out taken", *settings)
    assert outcome.code == 0, outcome.err
    assert "target" in manifest("taken")["inputs"]
    recipe = load_recipe("tiny.yaml")
    target = open_images("cityscapes", "data/toytown/cityscapes", "train")
    training = recipe.warmup.model_copy(update={"batch": 2, "adabn": yaml.safe_load(adabn)})
    said = Path("taken/model.pt").read_bytes()
    estimate_target_statistics(Path("taken/model.pt"), View(target, recipe.target.size), training)
    assert Path("taken/model.pt").read_bytes() == said
    assert udaseg(f"{stage} --out learnt", *settings[2:]).code == 0
    assert Path("learnt/model.pt").read_bytes() != said


def test_after_training_takes_the_targets_statistics_of_a_model_that_was_trained_without(workspace, udaseg):
    assert udaseg("retrain --out plain").code == 0
    assert udaseg("retrain --out after --set retrain.adabn=after").code == 0
    plain, after = (torch.load(f"{out}/model.pt", weights_only=True)["model"] for out in ("plain", "after"))
    differing = {name.rpartition(".")[2] for name in plain if not torch.equal(plain[name], after[name])}
    assert differing == {"running_mean", "running_var", "num_batches_tracked"}


def test_each_round_draws_its_own_crops(workspace, udaseg):
    words = "--set rounds=2 --model warmup --labels runs/tiny/refine/labels --set retrain.source=source"
    for number in (1, 2):
        assert udaseg(f"retrain --round {number} --out round{number} {words}").code == 0
    first, second = (torch.load(f"round{number}/model.pt", weights_only=True)["model"] for number in (1, 2))
    assert not torch.equal(first["backbone.conv_stem.weight"], second["backbone.conv_stem.weight"])
