"""Depth distribution from the command line: its recipes, its mixtures, and what evaluation says of the depth."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from udaseg.config.load import load_recipe

TINY = ("source.size=[32,64]", "target.size=[32,64]", "gmm.grid=[12,20]")
SHORT = tuple(
    f"{stage}.{change}" for stage in ("warmup", "retrain") for change in ("steps=2", "batch=2", "log_every=1")
)


def words(name: str, *changes: str) -> tuple[str, ...]:
    changed = [word for change in (*TINY, *SHORT, *changes) for word in ("--set", change)]
    return ("--recipe", name, "--scale", "toy", *changed)


def log(name: str) -> list[dict]:
    return [json.loads(line) for line in Path(f"runs/{name}-toy/warmup/log.jsonl").read_text().splitlines()]


# lambda_dep, lambda_bal, lambda_tar, lambda_adv, the discriminator's rate, steps of self-training, component sizes of
# 760x1280 pixels, weighted classes
PUBLISHED = {
    "synthia2city": (0.005, 0.01, 0.05, 0.05, 1e-3, 30_000, (50, 4950), True),
    "synthia2city-7": (0.005, 0.01, 0.05, 0.05, 1e-3, 10_000, (100, 900), True),
    "synthia2city-7-small": (0.001, 0.01, 0.05, 0.05, 1e-3, 30_000, (475, 4275), True),
    "synthia2mapillary": (0.0001, 0.005, 0.001, 0.001, 1e-4, 30_000, (50, 50), False),
    "synthia2mapillary-small": (0.0001, 0.005, 0.001, 0.001, 1e-4, 30_000, (238, 237), False),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_recipes_have_the_published_settings(name):
    recipe = load_recipe(name)
    depth, adversary, refine = recipe.depth, recipe.adversary, recipe.refine
    assert (
        *(depth.regression, depth.balance, depth.target_balance, adversary.weight, adversary.lr, recipe.retrain.steps),
        (refine.base0, refine.base1),
        recipe.warmup.class_weights,
    ) == PUBLISHED[name]
    assert recipe.source.size == recipe.target.size == ((320, 640) if name.endswith("small") else (760, 1280))
    assert (recipe.model.color, recipe.model.backbone, recipe.adversary.align) == ("bgr-mean", "resnet101", "fused")
    assert (recipe.warmup.lr, recipe.warmup.head_lr, recipe.retrain.source) == (2.5e-4, 1.0, "none")
    assert recipe.space == ("syn16" if name == "synthia2city" else "grp7-dada")
    assert recipe.target.pad == ("mapillary" in name)
    assert recipe.pseudolabel.p == 1.0


@pytest.mark.parametrize("name", ["synthia2city", "synthia2city-m1", "synthia2mapillary-small"])
def test_their_toy_twins_train_on_toytown(rendered, udaseg, manifest, name):
    shared = words(name)
    outcome = udaseg("warmup", *shared, tiny=False)
    assert outcome.code == 0, outcome.err
    said, heads = manifest(f"runs/{name}-toy/warmup"), load_recipe(name).model.heads
    assert ("gmm" in said["inputs"]) == ("density" in heads)
    assert said["settings"]["depth"] == load_recipe(name, scale="toy").depth.model_dump(mode="json")
    expected = {"source", "depth", "adversarial"} | ({"density", "target_density"} if "density" in heads else set())
    assert expected <= log(name)[0].keys()
    assert "warmup: up to date" in udaseg("warmup", *shared, tiny=False).err
    rows = udaseg("status --json", *shared, tiny=False).json["stages"]
    state = {row["stage"]: row["state"] for row in rows}
    assert list(state) == list(load_recipe(name, scale="toy").chain)
    assert state["warmup"] == "up to date"
    assert state.get("gmm", "up to date") == "up to date"


def test_the_rows_of_the_ablation():
    m1, m2, m3, m4 = (load_recipe(f"synthia2city{row}") for row in ("-m1", "-m2", "-m3", ""))
    assert (m1.model.heads, m2.model.heads) == (("depth",), ("depth", "density"))
    assert m1.chain == ("warmup", "evaluate-warmup", "report")
    assert m2.chain == ("gmm", *m1.chain)
    assert (m2.warmup, m2.adversary, m2.depth) == (m4.warmup, m4.adversary, m4.depth)
    assert m3.chain == m4.chain
    assert (m3.refine.confidence, m3.refine.base0, m3.refine.base1) == (m4.refine.confidence, 0, 0)
    assert m3.retrain == m4.retrain


def test_the_whole_chain_and_the_depth_it_scores(rendered, udaseg, manifest):
    shared = words("synthia2city")
    chain = ("warmup", "predict", "pseudolabel", "refine", "retrain", "evaluate --model warmup", "evaluate", "report")
    for command in chain:
        outcome = udaseg(command, *shared, tiny=False)
        assert outcome.code == 0, outcome.err
        if command == "evaluate":
            table = outcome.out
    run = Path("runs/synthia2city-toy")
    for folder in ("evaluate-warmup", "evaluate"):
        depth = json.loads((run / folder / "metrics.json").read_text())["depth"]
        assert depth["pixels"] > 3 * 64 * 128 // 4
        assert depth["rel"] > 0
        assert 0 <= depth["delta1"] <= depth["delta2"] <= depth["delta3"] <= 1
    for text in ("estimated depth", "source-only", "LRMS", "δ3", "true depth of at most 80 m"):
        assert text in table
    assert "estimated depth" in (run / "report.html").read_text()
    kept = json.loads((run / "pseudolabel" / "thresholds.json").read_text())
    assert kept["kept"] == kept["predicted"]
    # The heads stay as the warm-up left them: self-training has nothing to teach them.
    import torch

    before, after = (
        torch.load(run / stage / "model.pt", weights_only=True)["model"] for stage in ("warmup", "retrain")
    )
    assert all(torch.equal(before[name], after[name]) for name in before if name.startswith("heads."))
    assert not all(torch.equal(before[name], after[name]) for name in before)


def test_class_weights_and_mixtures_come_from_anywhere(rendered, udaseg, manifest):
    shared = words("synthia2city")
    assert udaseg("gmm --out elsewhere", *shared, tiny=False).code == 0
    counts = {"classes": list(syn16()), "pixels": [5] * 16}
    Path("counts.json").write_text(json.dumps(counts))
    outcome = udaseg("warmup --gmm elsewhere/gmm.h5 --class-counts counts.json", *shared, tiny=False)
    assert outcome.code == 0, outcome.err
    inputs = manifest("runs/synthia2city-toy/warmup")["inputs"]
    assert (inputs["gmm"]["path"], inputs["class_counts"]["path"]) == ("elsewhere/gmm.h5", "counts.json")
    assert not Path("runs/synthia2city-toy/gmm").exists()
    assert not Path("runs/synthia2city-toy/stats").exists()
    other = words("synthia2city-7")
    outcome = udaseg("warmup --gmm elsewhere/gmm.h5", *other, tiny=False)
    assert outcome.code == 1
    assert "elsewhere/gmm.h5 holds mixtures of road, sidewalk" in outcome.err
    assert "hint: fit them to the classes of the recipe: udaseg gmm --recipe" in outcome.err


def syn16() -> tuple[str, ...]:
    from udaseg.labels import class_space

    return class_space("syn16").classes


def test_a_source_without_depth_teaches_no_depth(rendered, udaseg):
    outcome = udaseg("warmup --set model.heads=[depth]")
    assert outcome.code == 1
    assert "the heads depth learn the depth of the source, and gta5 has no depth" in outcome.err
    assert "model.heads=[]" in outcome.err
    assert not Path("runs/tiny/warmup").exists()


def test_heads_that_there_are_not(rendered, udaseg):
    outcome = udaseg("warmup --set model.heads=[density]")
    assert outcome.code == 1
    assert "model.heads: expected [], [depth] or [depth, density]" in outcome.err


def test_mixtures_as_published_keep_their_needles(rendered, udaseg, manifest):
    shared = words("synthia2city")
    assert udaseg("gmm", *shared, tiny=False).code == 0
    outcome = udaseg("gmm --compat", *shared, tiny=False)
    assert "gmm.compat: false -> true" in outcome.err
    with h5py.File("runs/synthia2city-toy/gmm/gmm.h5") as file:
        sky = list(file.attrs["classes"]).index(b"sky")
        assert file["variances"][sky, :, 2].min() == pytest.approx(1e-6)
    assert udaseg("gmm --no-compat", *shared, tiny=False).code == 0
    with h5py.File("runs/synthia2city-toy/gmm/gmm.h5") as file:
        assert file["variances"][()].min() == 0.25


def test_depth_that_is_no_measurement_pins_a_component_in_compat_only(rendered, udaseg):
    """Blot depth out of a frame, as SYNTHIA does: with --compat its class owns a component at 65536."""
    from udaseg.data import read_depth
    from udaseg.data.images import png

    for path in sorted(Path("data/toytown/synthia/Depth/Depth").iterdir()):
        cm = read_depth(path)
        cm[-8:] = 0
        path.unlink()  # it is a link into the tree that all tests share
        path.write_bytes(png.encode(np.repeat(cm[:, :, None], 3, axis=2)))
    for flag, artefact in (("--compat", True), ("--no-compat", False)):
        assert udaseg(f"gmm {flag}", *words("synthia2city"), tiny=False).code == 0
        with h5py.File("runs/synthia2city-toy/gmm/gmm.h5") as file:
            weights, means, variances = (file[name][()] for name in ("weights", "means", "variances"))
        pinned = (np.abs(means[:, :, 2] - 65536) < 1) & (weights > 0)
        assert pinned.any() == artefact
        if artefact:
            assert variances[pinned][:, 2] == pytest.approx(1e-6)


def test_components_grow_with_the_area_where_it_is_asked_for(workspace, udaseg):
    for flag, least in (("--scale-with-area", 842), ("--no-scale-with-area", 100_000)):
        outcome = udaseg(f"refine --spatial-prior --base0 100000 --base1 0 {flag} --out {flag[2:]}")
        assert outcome.code == 0, outcome.err
        document = json.loads(Path(flag[2:], "refine.json").read_text())
        assert set(document["minimum"]) == {least}  # of 64x128 pixels; 100000 is for 760x1280
