"""udaseg judge on the models of a run: its table and its file, what it reads, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from udaseg.inference.judgement.scores import SCORES
from udaseg.io.documents.judgement import Judgement
from udaseg.io.documents.read import read_document
from udaseg.pipeline.manifest import digest

BOTH = "judge runs/tiny/warmup runs/tiny"
MODELS = ["runs/tiny/warmup/model.pt", "runs/tiny/retrain/model.pt"]
FILE = Path("runs/judge/judge.json")


def write_recipe(name: str, **changes) -> None:
    """Write a recipe that differs from the tiny one; None leaves a section out."""
    values = yaml.safe_load(Path("tiny.yaml").read_text()) | changes
    Path(name).write_text(yaml.safe_dump({key: value for key, value in values.items() if value is not None}))


def move_run(recipe: str, to: str) -> None:
    """Copy the run and let it be of another recipe."""
    shutil.copytree("runs/tiny", to, ignore=shutil.ignore_patterns(".*.lock"))
    content = json.loads(Path(to, "run.json").read_text()) | {"recipe": str(Path(recipe).resolve())}
    Path(to, "run.json").write_text(json.dumps(content))


def test_models_are_scored_on_the_same_images_and_written_down(workspace, udaseg):
    outcome = udaseg(BOTH, tiny=False)
    assert outcome.code == 0, outcome.err
    assert "ranked by expected" in outcome.out
    document = read_document(FILE, Judgement)
    assert list(document.models) == MODELS
    assert (len(document.target), len(document.source)) == (5, 6)
    for name, model in document.models.items():
        assert model.digest == digest(Path(name))
        assert list(model.scores) == list(SCORES)
        assert None not in model.scores.values()
        assert 0 < model.scores["features"] < 1
        assert model.miou is None
    assert len({model.scores["networks"] for model in document.models.values()}) == 1  # of two models
    best = document.best["expected"]
    lines = outcome.out.splitlines()
    order = [next(i for i, line in enumerate(lines) if name.removesuffix("/model.pt") in line) for name in MODELS]
    assert (order[0] < order[1]) == (best == MODELS[0])
    assert f"judge: {best} is first of 2 by expected" in outcome.err


def test_the_same_command_gives_the_same_bytes_and_does_nothing_twice(workspace, udaseg):
    assert udaseg(BOTH, tiny=False).code == 0
    before = FILE.read_bytes()
    again = udaseg(f"{BOTH} --by entropy", tiny=False)  # another ranking needs no other work
    assert "judge: up to date" in again.err
    assert "ranked by entropy" in again.out
    assert udaseg(f"{BOTH} --force", tiny=False).code == 0
    assert FILE.read_bytes() == before
    assert udaseg(f"{BOTH} --images 2 --seed 1 --out other", tiny=False).code == 0
    other = read_document(Path("other/judge.json"), Judgement)
    assert len(other.target) == 2
    assert set(other.target) < set(json.loads(before)["target"])
    assert udaseg(f"{BOTH} --dry-run --out new", tiny=False).code == 0
    assert not Path("new").exists()


def test_the_true_score_stands_beside_and_changes_nothing(workspace, udaseg):
    assert udaseg(BOTH, tiny=False).code == 0
    blind = json.loads(FILE.read_text())
    outcome = udaseg(f"{BOTH} --true --json", tiny=False)
    assert outcome.code == 0, outcome.err
    document = outcome.json
    assert document == json.loads(FILE.read_text())
    mious = {name: document["models"][name].pop("miou") for name in MODELS}
    assert document == blind
    for name, stage in zip(MODELS, ("evaluate-warmup", "evaluate"), strict=True):
        assert mious[name] == json.loads(Path("runs/tiny", stage, "metrics.json").read_text())["miou"]
    assert "true mIoU" in udaseg(f"{BOTH} --true", tiny=False).out


def test_no_target_label_is_read(workspace, udaseg):
    assert udaseg(BOTH, tiny=False).code == 0
    before = FILE.read_bytes()
    shutil.rmtree("data/toytown/cityscapes/gtFine")
    outcome = udaseg(f"{BOTH} --force", tiny=False)
    assert outcome.code == 0, outcome.err
    assert FILE.read_bytes() == before
    outcome = udaseg(f"{BOTH} --true", tiny=False)
    assert outcome.code == 1
    assert "data/toytown/cityscapes" in outcome.err


def test_one_model_of_a_run_has_every_score_but_the_one_of_several(workspace, udaseg):
    outcome = udaseg("judge --run runs/tiny --json", tiny=False)
    assert outcome.code == 0, outcome.err
    [(name, model)] = outcome.json["models"].items()
    assert name == MODELS[1]
    assert [score for score, value in model["scores"].items() if value is None] == ["networks"]
    assert "networks" not in outcome.json["best"]


def test_a_model_of_no_run_needs_a_recipe(workspace, udaseg):
    Path("elsewhere").mkdir()
    shutil.copy(MODELS[0], "elsewhere/model.pt")
    outcome = udaseg("judge elsewhere/model.pt", tiny=False)
    assert outcome.code == 1
    assert "elsewhere/model.pt lies in no run" in outcome.err
    scores = [
        udaseg(f"judge {path} --json").json["models"][f"{path}/model.pt"] for path in ("elsewhere", "runs/tiny/warmup")
    ]
    assert scores[0] == scores[1]


def test_models_that_learnt_another_source_are_judged_on_that_of_the_first(workspace, udaseg):
    write_recipe("synthia.yaml", source={"dataset": "synthia", "size": [32, 64]})
    move_run("synthia.yaml", "runs/other")
    outcome = udaseg(f"{BOTH} runs/other", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "runs/other/retrain/model.pt learnt other source images or labels: all are judged on those of" in outcome.err
    models = read_document(FILE, Judgement).models
    assert models["runs/other/retrain/model.pt"].scores["source"] == models[MODELS[1]].scores["source"]


def test_labels_of_the_source_that_say_something_else_are_those_of_the_first_too(workspace, udaseg):
    """The images are the same, and no label has a class."""
    own = Path("data/toytown/own/train")
    (own / "labels").mkdir(parents=True)
    (own / "images").symlink_to(Path("data/toytown/gta5/images").resolve())
    (own.parent / "classes.yaml").write_text("names: {7: road, 26: car}\n")
    for path in sorted(Path("data/toytown/gta5/labels").iterdir()):
        Image.new("L", (128, 64), 255).save(own / "labels" / path.name)
    write_recipe("own.yaml", source={"dataset": "folder", "root": "own", "size": [32, 64]})
    move_run("own.yaml", "runs/own")
    outcome = udaseg("judge runs/own", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "judge: no model has the score expected: mIoU that" in outcome.err
    assert "is first" not in outcome.err
    outcome = udaseg("judge runs/tiny runs/own --out both", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "runs/own/retrain/model.pt learnt other source images or labels" in outcome.err
    models = json.loads(Path("both/judge.json").read_text())["models"]
    assert models["runs/own/retrain/model.pt"]["scores"]["expected"] == models[MODELS[1]]["scores"]["expected"]


def test_several_sources_are_judged_together(workspace, udaseg):
    several = [{"dataset": name, "size": [32, 64]} for name in ("gta5", "synthia")]
    write_recipe("several.yaml", source=None, sources=several)
    Path("elsewhere").mkdir()
    shutil.copy(MODELS[0], "elsewhere/model.pt")
    outcome = udaseg("judge elsewhere --recipe several.yaml --images 8 --json", tiny=False)
    assert outcome.code == 0, outcome.err
    names = [stem.partition("_")[0] for stem in outcome.json["source"]]
    assert (names, len(names)) == (sorted(names), 8)
    assert {*names} == {"gta5", "synthia"}


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        ("--by mious", "--by mious: there is no such score", "known: atc, "),
        ("runs/tiny --by networks", "one model has no other to agree with", "two models"),
        ("runs/tiny runs/tiny/retrain", "a model is named twice", "once"),
        ("nowhere", "there is no model nowhere", "model.pt"),
        ("runs", "runs holds no model.pt", "model.pt"),
        ("runs/tiny runs/few", "has 2 classes and runs/tiny/retrain/model.pt 19, or others", "one class space"),
        (
            "runs/tiny runs/coded --true",
            "--true: runs/coded/retrain/model.pt is scored on other labels of the target than runs/tiny/retrain",
            "leave out --true",
        ),
        ("runs/tiny runs/less", "adapts to 2 images of data/toytown/cityscapes, train", "one target"),
    ],
)
def test_what_cannot_be_judged_is_refused_in_one_message(workspace, udaseg, words, message, hint):
    write_recipe("few.yaml", space=["road", "car"])
    write_recipe("less.yaml", target={"size": [32, 64], "limit": 2})
    write_recipe("coded.yaml", target={"size": [32, 64], "val": "train"})
    for name in ("few", "less", "coded"):
        move_run(f"{name}.yaml", f"runs/{name}")
    outcome = udaseg(f"judge {words}", tiny=False)
    assert outcome.code == 1
    said, _, way = outcome.err.partition("\n hint: ")
    assert said.count("error: ") == 1
    assert message in said
    assert hint in way
    assert not Path("runs/judge").exists()


def test_a_network_that_looks_through_windows_is_judged_as_it_is_evaluated(workspace, udaseg):
    whole, windows = (
        udaseg(f"judge runs/tiny --json --force --out {out}", *more, tiny=False).json["models"][MODELS[1]]["scores"]
        for out, more in (("a", ()), ("b", ("--set", "evaluate.window=[32,32]")))
    )
    assert whole["source"] != windows["source"]
    assert None not in {**windows, "networks": 0}.values()
