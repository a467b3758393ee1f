"""Which model of a run is called source-only and which adapted, and what the page says of the discriminators."""

import json

import pytest

from udaseg.report import write
from udaseg.report.run_data import ROLES, collect

LOW, MIDDLE, HIGH = ([value] * 19 for value in (0.2, 0.3, 0.5))


def roles(root) -> dict[str, str | None]:
    run = collect(root)
    return {role: getattr(run.evaluation(role), "name", None) for role in ROLES}


@pytest.fixture
def fake(fake_run):
    return fake_run()


def test_a_warmup_that_looked_at_the_target_makes_an_adapted_model(fake, tmp_path):
    fake.training("warmup", source="data/gta5", target="data/cityscapes")
    fake.evaluate("evaluate-warmup", MIDDLE)
    assert roles(fake.root) == {"source": None, "adapted": "evaluate-warmup", "oracle": None}
    page = write(fake.root, tmp_path / "page.html").read_text()
    assert "adapted mIoU" in page
    assert "source-only mIoU" not in page


def test_a_warmup_on_the_source_alone_makes_a_source_only_model(fake):
    fake.training("warmup", source="data/gta5")
    fake.evaluate("evaluate-warmup", MIDDLE)
    assert roles(fake.root) == {"source": "evaluate-warmup", "adapted": None, "oracle": None}
    fake.evaluate("evaluate", HIGH)
    assert roles(fake.root) == {"source": "evaluate-warmup", "adapted": "evaluate", "oracle": None}


def test_the_phase_before_is_source_only_where_there_is_one(fake, tmp_path):
    fake.training("pretrain", source="data/gta5")
    fake.training("warmup", source="data/gta5", target="data/cityscapes")
    fake.evaluate("evaluate-pretrain", LOW)
    fake.evaluate("evaluate-warmup", MIDDLE)
    assert roles(fake.root) == {"source": "evaluate-pretrain", "adapted": "evaluate-warmup", "oracle": None}
    assert "points above source-only" in " ".join(write(fake.root, tmp_path / "page.html").read_text().split())
    fake.evaluate("evaluate", HIGH)
    assert roles(fake.root) == {"source": "evaluate-pretrain", "adapted": "evaluate", "oracle": None}
    assert "it already holds what that brings" not in write(fake.root, tmp_path / "page.html").read_text()


def test_a_start_that_was_aligned_already_is_said(fake, tmp_path):
    fake.training("warmup", source="data/gta5", target="data/cityscapes")
    fake.evaluate("evaluate-warmup", MIDDLE)
    fake.evaluate("evaluate", HIGH)
    assert roles(fake.root)["source"] == "evaluate-warmup"
    page = " ".join(write(fake.root, tmp_path / "page.html").read_text().split())
    assert "the warm-up used target images too, so it already has that gain" in page


def test_the_accuracy_of_each_discriminator_has_a_chart_of_its_own(fake, tmp_path):
    folder = fake.training("warmup", source="data/gta5", target="data/cityscapes")
    names = ("discriminator_accuracy", "discriminator_accuracy_aux1")
    lines = [{"step": s, "loss": 1.0, names[0]: 0.5 + s / 400, names[1]: 0.75, "lr": 0.1} for s in range(0, 201, 10)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write(fake.root, tmp_path / "page.html").read_text()
    assert "discriminator_accuracy, last 1<" in page
    assert "discriminator_accuracy_aux1, last 0.75<" in page
    assert page.count("was right about the domain") == 1
    assert page.count('class="curve s1"') == 1
