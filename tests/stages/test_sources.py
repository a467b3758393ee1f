"""A chain with two sources: every command, what it names and counts, what it notices and refuses."""

import json
import re
import shutil
from pathlib import Path

import h5py
import pytest

from udaseg.pipeline.trained_model import trained_size

TWO = """\
base: tiny.yaml
name: two
chain: [stylize, warmup, predict, pseudolabel, refine, retrain, evaluate-warmup, evaluate, report]
sources:
  - {dataset: gta5, size: [32, 64], share: 2}
  - {dataset: synthia, size: [32, 64], share: 1, missing: [terrain, truck, train]}
model: {encoder: test_efficientnet, decoder: fpn, weights: none, color: rgb}
"""
BOTH = {"source gta5", "source synthia"}
FIRST = "{dataset: gta5, size: [32, 64], share: 2}"
SECOND = "{dataset: synthia, size: [32, 64], share: 1, missing: [terrain, truck, train]}"


@pytest.fixture
def two(rendered, udaseg):
    """Give the command line for a recipe with two sources."""
    Path("two.yaml").write_text(TWO)
    return lambda command, *more: udaseg(command, "--recipe", "two.yaml", *more, tiny=False)


def test_a_chain_with_two_sources_comes_to_its_report_and_names_both_everywhere(two, udaseg, manifest):
    outcome = udaseg("run two.yaml --set warmup.class_weights=true --set warmup.source=stylize", tiny=False)
    assert outcome.code == 0, outcome.err
    shares = "shares of the sources: gta5 66.7%, 6 images; synthia 33.3%, 6 images, without terrain, truck, train"
    assert {f"warmup: {shares}", f"retrain: {shares}"} <= set(outcome.err.splitlines())
    assert "stylize: 12 images" in outcome.err
    for stage in ("stylize", "warmup", "stats", "retrain"):
        written = manifest(f"runs/two/{stage}")
        assert written["inputs"].keys() >= BOTH
        assert written["settings"]["sources"].keys() == {"gta5", "synthia"}
        assert "source" not in written["settings"].keys() | written["inputs"].keys()
    drawn = manifest("runs/two/warmup")["settings"]["sources"]["synthia"]
    assert (drawn["share"], drawn["missing"], drawn["size"]) == (1.0, ["terrain", "truck", "train"], [32, 64])
    for name, folder in (("gta5", "images"), ("synthia", "RGB")):
        assert len(list(Path("runs/two/stylize", name, folder).glob("*.png"))) == 6
        assert len(Path("runs/two/stylize", name, "pairs.jsonl").read_text().splitlines()) == 6
    counts = json.loads(Path("runs/two/stats/stats.json").read_text())
    assert {re.sub(r"_.*", "", stem) for stem in counts["per_image"]} == {"gta5", "synthia"}
    assert counts["pixels"] == [
        sum(pair) for pair in zip(*(one["pixels"] for one in counts["sources"].values()), strict=True)
    ]
    page = Path("runs/two/report.html").read_text()
    assert (
        "Sources: gta5 (66.7% of the draws); synthia (33.3% of the draws, cannot label terrain, truck, train)" in page
    )
    again = udaseg("run two.yaml --set warmup.class_weights=true --set warmup.source=stylize", tiny=False)
    assert " runs in " not in again.err


def test_other_commands_take_two_sources_or_say_why_not(two, manifest):
    assert two("warmup").code == 0
    for command in ("prior", "prototypes --domain source", "stylize --estimate", "warmup --force --estimate"):
        outcome = two(command)
        assert outcome.code == 0, outcome.err
    assert two("gmm").err.count("skipped, a mixture is of one source, and there are gta5, synthia") == 1
    assert manifest("runs/two/prior")["inputs"].keys() == BOTH
    assert trained_size(Path("runs/two/warmup/model.pt")) == ([32, 64], False)
    with h5py.File("runs/two/prototypes/prototypes.h5") as file:
        assert file["counts"][()].sum() > 0
    assert (
        two("distill", "--model", "warmup", "--set", "distill.steps=1", "--set", "distill.augment.crop=[24,48]").code
        == 0
    )


def test_recipe_check_and_show_name_both(two, udaseg):
    outcome = udaseg("recipe check two.yaml", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "two.yaml can be run: gta5, synthia to cityscapes, 19 classes" in outcome.out
    assert "note: source synthia: labels of missing classes, ignored: terrain, truck, train" in outcome.out
    Path("again.yaml").write_text(udaseg("recipe show two.yaml", tiny=False).out)
    assert udaseg("recipe check again.yaml", tiny=False).code == 0


def test_a_change_in_one_source_is_noticed_and_shares_count_where_images_are_drawn(two):
    for command in ("stylize", "warmup", "data stats"):
        assert two(command).code == 0
    again = ("--set", f"sources=[{SECOND}, {FIRST}]")  # in another order
    for command in ("stylize", "warmup", "data stats"):
        assert "up to date" in two(command, *again).err
    other = ("--set", f"sources=[{FIRST.replace('2}', '5}')}, {SECOND}]")
    assert "sources.gta5.share: 2.0 -> 5.0" in two("warmup --dry-run", *other).err
    for command in ("stylize", "data stats"):
        assert "up to date" in two(f"{command} --dry-run", *other).err
    lacks = ("--set", f"sources=[{FIRST}, {SECOND.replace(', train', '')}]")
    assert (
        'sources.synthia.missing: ["terrain", "truck", "train"] -> ["terrain", "truck"]'
        in two("warmup --dry-run", *lacks).err
    )
    file = Path("data/toytown/synthia/RGB/0000003.png")
    file.unlink()  # it is a link to that of other tests
    shutil.copy("data/toytown/synthia/RGB/0000002.png", file)
    for command in ("stylize", "warmup", "data stats"):
        err = two(f"{command} --dry-run").err
        assert "input source synthia (data/toytown/synthia) has changed" in err
        assert "input source gta5" not in err


def test_a_source_that_lacks_classes_of_another_is_warned_of(two):
    one_image = ("--set", f"sources=[{FIRST}, {{dataset: synthia, limit: 1, size: [32, 64], share: 1}}]")
    outcome = two("data stats", *one_image)
    [lacks] = re.findall(r"warning: synthia has no pixel of (.*): if its labels cannot have them, list", outcome.err)
    assert {"terrain", "train"} & set(lacks.split(", "))
    assert "warning" not in two("data stats").err


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("{dataset: synthia, share: 0}", "sources.1.share: Input should be greater than 0"),
        ("{dataset: synthia, share: 1, missing: [trian]}", "no class 'trian'"),
        ("{dataset: sintia, size: [32, 64], share: 1}", "there is no dataset 'sintia'"),
        ("{dataset: synthia, root: elsewhere, size: [32, 64], share: 1}", "no directory data/toytown/elsewhere"),
        ("{dataset: synthia, size: [32, 48], share: 1}", "a batch of warmup holds images of all sources"),
        ("{dataset: synthia, list: none.txt, size: [32, 64], share: 1}", "none.txt"),
    ],
)
def test_wrong_sources_are_one_clear_error(two, second, message):
    outcome = two("warmup", "--set", f"sources=[{FIRST}, {second}]")
    assert outcome.code == 1
    assert message in outcome.err
    assert outcome.err.count("error: ") == 1
    assert not Path("runs/two/warmup").exists()


def test_a_setting_of_the_one_source_is_refused_beside_several(two):
    outcome = two("warmup --set source.limit=2")
    assert (outcome.code, outcome.err.count("source and sources are both given")) == (1, 1)
    alone = two("warmup --dry-run --set sources=null --set source.limit=2 --set source.size=[32,64]")
    assert alone.code == 0, alone.err
