"""What doctor prints: the datasets at hand, what recipes lack, numbered and with the way out."""

import shutil

import pytest

from udaseg.config.load import shipped_recipes
from udaseg.pipeline import doctor


@pytest.fixture(autouse=True)
def bare(sound, monkeypatch):
    """Let the machine be sound, whatever it is, and without the weights of ImageNet."""
    monkeypatch.setattr(doctor, "weights", lambda backbone: doctor.Finding(f"no weights of {backbone}", "get them"))


def test_what_recipes_lack_is_numbered_with_its_fix_and_breaks_nothing(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    outcome = udaseg("doctor", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "no dataset in data" in outcome.out
    assert "1. there is no directory data/gta5" in outcome.out
    assert "fix: download the ten image" in outcome.out
    assert "nothing is broken" in outcome.out
    for name in shipped_recipes():
        assert name in outcome.out
    assert list(tmp_path.iterdir()) == []


def test_a_recipe_that_is_asked_for_has_to_be_complete(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    assert udaseg("doctor --recipe demo", tiny=False).code == 0
    outcome = udaseg("doctor --recipe gta2city --json", tiny=False)
    assert outcome.code == 1
    said = outcome.json
    assert said["ok"] is False
    assert said["recipes"] == [{"recipe": "gta2city", "scale": "full", "lacks": [1, 2, 3], "toy": True}]
    assert [one["number"] for one in said["findings"]] == [1, 2, 3]
    assert [one["recipes"] for one in said["findings"]] == [["gta2city"]] * 3
    assert "data/cityscapes, where the val images" in said["findings"][1]["what"]


def test_datasets_at_hand_are_counted_and_no_longer_lacking(rendered, udaseg):
    said = udaseg("doctor --data data/toytown --json", tiny=False).json
    found = {one["dataset"]: one["splits"] for one in said["data"]}
    assert found["gta5"] == {"train": {"images": 6, "published": None}}
    assert {split: counts["images"] for split, counts in found["cityscapes"].items()} == {"train": 5, "val": 3}
    assert not [one for one in said["findings"] if "data/toytown/gta5" in one["what"]]
    assert [one for one in said["findings"] if "data/toytown/mapillary" in one["what"]]


def test_a_dataset_that_is_not_whole_is_counted_against_the_published_one(rendered, udaseg):
    shutil.move("data/toytown/gta5", "real/gta5")
    outcome = udaseg("doctor --data real", tiny=False)
    assert "gta5 in real/gta5: train 6 of 24966" in outcome.out


def test_something_broken_exits_with_1(tmp_path, monkeypatch, udaseg):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "ROOM", 1e18)
    outcome = udaseg("doctor --recipe demo", tiny=False)
    assert outcome.code == 1
    assert "1. " in outcome.out
    assert "2 things are broken, nothing is missing" in outcome.out


def test_a_mistyped_recipe_is_an_error(udaseg):
    assert udaseg("doctor --recipe gta2citi", tiny=False).code == 1
