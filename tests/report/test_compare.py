"""Runs side by side: numbers that can be checked by hand, and the published tables."""

import csv
import io
import json

import pytest

from udaseg.config.load import load_recipe, shipped_recipes
from udaseg.errors import UdasegError
from udaseg.labels import SPACES
from udaseg.metrics import DEPTH_ERRORS
from udaseg.report import comparison_table
from udaseg.report.compare import compare, comparison_warnings, network_warnings, read_run
from udaseg.report.depth_errors import depth_notes
from udaseg.report.find_runs import find_runs, read_runs
from udaseg.report.networks import PRINTED, Network, is_printed
from udaseg.report.published import published, tables

CLASSES = ("road", "car")
DEEPLAB = {"name": "deeplab", "backbone": "resnet101"}
BISENET = {"name": "bisenet", "backbone": "resnet18"}
CBST = {"pseudolabel": {"policy": "cbst"}}


@pytest.fixture
def write(tmp_path):
    """Write a run of one training and its evaluation, as the stages leave them."""

    def run(
        name, iou, seed=0, recipe="light", stage="warmup", classes=CLASSES, images=5, model=None, other=(), **settings
    ):
        folder = tmp_path / name
        manifest = {
            "schema": 1, "stage": stage, "version": "0.1.0", "command": "", "seed": seed,
            "settings": {stage: {"steps": 9, **settings}, "data": "a/b", "model": model or {}, **dict(other)},
            "inputs": {},
            "outputs": {"count": 1, "bytes": 1, "digest": "a", "signature": "b"}, "metrics": {}, "warnings": [],
            "environment": {}, "started": "2026-01-01T10:00:00Z", "seconds": 1,
        }  # fmt: skip
        evaluation = f"evaluate-{stage}" if stage == "warmup" else "evaluate"
        for part in (stage, evaluation):
            (folder / part).mkdir(parents=True, exist_ok=True)
            (folder / part / "manifest.json").write_text(json.dumps(manifest))
        known = [value for value in iou if value is not None]
        metrics = {"classes": list(classes), "iou": iou, "miou": sum(known) / len(known) if known else None}
        metrics |= {"confusion": [[1] * len(classes)] * len(classes), "images": images, "convention": "own"}
        metrics |= {"pixel_accuracy": 0.5, "miou16": None, "miou13": None, "absent": []}
        (folder / evaluation / "metrics.json").write_text(json.dumps(metrics))
        (folder / "run.json").write_text(json.dumps({"recipe": recipe, "scale": "full", "data": "data", "seed": seed}))
        return folder

    return run


def rows(*folders, oracle=(), table=None):
    return compare([read_run(folder) for folder in folders], [read_run(folder) for folder in oracle], table)


def test_means_gains_and_shares_are_taken_a_seed_at_a_time(write):
    none = [write(f"none-{s}", [value, value], s, "none") for s, value in enumerate((0.2, 0.4))]
    light = [write(f"light-{s}", [value, value], s) for s, value in enumerate((0.4, 0.5))]
    best = [write(f"best-{s}", [0.6, 0.8], s, "oracle") for s in (0, 1)]
    first, second, bound = rows(*none, *light, oracle=best)
    assert (first.label, second.label, bound.label) == ("none", "light", "oracle")
    assert first.miou == pytest.approx((0.3, 0.02**0.5))
    assert (first.delta, first.gap_closed, bound.gap_closed) == (None, None, None)
    assert second.delta == pytest.approx((0.15, 0.005**0.5))  # 0.2 and 0.1
    assert second.gap_closed == pytest.approx(((0.2 / 0.5 + 0.1 / 0.3) / 2, abs(0.4 - 1 / 3) / 2**0.5))
    assert bound.delta == pytest.approx((0.4, 0.02**0.5))
    assert second.iou[0] == pytest.approx((0.45, 0.005**0.5))


def test_other_seeds_give_differences_of_means_and_say_so(write):
    runs = [write("a", [0.2, 0.2], 0, "none"), write("b", [0.3, 0.3], 1), write("c", [0.5, 0.5], 2)]
    first, second = found = rows(*runs)
    assert second.delta == pytest.approx((0.2, None))
    assert first.miou.deviation is None
    assert any("not all rows have the same seeds" in said for said in comparison_warnings(found))


def test_runs_of_one_recipe_are_told_apart_by_what_they_are_set_to(write):
    runs = [write("a", [0.2, 0.2], fda=None), write("b", [0.3, 0.3], fda=0.05), write("c", [0.4, 0.4], 1, fda=0.05)]
    first, second = rows(*runs)
    assert (first.label, second.label) == ("light (warmup.fda=null)", "light (warmup.fda=0.05)")
    assert [run.seed for run in second.runs] == [0, 1]


def test_no_two_rows_have_one_name(write):
    base = {"a": 1, "b": 1, "c": 1, "d": 1}
    changed = [base, base | {"d": 2}, base | {"a": 2, "b": 2, "c": 2}]
    runs = [write(f"run-{i}", [0.2, 0.3], **settings) for i, settings in enumerate(changed)]
    found = rows(*runs)
    assert [row.label for row in found] == [
        "light (warmup.a=1, warmup.b=1, warmup.d=1, ...)",
        "light (warmup.a=1, warmup.b=1, warmup.d=2, ...)",
        "light (warmup.a=2, warmup.b=2, warmup.c=2, ...)",
    ]
    assert comparison_table.by_class(found, None, ()).header == ("class", *(row.label for row in found))
    twice = rows(runs[0], runs[0])
    assert comparison_table.by_class(twice, None, ()).header == ("class", str(runs[0]), str(runs[0]))


def test_the_same_seed_twice_is_no_further_seed(write):
    runs = [write("a", [0.2, 0.2]), write("b", [0.3, 0.3])]
    found = rows(*runs)
    assert [row.label for row in found] == [str(path) for path in runs]
    assert all(row.miou.deviation is None for row in found)


def test_an_oracle_that_is_no_better_gives_no_share(write):
    _, light, _ = rows(write("a", [0.4, 0.4], recipe="x"), write("b", [0.5, 0.5]), oracle=[write("c", [0.3, 0.3])])
    assert light.gap_closed is None


def test_absent_classes_have_no_mean(write):
    (row,) = rows(write("a", [0.4, None]), write("b", [0.5, 0.1], 1))
    assert row.iou[1] is None
    assert row.miou.mean == pytest.approx(0.35)


def test_an_evaluation_may_be_named_and_the_last_is_taken_else(write):
    folder = write("a", [0.2, 0.2])
    write("a", [0.6, 0.6], stage="retrain")
    assert read_run(folder).metrics.miou == 0.6
    assert read_run(folder / "evaluate-warmup").metrics.miou == 0.2


def test_a_stage_beside_runs_does_not_make_their_directory_a_run(write, tmp_path):
    run = write("a", [0.2, 0.2])
    (run / "evaluate-warmup").rename(tmp_path / "evaluate-small")
    assert find_runs(tmp_path) == [run]
    with pytest.raises(UdasegError, match="none of the 1 runs below") as caught:
        read_runs([tmp_path])
    assert caught.value.hint == f"run first: udaseg evaluate --run {run}"
    with pytest.raises(UdasegError, match="has no finished evaluation") as caught:
        read_run(run.rename(tmp_path / "my run"))
    assert caught.value.hint == f"run first: udaseg evaluate --run '{tmp_path / 'my run'}'"


def test_what_cannot_be_compared_is_said(write, tmp_path):
    with pytest.raises(UdasegError, match="there is no such directory"):
        read_run(tmp_path / "nowhere")
    unfinished = write("a", [0.2, 0.2])
    (unfinished / "evaluate-warmup" / "manifest.json").unlink()
    with pytest.raises(UdasegError, match="has no finished evaluation") as caught:
        read_run(unfinished)
    assert f"udaseg evaluate --run {unfinished}" in caught.value.hint
    with pytest.raises(UdasegError, match="none of the classes occurs"):
        read_run(write("none", [None, None]))
    with pytest.raises(UdasegError, match=r"3 classes and .* 2, or others"):
        rows(write("b", [0.2, 0.2]), write("c", [0.1] * 3, classes=("a", "b", "c")))
    with pytest.raises(UdasegError, match="are 2 experiments: x, y"):
        bounds = [write("d", [0.2, 0.2], recipe="x"), write("e", [0.2, 0.2], recipe="y")]
        rows(write("f", [0.1, 0.1]), oracle=bounds)
    (said,) = comparison_warnings(rows(write("g", [0.2, 0.2]), write("h", [0.2, 0.2], recipe="x", images=7)))
    assert said == "the runs are scored on different numbers of images: 5; 7"


def test_published_numbers_stand_beside_the_runs_of_their_recipe(write):
    table = published("realtime-gta2city")
    classes = SPACES["cs19"].classes
    runs = [
        write(name, [value] * 19, recipe=name, classes=classes, model=BISENET)
        for name, value in (("source-realtime-gta2city", 0.1), ("realtime-gta2city", 0.3), ("mine", 0.2))
    ]
    found = rows(*runs, table=table)
    assert [row.label for row in found] == ["no domain adaptation", "light discriminator", "mine"]
    laid_out = comparison_table.summary(found, table, comparison_warnings(found, table))
    assert laid_out.header == ("method", "mIoU", "Δ", "published", "published Δ", "network")
    network = "bisenet on resnet18"
    assert laid_out.rows[1] == ("light discriminator", "30.0", "+20.0", "24.4", "+11.0", network)
    assert laid_out.rows[2] == ("mine", "20.0", "+10.0", "–", "–", network)
    assert ("target only", "–", "–", "49.9", "+36.5", "BiSeNet on ResNet-18") in laid_out.rows
    assert len(laid_out.rows) == 9
    assert "Politecnico di Torino" in laid_out.notes[0]


def test_accuracies_stand_beside_published_ones(write):
    table = published("realtime-augmentation")
    runs = [write(name, [0.5] * 19, recipe=name, classes=SPACES["cs19"].classes)
            for name in ("oracle-realtime-plain-gta2city", "oracle-realtime-gta2city")]  # fmt: skip
    laid_out = comparison_table.summary(rows(*runs, table=table), table, ())
    assert laid_out.header == (
        "method", "accuracy", "mIoU", "Δ", "published accuracy", "published", "published Δ",
    )  # fmt: skip
    assert laid_out.rows[1] == ("horizontal flipping and blur", "50.0", "50.0", "0.0", "79.7", "49.9", "+2.6")
    assert laid_out.rows[2] == ("blur", "–", "–", "–", "79.1", "47.0", "−0.3")
    assert "its code resizes labels to 512x1024 before it counts" in laid_out.notes[0]


def test_scores_of_labels_of_another_size_than_the_published_ones_are_noted(write):
    classes = SPACES["cs19"].classes
    own = write("own", [0.5] * 19, recipe="realtime-gta2city", classes=classes)
    resized = write("resized", [0.5] * 19, recipe="realtime-full-gta2city", classes=classes)
    path = resized / "evaluate-warmup" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"gt_size": [512, 1024]}))
    table, full_size = published("realtime-gta2city"), published("gta2city")
    (note,) = comparison_warnings(rows(own, table=table), table)
    assert note.endswith("`udaseg evaluate --gt-size 512x1024` makes them so")
    assert comparison_warnings(rows(resized, table=table), table) == []
    assert comparison_warnings(rows(own, table=full_size), full_size) == []
    (note,) = comparison_warnings(rows(resized, table=full_size), full_size)
    assert note.startswith("some runs score resized labels")


def test_the_published_source_only_row_belongs_to_the_sizes_of_its_own_recipe(write):
    table = published("adaptseg-gta2city")
    runs = [write(name, [0.5] * 19, recipe=name, classes=SPACES["cs19"].classes)
            for name in ("source-gta2city", "source-adaptseg-gta2city")]  # fmt: skip
    other, own = rows(*runs, table=table)
    assert (other.printed, own.printed.method, own.printed.miou) == (None, "source only", 0.3233)
    ours, adapted = (load_recipe(name) for name in ("source-adaptseg-gta2city", "adaptseg-gta2city"))
    assert ours.source == adapted.source
    assert ours.warmup == adapted.warmup
    assert ours.adversary.align == "none"


def test_a_network_of_19_classes_beside_a_table_of_16_is_read_by_its_16(write):
    folder = write("a", [0.5] * 19, recipe="synthia2city", classes=SPACES["cs19"].classes, model=DEEPLAB)
    path = folder / "evaluate-warmup" / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"miou16": 0.41, "miou13": 0.52}))
    table = published("synthia2city")
    found = rows(folder, table=table)
    assert found[0].miou.mean == 0.41
    assert any("that of the 16" in said for said in comparison_warnings(found, table))
    laid_out = comparison_table.summary(found, table, ())
    assert laid_out.header == ("method", "mIoU", "mIoU of 13", "published", "published, of 13", "network")
    assert laid_out.rows[0] == ("depth distribution", "41.0", "52.0", "48.2*", "55.5", "deeplab on resnet101")


@pytest.mark.parametrize(
    ("recipe", "model", "label"),
    [
        ("cbst-resnet38-gta2city", {"name": "dilated", "backbone": "resnet38"}, "CBST, ResNet-38"),
        ("cbst-resnet38-gta2city", {"encoder": "resnet38", "decoder": "dilated", "stride": 8}, "CBST, ResNet-38"),
        ("cbst-vgg16-gta2city", {"name": "fcn8s", "backbone": "vgg16"}, "CBST, FCN8s-VGG16"),
    ],
)
def test_a_run_of_the_printed_network_stands_in_its_row(write, recipe, model, label):
    table = published("cbst-gta2city")
    found = rows(write("a", [0.4] * 19, recipe=recipe, classes=table.classes, model=model, stage="retrain", other=CBST),
                 table=table)  # fmt: skip
    assert [row.label for row in found] == [label]
    assert network_warnings(found) == []


@pytest.mark.parametrize(
    ("recipe", "model", "network"),
    [
        ("cbst-gta2city", DEEPLAB, "deeplab on resnet101"),
        ("cbst-resnet38-gta2city", {"encoder": "mit_b5", "decoder": "daformer"}, "daformer on mit_b5"),
        ("cbst-resnet38-gta2city", {"encoder": "resnet38"}, "fpn on resnet38"),
        ("cbst-resnet38-gta2city", {}, "an unknown network"),
    ],
)
def test_a_run_of_another_network_keeps_its_name_and_is_told(write, recipe, model, network):
    table = published("cbst-gta2city")
    found = rows(write("a", [0.4] * 19, recipe=recipe, classes=table.classes, model=model, stage="retrain", other=CBST),
                 table=table)  # fmt: skip
    label = f"{recipe} beside CBST, ResNet-38"
    (warning,) = network_warnings(found)
    assert warning == f"{label}: the run is {network}, the published network is ResNet-38"
    laid_out = comparison_table.summary(found, table, [warning])
    assert laid_out.rows[0] == (label, "40.0", "45.2", "–" if network == "an unknown network" else network)
    assert warning in laid_out.notes
    assert len(laid_out.rows) == len(table.rows)
    lines = list(csv.DictReader(io.StringIO(comparison_table.comma_separated(found, table))))
    assert (lines[0]["method"], lines[0]["published_network"]) == (label, "ResNet-38")
    assert comparison_table.document(found, table, [])["rows"][0]["network"] == (
        found[0].network and found[0].network._asdict()
    )


def test_runs_of_one_recipe_stand_beside_the_rows_of_their_settings(write):
    table = published("cbst-gta2city")
    resnet38 = {"name": "dilated", "backbone": "resnet38"}
    expected = {
        "source only, ResNet-38": {"stage": "warmup"},
        "ST, ResNet-38": {"other": {"pseudolabel": {"policy": "st"}}},
        "CBST, ResNet-38": {"other": CBST},
        "CBST-SP, ResNet-38": {"other": {"pseudolabel": {"policy": "cbst-sp"}, "evaluate": {"scales": [1.0]}}},
        "CBST-SP with multi-scale testing, ResNet-38": {
            "other": {"pseudolabel": {"policy": "cbst-sp"}, "evaluate": {"scales": [0.9, 1.0, 1.2]}}
        },
        None: {"other": {"pseudolabel": {"policy": "iast"}}},
    }
    runs = [
        write(str(i), [0.4] * 19, recipe="cbst-resnet38-gta2city", classes=table.classes, model=resnet38,
              **{"stage": "retrain"} | row)
        for i, row in enumerate(expected.values())
    ]  # fmt: skip
    found = rows(*runs, table=table)
    assert [row.printed and row.printed.method for row in found] == list(expected)
    assert [row.label for row in found[:-1]] == list(expected)[:-1]
    again = write("again", [0.4] * 19, recipe="cbst-resnet38-gta2city", classes=table.classes, model=resnet38, lr=1,
                  stage="retrain", other=CBST)  # fmt: skip
    labels = [row.label for row in rows(*runs, again, table=table) if row.printed is not None]
    assert len(set(labels)) == len(labels) == 6


def test_depth_errors_stand_beside_published_ones(write):
    table, classes = published("synthia2city-ablation"), published("synthia2city-ablation").classes
    folders = [write(f"{recipe}-{seed}", [0.4] * 16, seed, recipe, classes=classes, model=DEEPLAB)
               for recipe in ("synthia2city-m1", "synthia2city-m3") for seed in (0, 1)]  # fmt: skip
    for folder, rel in zip(folders, (0.25, 0.75, 1, 1), strict=True):
        path = folder / "evaluate-warmup" / "metrics.json"
        errors = dict.fromkeys(DEPTH_ERRORS, 0.5) | {"rel": rel, "pixels": 9, "convention": "own"}
        path.write_text(json.dumps(json.loads(path.read_text()) | {"depth": errors}))
    first, second = depth_notes(rows(*folders, table=table), table)  # M3 and M4 print none
    assert first.startswith("depth errors of M1, classes and depth: Rel 0.70 (here 0.50); Rel² 13.70 (here 0.50); ")
    assert first.endswith("; δ3, % 56.0 (here 50.0)")
    assert second.startswith("depth errors of M2, and density: Rel 0.50; Rel² 9.00; ")
    assert depth_notes([], table)[1] == second
    assert depth_notes([], published("synthia2city")) == depth_notes([], None) == []


def test_a_row_without_a_printed_network_takes_any(write):
    table = published("cbst-city2rome")
    assert {row.network for row in table.rows} == {"Dilation-Frontend", "DeepLab-v2", "ResNet-38", None}
    found = rows(write("a", [0.4] * 13, recipe="gcaa", classes=table.classes, model=DEEPLAB), table=table)
    assert network_warnings(found) == []  # it is beside no row
    assert not any(is_printed(Network("resnet101", "deeplab"), name) for name in ("Dilation-Frontend", "ResNet-38"))
    assert is_printed(Network("resnet101.tv_in1k", "deeplab"), "ResNet-101")
    assert not is_printed(Network("resnet50", "deeplab"), "DeepLab-v2 on ResNet-101")


# --- the published tables -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", tables())
def test_published_tables_are_whole(name):
    table = published(name)
    assert set(table.classes) <= {c for space in SPACES.values() for c in space.classes}
    assert len({row.method for row in table.rows}) == len(table.rows)
    of_recipes = [(recipe, str(row.settings), row.evaluation) for row in table.rows for recipe in row.recipes]
    recipes = {recipe for recipe, *_ in of_recipes}
    assert recipes <= shipped_recipes().keys()
    assert len(set(of_recipes)) == len(of_recipes)
    assert {row.network for row in table.rows} <= {*PRINTED, "Dilation-Frontend", "Dilated ResNet-26", "DenseNet", None}
    for row in table.rows:
        assert len(row.iou) in (0, len(table.classes)), row.method
        assert row.miou is not None or row.miou13 is not None, row.method
        assert all(value is None or 0 <= value <= 1 for value in (*row.iou, row.miou, row.miou13))


@pytest.mark.parametrize(
    ("name", "method", "mean", "printed", "recomputed"),
    [
        ("cbst-gta2city", "ST, ResNet-38", "miou", 41.5, 48.36),
        ("cbst-synthia2city", "CBST, FCN8s-VGG16", "miou13", 36.1, 40.7),
        ("cbst-synthia2city", "source only of curriculum DA, FCN8s-VGG16", "miou13", 27.6, 25.3),
        ("cbst-synthia2city", "source only of curriculum DA, FCN8s-VGG16", "miou", 22.0, 22.4),
        ("cbst-synthia2city", "FCN in the wild, Dilation-Frontend", "miou13", 22.1, 22.9),
        ("cbst-gta2bdd", "source only, ResNet-38", "miou", 35.0, 35.64),
        ("gta2city", "DACS", "miou", 52.1, 52.6),
        ("g2l-synthia2city", "G2L", "miou13", 64.4, 64.26),
        ("synthia2city-7", "DADA", "miou", 70.4, 69.2),
    ],
)
def test_printed_means_that_do_not_add_up_are_marked(name, method, mean, printed, recomputed):
    table = published(name)
    (row,) = (row for row in table.rows if row.method == method)
    found = table.wrong_means(row)[mean]
    assert 100 * found[0] == pytest.approx(printed)
    assert 100 * found[1] == pytest.approx(recomputed, abs=0.05)
    laid_out = comparison_table.summary([], table, ())
    assert any(note.startswith(f"* {method}: printed") for note in laid_out.notes)
    assert any(line[0] == method and "*" in "".join(line) for line in laid_out.rows)


def test_a_mean_over_classes_that_are_not_printed_cannot_be_checked():
    table = published("realtime-gta2city")
    assert (table.mean_of, len(table.classes)) == (19, 4)
    assert not any(table.wrong_means(row) for row in table.rows)


def test_another_table_is_not_known():
    with pytest.raises(UdasegError, match="no published table 'x'") as caught:
        published("x")
    assert "realtime-gta2city" in caught.value.hint


def test_the_recipes_of_other_networks_than_the_printed_ones_are_known():
    others = set()
    for name in tables():
        for row in published(name).rows:
            models = {recipe: load_recipe(recipe).model for recipe in row.recipes if row.network is not None}
            own = {name: Network(model.encoder_name, model.architecture) for name, model in models.items()}
            others |= {name for name, network in own.items() if not is_printed(network, row.network)}
    cities = {f"cbst-city2{city}" for city in ("rio", "rome", "taipei", "tokyo")}
    cbst = cities | {"cbst-gta2bdd", "cbst-gta2city", "cbst-synthia2city"}  # DeepLab beside ResNet-38
    assert others == cbst | {"vfm-gta2city"}  # DINOv2 with registers


# --- as text --------------------------------------------------------------------------------------------------------


def test_markdown_and_latex_hold_the_same_cells(write):
    found = rows(write("a", [0.25, 0.25], recipe="a_b"), write("b", [0.2, 0.2], recipe="c|d"))
    laid_out = comparison_table.summary(found, None, ["50 % & more"])
    assert comparison_table.markdown(laid_out) == (
        "| method | mIoU | Δ |\n| --- | ---: | ---: |\n| a_b | 25.0 | – |\n| c\\|d | 20.0 | −5.0 |\n\n50 % & more"
    )
    assert comparison_table.latex(laid_out) == (
        "% mIoU in %\n% 50 % & more\n\\begin{tabular}{lrr}\n\\toprule\nmethod & mIoU & $\\Delta$ \\\\\n\\midrule\n"
        "a\\_b & 25.0 & -- \\\\\nc|d & 20.0 & $-$5.0 \\\\\n\\bottomrule\n\\end{tabular}"
    )


def test_csv_has_every_number_and_class(write):
    table = published("synthia2city-7")
    found = rows(write("a", [0.5] * 7, recipe="synthia2city-7", classes=table.classes, model=DEEPLAB), table=table)
    lines = list(csv.DictReader(io.StringIO(comparison_table.comma_separated(found, table))))
    assert [line["method"] for line in lines] == ["depth distribution", "ADVENT", "DADA", "CTRL"]
    assert (lines[0]["miou"], lines[0]["published"], lines[0]["sky"], lines[0]["seeds"]) == (
        "50.00",
        "72.60",
        "50.00",
        "0",
    )
    assert (lines[2]["published"], lines[2]["published_mean_of_classes"]) == ("70.40", "69.20")
    assert lines[0]["delta"] == lines[1]["miou"] == ""


def test_by_class_has_a_column_for_each_row(write):
    runs = [write(f"a-{s}", [0.1 + s / 10, None], s) for s in (0, 1)]
    laid_out = comparison_table.by_class(rows(*runs), None, ())
    assert laid_out.header == ("class", "light")
    assert laid_out.rows == (("road", "15.0 ± 7.1"), ("car", "–"), ("mean", "15.0 ± 7.1"))
    printed = comparison_table.by_class([], published("gta2city"), ())
    assert printed.rows[-1][1 + [row.method for row in published("gta2city").rows].index("DACS")] == "52.1*"


def test_json_has_what_the_tables_round(write):
    found = rows(write("a", [0.123456, 0.2]))
    said = json.loads(json.dumps(comparison_table.document(found, published("synthia2city-7"), [])))
    assert said["rows"][0]["iou"][0]["mean"] == 0.123456
    assert said["published"]["rows"][1]["wrong_means"]["miou"]["printed"] == pytest.approx(0.704)
