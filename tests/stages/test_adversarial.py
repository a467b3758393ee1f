"""Adversarial alignment from the command line: its recipes, its manifest, and what tells how large a network is."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from udaseg import config, models
from udaseg.config.load import load_recipe
from udaseg.models import checkpoint, speed

NAMES = ("adaptseg-gta2city", "adaptseg-multi-gta2city", "advent-gta2city", "realtime-gta2city")
TINY = ("source.size=[32,64]", "target.size=[32,64]", "warmup.steps=2", "warmup.batch=2", "warmup.log_every=1")


def changed(*changes: str) -> list[str]:
    return [word for change in changes for word in ("--set", change)]


def log() -> list[dict]:
    (path,) = Path("runs").glob("*/warmup/log.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_its_recipes_are_planned_and_train(rendered, udaseg, manifest, name):
    shared = ("--recipe", name, "--scale", "toy", *changed(*TINY))
    rows = udaseg("status --json", *shared, tiny=False).json["stages"]
    assert [row["stage"] for row in rows] == list(load_recipe(name).chain)
    outcome = udaseg("warmup", *shared, tiny=False)
    assert outcome.code == 0, outcome.err
    assert "warmup: up to date" in udaseg("warmup", *shared, tiny=False).err
    said = manifest(f"runs/{name}-toy/warmup")
    assert {"source", "target"} == said["inputs"].keys() - {"weights"}
    adversary = load_recipe(name, scale="toy").adversary.model_dump(mode="json", exclude={"maps"})
    assert said["settings"]["adversary"] == adversary
    assert [line["step"] for line in log()] == [1, 2]
    both = name in ("adaptseg-multi-gta2city", "advent-gta2city")
    for level in ("", "_aux1") if both else ("",):
        terms = {f"{term}{level}" for term in ("source", "adversarial", "discriminator", "discriminator_accuracy")}
        assert terms <= log()[0].keys()


FADA = (
    "--recipe",
    "fada-gta2city",
    "--scale",
    "toy",
    *changed(*TINY, "warmup.class_balanced=false", "warmup.adabn=false"),
)
ALONE = changed("pretrain.steps=2", "pretrain.batch=2", "pretrain.log_every=1")


def test_a_phase_on_the_source_alone_comes_first_and_its_model_is_gone_on_with(rendered, udaseg, manifest):
    rows = udaseg("status --json", *FADA, tiny=False).json["stages"]
    assert [row["stage"] for row in rows][:2] == ["pretrain", "warmup"]
    outcome = udaseg("warmup", *FADA, *ALONE, tiny=False)
    assert outcome.code == 0, outcome.err
    run = Path("runs/fada-gta2city-toy")
    first, then = manifest(run / "pretrain"), manifest(run / "warmup")
    assert first["inputs"].keys() == {"class_counts", "source", "weights"}
    assert first["settings"]["pretrain"]["class_balanced"]
    assert not {"warmup", "adversary", "target"} & first["settings"].keys()
    assert then["inputs"]["pretrain"]["path"] == str(run / "pretrain" / "model.pt")
    lines = [json.loads(line) for line in (run / "pretrain" / "log.jsonl").read_text().splitlines()]
    assert [sorted(line) for line in lines] == [["loss", "lr", "source", "step"]] * 2
    assert "pretrain: up to date" in udaseg("warmup --pretrain", *FADA, *ALONE, tiny=False).err
    # A longer first phase is a reason for both; with no step of its own, the warm-up ends as the phase before did.
    outcome = udaseg("warmup --dry-run", *FADA, *ALONE, *changed("pretrain.steps=3"), tiny=False)
    assert "pretrain.steps: 2 -> 3" in outcome.err
    assert udaseg("warmup", *FADA, *ALONE, *changed("warmup.steps=0"), tiny=False).code == 0
    one, other = (torch.load(run / stage / "model.pt", weights_only=True) for stage in ("pretrain", "warmup"))
    assert all(torch.equal(one["model"][name], other["model"][name]) for name in one["model"])


def test_a_recipe_without_a_first_phase_says_so(rendered, udaseg):
    outcome = udaseg("warmup --pretrain")
    assert outcome.code == 1
    assert "recipe tiny has no pretrain section" in outcome.err


def test_the_student_learns_every_pixel_with_batch_norm_of_its_own(rendered, udaseg, manifest):
    student = changed("retrain.steps=1", "retrain.batch=2", "model.bn=frozen", "retrain.bn=train")
    run = Path("runs/fada-gta2city-toy")
    for stage in ("warmup", "predict", "pseudolabel", "retrain"):
        outcome = udaseg(stage, *FADA, *ALONE, *student, tiny=False)
        assert outcome.code == 0, outcome.err
    assert manifest(run / "retrain")["inputs"].keys() == {"labels", "target", "weights"}
    labels = [np.array(Image.open(path)) for path in (run / "pseudolabel" / "labels").iterdir()]
    assert len(labels) == 5
    assert all((label != 255).all() for label in labels)
    models = {stage: torch.load(run / stage / "model.pt", weights_only=True) for stage in ("warmup", "retrain")}
    tracked = {stage: int(read["model"]["backbone.bn1.num_batches_tracked"]) for stage, read in models.items()}
    assert tracked == {"warmup": 0, "retrain": 1}


def test_a_second_level_that_is_not_there_is_said(rendered, udaseg):
    outcome = udaseg("warmup", *changed("adversary.align=output", "adversary.auxiliary=0.0002"))
    assert outcome.code == 1
    assert "hint: set model.auxiliary=0.1 to add one" in outcome.err


def test_the_rows_of_the_real_time_table(rendered, udaseg, manifest):
    name = "realtime-gta2city"
    shared = ("--recipe", name, "--scale", "toy", *changed(*TINY, "warmup.steps=1"))
    models = set()
    for row in (["adversary.align=none", "warmup.adabn=false"], ["adversary.discriminator=full"], ["warmup.fda=0.1"],
                ["warmup.fda=0.1", "warmup.augment.blur=0"]):  # fmt: skip
        outcome = udaseg("warmup", *shared, *changed(*row), tiny=False)
        assert outcome.code == 0, outcome.err
        said = manifest(f"runs/{name}-toy/warmup")
        assert ("target" in said["inputs"]) is (row[0] != "adversary.align=none")
        models.add(said["outputs"]["digest"])
    assert len(models) == 4


def test_the_entropy_of_the_target_alone(rendered, udaseg, manifest):
    outcome = udaseg("warmup", *changed("warmup.entropy_weight=0.005", "warmup.fda=0.05"))
    assert outcome.code == 0, outcome.err
    assert {"source", "target"} == manifest("runs/tiny/warmup")["inputs"].keys()
    assert all(line["entropy"] > 0 for line in log())
    delayed = ("warmup.entropy_weight=0.005", "warmup.fda=0.05", "warmup.entropy_from=2")
    assert udaseg("warmup", *changed(*delayed)).code == 0
    assert [line.get("entropy", 0) > 0 for line in log()] == [False, False, True, True]
    assert udaseg("warmup --steps 2", *changed(*delayed)).code == 0
    assert manifest("runs/tiny/warmup")["warnings"][-1] == (
        "warmup.entropy_from=2: no entropy was penalised in 2 steps"
    )


def test_an_overpowered_discriminator_is_warned_of(rendered, udaseg, manifest, monkeypatch):
    from udaseg.train import adversary

    monkeypatch.setattr(adversary, "OVERPOWERED", -1.0)
    monkeypatch.setattr(adversary, "ENOUGH", 4)
    outcome = udaseg("warmup", *changed("adversary.align=output", "warmup.steps=8", "warmup.batch=1"))
    assert outcome.code == 0, outcome.err
    assert "warmup: warning: in the last 4 steps the discriminator was right in" in outcome.err
    (warning,) = manifest("runs/tiny/warmup")["warnings"]
    assert "overpowered" in warning


def test_a_source_is_styled_once_only(rendered, udaseg):
    outcome = udaseg("warmup", *changed("warmup.fda=0.1", "warmup.source=stylize"))
    assert outcome.code == 1
    assert "warmup.source=stylize has given it one already" in outcome.err
    assert not Path("runs").exists()


def test_what_a_file_of_weights_lacks_is_said_and_kept(workspace, udaseg, manifest):
    state = models.construct(config.Model(name="fpn", backbone="resnet18", weights="none"), 5).state_dict()
    body = {name.removeprefix("backbone."): value for name, value in state.items() if name.startswith("backbone.")}
    torch.save(body, "body.pth")
    network = "model={name: fpn, backbone: resnet18, weights: body.pth}"
    outcome = udaseg("warmup --steps 1 --run runs/other", "--set", network)
    assert outcome.code == 0, outcome.err
    (warning,) = manifest("runs/other/warmup")["warnings"]
    assert warning.startswith("model.weights: body.pth: 120 tensors; 15 ")
    assert "15 missing (laterals.0.weight" in warning
    assert warning in outcome.err


@pytest.mark.parametrize(("beta", "warned"), [(0.02, True), (0.04, False)])
def test_a_style_of_no_more_than_a_colour_is_warned_of(workspace, udaseg, manifest, beta, warned):
    outcome = udaseg(f"warmup --steps 1 --set warmup.fda={beta} --run runs/other")
    assert outcome.code == 0, outcome.err
    assert [warning.split(":")[0] for warning in manifest("runs/other/warmup")["warnings"]] == [
        "warmup.fda=0.02 of 32x64 pixels is less than one frequency"
    ] * warned


# --- udaseg info --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameters", "rule", "giga"),
    [
        ("full", 2_781_121, "MAC+bias", 61.820),
        ("light", 191_364, "MAC+bias", 4.359),
        ("light", 191_364, "MAC", 4.271),
        ("bisenet", 12_068_672, "MAC", 101.783),
    ],
)
def test_info_counts_parameters_and_operations(udaseg, name, parameters, rule, giga):
    said = udaseg(f"info {name} --size 1024x2048 --json", tiny=False).json
    assert said["parameters"] == parameters
    assert said["operations"][rule] / 1e9 == pytest.approx(giga, abs=5e-4)
    assert said["operations"]["2*MAC"] == 2 * said["operations"]["MAC"]


@pytest.mark.parametrize(
    ("words", "parameters", "macs", "stride", "license_"),
    [
        ("daformer --encoder mit_b5", 85.16, 126.3, 4, "NVIDIA's, non-commercial"),
        ("segformer --encoder mit_b0", 3.72, 7.8, 4, "NVIDIA's, non-commercial"),
        ("fpn", 11.28, None, 4, "BSD-3-Clause"),
        ("tf_efficientnet_lite0", None, None, 4, "apache-2.0"),
    ],
)
def test_info_knows_encoders_and_decoders(udaseg, words, parameters, macs, stride, license_):
    result = udaseg(f"info {words} --size 512x512 --json", tiny=False).json
    assert (result["stride"], result["weights_license"]) == (stride, license_)
    if parameters is not None:
        assert result["parameters"] / 1e6 == pytest.approx(parameters, abs=0.005)
    if macs is not None:
        assert result["operations"]["MAC"] / 1e9 == pytest.approx(macs, abs=0.05)


def test_info_tells_the_memory_of_training(udaseg):
    memory = udaseg("info fpn --size 64x128 --train --json", tiny=False).json["training_memory_bytes"]
    assert memory["fp32"]["adamw"] == 2 * memory["fp32"]["sgd"]
    assert memory["bf16"]["activations"] < memory["fp32"]["activations"]
    assert "for each image in a step; weights, gradients and" in udaseg("info fpn --train", tiny=False).out
    outcome = udaseg("info full --train", tiny=False)
    assert (outcome.code, "full is a discriminator" in outcome.err) == (1, True)


def test_info_counts_both_resolutions_of_a_network_with_detail(udaseg):
    words = "info fpn --encoder test_efficientnet --size 64x128"
    said = udaseg(f"{words} --detail 32x64 --json", tiny=False).json
    assert (said["detail"], said["windows"]) == ([32, 64], 9)
    assert said["training_macs"] < said["operations"]["MAC"] / 4
    single = udaseg(f"{words} --json", tiny=False).json
    assert "detail" not in single
    assert single["parameters"] < said["parameters"]
    assert "9 windows of the detail; in training" in udaseg(f"{words} --detail 32x64", tiny=False).out


def test_info_measures_frames_a_second(finished, udaseg, monkeypatch):
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    monkeypatch.setattr(speed, "RUNS", (2, 3))
    monkeypatch.chdir(finished)
    for words in ("bisenet", "light", "runs/tiny/warmup/model.pt"):
        found = udaseg(f"info {words} --size 64x128 --measure --json", tiny=False).json["speed"]
        assert found["frames_per_second"] == pytest.approx(1000 / found["latency_ms"])
        assert (found["runs"], found["threads"]) == (2, torch.get_num_threads())
        assert {"device", "precision"} <= found.keys()
    out = udaseg("info bisenet --size 64x128 --measure --train", tiny=False).out
    assert re.search(
        r"speed: [\d.]+ frames a second, [\d.]+ ms for an image, on \w+.* in (bf16|fp32), \d+ threads", out
    )
    assert "the median of 2 runs after 3, without reading and upsampling" in out
    assert "for each image in a step" in out


def test_info_names_the_rules(udaseg):
    out = udaseg("info full", tiny=False).out
    assert "2,781,121 parameters" in out
    assert "input 19x1024x2048" in out
    for words in ("MAC+bias", "61.820 G", "2*MAC", "123.514 G"):
        assert words in out


def test_info_reads_a_model(finished, udaseg, monkeypatch):
    monkeypatch.chdir(finished)
    said = udaseg("info runs/tiny/warmup/model.pt --size 64x128 --json", tiny=False).json
    assert udaseg("info runs/tiny/warmup --size 64x128 --json", tiny=False).json["classes"] == 19
    assert (said["classes"], said["input"]) == (19, [3, 64, 128])
    learnt = checkpoint.load(finished / "runs/tiny/warmup/model.pt")[0].parameters()
    assert said["parameters"] == sum(value.numel() for value in learnt)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "nothing",
            "known: deeplab, bisenet, fpn, segformer, daformer, aspp, linear, upscale, fcn8s, dilated, full, light",
        ),
        ("full --size big", "expected HEIGHTxWIDTH"),
        ("light --size 16x64", "32x32 or more"),
        ("fpn --backbone vgg", "there is no encoder 'vgg'"),
        ("light --backbone resnet18", "the discriminator light has no backbone"),
        ("fpn --size 64x64 --detail 64x128", "--size 64x64 is smaller than the detail of 64x128"),
        ("smp/fpn --encoder resnet18.tv_in1k --detail 64x64", "detail needs a decoder without align_corners"),
        ("docs", "file 'docs/model.pt'"),
    ],
)
def test_info_says_what_it_does_not_know(udaseg, words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").mkdir()
    outcome = udaseg(f"info {words}", tiny=False)
    assert outcome.code == 1
    assert message in outcome.err


# --- udaseg ensemble ----------------------------------------------------------------------------------------------


def test_ensemble_is_a_stage_whose_file_pseudo_labels_are_made_from(workspace, udaseg, manifest):
    outcome = udaseg("predict --model retrain --out other")
    assert outcome.code == 0, outcome.err
    words = "ensemble --predictions runs/tiny/predict --predictions other/predictions.h5 --weights 1,3"
    outcome = udaseg(words)
    assert outcome.code == 0, outcome.err
    said = manifest("runs/tiny/ensemble")
    assert said["settings"] == {"ensemble": {"weights": [1.0, 3.0]}}
    assert [given["path"] for given in said["inputs"].values()] == [
        "runs/tiny/predict/predictions.h5", "other/predictions.h5"
    ]  # fmt: skip
    assert said["metrics"] == {"images": 5, "networks": 2}
    assert "ensemble: up to date" in udaseg(words).err
    outcome = udaseg("pseudolabel --predictions runs/tiny/ensemble --out labels")
    assert outcome.code == 0, outcome.err
    assert len(list(Path("labels/labels").iterdir())) == 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "two or more files of predictions, and was given 0"),
        ("--predictions a.h5", "was given 1"),
        ("--predictions a.h5 --predictions b.h5", "a.h5 does not exist"),
        ("--predictions a --predictions b --weights 1,x", "--weights 1,x: expected 2 positive numbers"),
        ("--predictions a --predictions b --weights 1,0", "expected 2 positive numbers"),
        ("--predictions a --predictions b --weights 1", "expected 2 positive numbers"),
    ],
)
def test_ensemble_says_what_it_needs(rendered, udaseg, words, message):
    outcome = udaseg(f"ensemble {words}")
    assert outcome.code == 1
    assert message in outcome.err


def test_stored_predictions_are_scored_as_their_model_is(workspace, udaseg, manifest):
    for stage in ("warmup", "retrain"):
        outcome = udaseg(f"predict --model {stage} --out {stage}-val --set target.split=val --set predict.adabn=false")
        assert outcome.code == 0, outcome.err
    scored = udaseg("evaluate --predictions retrain-val --json")
    assert scored.code == 0, scored.err
    assert {"predictions", "val"} == manifest("runs/tiny/evaluate-retrain-val")["inputs"].keys()
    direct = udaseg("evaluate --model retrain --json").json
    assert (scored.json["images"], scored.json["miou"]) == (3, pytest.approx(direct["miou"], abs=2e-3))
    panels = [
        {path.name for path in Path(f"runs/tiny/{name}/panels").iterdir()}
        for name in ("evaluate", "evaluate-retrain-val")
    ]
    assert panels[0] == panels[1]
    both = "ensemble --predictions warmup-val --predictions retrain-val/predictions.h5 --out both"
    assert udaseg(both).code == 0
    logits, probs = (
        udaseg(f"evaluate --predictions both --average {way} --out by-{way} --json") for way in ("logits", "probs")
    )
    assert (logits.code, probs.code) == (0, 0)
    assert logits.json["miou"] != probs.json["miou"]
    for words, message in (
        ("--predictions runs/tiny/predict", "lacks all of the 3 labelled images"),
        ("--predictions none.h5", "none.h5"),
        ("--predictions both --model warmup --flip", "--model, --flip: nothing would read them"),
    ):
        outcome = udaseg(f"evaluate {words} --out x")
        assert outcome.code == 1
        assert message in outcome.err
