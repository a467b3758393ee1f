"""What a reader of the page meets: numbers, names, images, and plain words about what is missing."""

import base64
import hashlib
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from udaseg.errors import UdasegError
from udaseg.report import collect, render, write
from udaseg.report.denoising import KINDS
from udaseg.report.training_curves import terms


def plain(html: str) -> str:
    """Strip the tags, as a reader would."""
    body = html[html.index("<body>") :]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body)).replace("&nbsp;", " ").replace("−", "-")


def images(html: str) -> list[Image.Image]:
    return [
        Image.open(io.BytesIO(base64.b64decode(data)))
        for data in re.findall(r'src="data:image/\w+;base64,([^"]+)"', html)
    ]


@pytest.fixture
def demo(fake_run):
    return fake_run().whole()


def test_the_headline_gives_both_scores_the_gain_and_the_share_of_the_gap(demo):
    text = plain(render(collect(demo.root)))
    assert "The adapted model reaches 39.0 mIoU on the target, 10.0 points above source-only" in text
    assert "which closes 25 % of the gap to a model trained on target labels" in text  # (39 - 29) / (69 - 29)


def test_without_an_oracle_no_gap_is_claimed(fake_run):
    text = plain(render(collect(fake_run().whole(oracle=None).root)))
    assert "10.0 points above source-only" in text
    assert "of the gap" not in text


def test_a_loss_is_called_a_loss(fake_run):
    text = plain(render(collect(fake_run().whole(source=0.3, adapted=0.25).root)))
    assert "5.0 points below source-only" in text
    assert "-5.0" in text


def test_every_class_has_a_row_with_its_scores_and_difference(demo):
    text = plain(render(collect(demo.root)))
    assert "road 5.3 20.0 30.0 +10.0 60.0" in text
    assert "bicycle 5.3 38.0 48.0 +10.0 78.0" in text
    assert "mIoU 29.0 39.0 +10.0 69.0" in text


def test_an_absent_class_is_a_dash_and_named_not_a_zero(fake_run):
    run = fake_run(classes=("road", "sky", "train"))
    run.evaluate("evaluate-warmup", [0.5, 0.7, None])
    run.evaluate("evaluate", [0.6, 0.7, None])
    text = plain(render(collect(run.root)))
    assert "train 0.0 – – –" in text
    assert "absent from both the true labels and the predictions: train." in text


def test_the_chart_sorts_classes_by_their_adapted_score(demo):
    chart = re.search(r'<svg[^>]*aria-label="IoU of every class.*?</svg>', render(collect(demo.root)))[0]
    names = re.findall(r'text-anchor="end">([^<]+)<', chart)
    assert names == list(reversed(demo.classes))  # the fake scores rise with the class


def test_thresholds_and_kept_shares_follow_the_labels_from_prediction_to_refinement(demo):
    text = plain(render(collect(demo.root)))
    assert "Policy cbst with p = 0.2 keeps 20.0 % of" in text
    assert "After refinement 10.0 % are left to train on." in text
    assert "sidewalk 0.880 100 000 20 000 20.0 51 10 000 10.0" in text


def test_the_largest_confusions_are_named(demo):
    text = plain(render(collect(demo.root)))
    assert "as a share of the true class: road for sidewalk (70 %), sidewalk for building (69 %)" in text


def test_stages_are_listed_as_they_were_started_with_the_commands_to_repeat_them(demo):
    html = render(collect(demo.root))
    commands = re.findall(r"udaseg ([\w-]+) --run demo", html)
    assert commands[:3] == ["stylize", "warmup", "predict"]
    assert commands[-1] == "evaluate-oracle"
    assert "stylize done 2026-01-01 10:01 62 s" in plain(html)
    assert "torch 2.14.0" in plain(html)


def test_missing_unfinished_and_skipped_stages_are_named(fake_run):
    run = fake_run()
    run.training("warmup")
    run.stage("gmm", {"skipped": "the source has no depth"})
    (run.training("retrain") / "manifest.json").unlink()
    text = plain(render(collect(run.root)))
    assert "Unfinished: retrain." in text
    assert "Not run: stylize, predict, pseudolabel, refine, prototypes, evaluate-warmup, evaluate." in text
    assert "Skipped: gmm, the source has no depth." in text
    assert "no evaluation yet" in text
    assert "retrain: losses over 600 steps, not finished" in text


def test_only_the_stages_of_the_recipe_can_be_missing(fake_run):
    run = fake_run()
    run.training("warmup")
    assert collect(run.root, chain=("warmup", "predict", "report")).missing == ("predict",)


def test_without_a_refinement_pseudo_labels_are_taken_at_even_distances(demo):
    shutil.rmtree(demo.root / "refine")
    assert [panel.stem for panel in collect(demo.root).pseudo_panels] == [f"train_{i:06d}" for i in (0, 1, 3, 4)]


def test_a_loss_of_one_term_is_drawn_once():
    alone = [{"step": 1, "loss": 0.5, "source": 0.5, "lr": 0.1}, {"step": 2, "loss": 0.4, "source": 0.4}]
    assert terms(alone) == ["loss"]
    assert terms([*alone, {"step": 3, "loss": 0.4, "source": 0.3, "target": 0.1}]) == ["loss", "source", "target"]
    assert terms([*alone, {"step": 3, "loss": 0.4, "source": 0.3}]) == ["loss", "source"]
    assert terms([{"step": 3, "loss": 0.4, "source": 0.3, "confident": 0.9, "distance": 60.0}]) == ["loss", "source"]


def test_names_commands_and_warnings_cannot_become_markup(fake_run):
    evil = "<script>alert(1)</script>"
    run = fake_run(name="a<b>&c", classes=("road", evil)).whole()
    run.stage("extra", {"note": evil}, warnings=(f"odd {evil}",), **{"in": f"{evil}.png"})
    html = render(collect(run.root))
    assert html.count("<script") == 1  # that of the sliders
    assert html.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 5
    assert "<h1>a&lt;b&gt;&amp;c</h1>" in html


def test_the_page_needs_nothing_from_elsewhere(demo):
    html = render(collect(demo.root, demo.images()))
    assert not re.search(r"https?:|//[a-z]|@import|<link|<script |<iframe", re.sub(r"base64,[^\"]+", "", html))
    assert set(re.findall(r'(?:src|href)="(data:image|#)?', html)) == {"data:image", "#"}


def test_the_page_allows_its_own_script_alone(demo):
    html = render(collect(demo.root))
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)[1]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1].replace("&#39;", "'")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert re.search(r"script-src ([^;]+)", policy)[1] == f"'sha256-{digest}'"


def test_large_pictures_are_made_small(fake_run):
    run = fake_run(classes=("road", "sky"))
    folder = run.evaluate("evaluate", [0.5, 0.6], panels=0)
    noise = np.random.default_rng(0).integers(0, 256, (512, 1024, 3)).astype(np.uint8)
    for i in range(8):
        run.save(folder / f"panels/{i}-image.png", noise)
        run.save(folder / f"panels/{i}-prediction.png", run.palette[noise[..., 0] // 128])
    html = render(collect(run.root))
    assert {image.size for image in images(html)} == {(512, 256)}
    assert len(images(html)) == 2 * 6
    assert len(html) < 3_000_000


def test_label_pictures_keep_the_exact_colours_of_their_classes(demo):
    shown = [image.convert("RGB") for image in images(render(collect(demo.root))) if image.format == "PNG"]
    allowed = {tuple(colour) for colour in demo.palette.tolist()} | set(KINDS.values())
    assert shown
    for image in shown:
        assert {colour for _, colour in image.getcolors()} <= allowed


def test_pseudo_labels_are_shown_beside_their_pictures_when_these_are_given(demo):
    alone, beside = collect(demo.root), collect(demo.root, demo.images())
    changed = [panel.changed for panel in beside.pseudo_panels]
    assert len(changed) == 4
    assert changed == sorted(changed, reverse=True)
    assert changed[0] > 0
    assert all(panel.image is None for panel in alone.pseudo_panels)
    assert all(panel.image for panel in beside.pseudo_panels)
    assert all(panel.pseudo and panel.refined for panel in alone.pseudo_panels)


def test_panels_on_which_the_models_differ_most_come_first(demo):
    shares = [panel.changed for panel in collect(demo.root).panels]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0


def test_the_adapted_model_is_that_of_the_last_round(demo):
    demo.evaluate("round2/evaluate", [0.5 + i / 100 for i in range(19)])
    demo.pseudolabel("round2/pseudolabel", [0.5] * 19, [1000] * 19, [300] * 19)
    text = plain(render(collect(demo.root)))
    assert "The adapted model reaches 59.0 mIoU" in text
    assert "Round 2 Policy cbst with p = 0.2 keeps 30.0 % of 19 000 predicted pixels." in text


def test_a_class_that_gains_pixels_over_plain_argmax_keeps_its_bar_on_the_chart(fake_run):
    run = fake_run(classes=("road", "sky"))
    run.pseudolabel("pseudolabel", [0.9, 0.1], [1000, 10], [500, 40])  # re-weighted scores may change the winner
    html = render(collect(run.root))
    chart = re.search(r'<svg[^>]*aria-label="share of each class.s predicted.*?</svg>', html.replace("&#39;", "'"))[0]
    assert "400.0" in chart
    assert all(float(width) < 440 for width in re.findall(r' width="([\d.]+)"', chart))


def test_a_stylised_warm_up_is_not_passed_off_as_plain_source_training(demo):
    assert "stylised source images" not in plain(render(collect(demo.root)))
    demo.training("warmup", source="runs/stylize/warmup")
    assert "stylised source images" not in plain(render(collect(demo.root)))
    demo.training("warmup", source="runs/demo/stylize")
    assert "stylised source images" in plain(render(collect(demo.root)))
    demo.evaluate("evaluate-pretrain", [0.2] * 19)
    assert "stylised source images" not in plain(render(collect(demo.root)))


def test_runs_that_differ_only_in_their_seed_get_a_mean_and_a_deviation(fake_run):
    runs = [fake_run(f"seed{s}", seed=s).whole(0.2, 0.3 + s / 100, oracle=None).root for s in range(3)]
    text = plain(render([collect(run) for run in runs]))
    assert "3 runs side by side" in text
    assert "mean ± sd of 3 seeds 29.0 ± 0.0 40.0 ± 1.0 +11.0 ± 1.0 A mean is taken" in text
    assert "road 30.0 +10.0 31.0 +11.0 32.0 +12.0" in text


def test_runs_of_different_settings_are_never_averaged(fake_run):
    runs = [fake_run(f"seed{s}", seed=s).whole() for s in range(2)]
    manifest = json.loads((runs[1].root / "retrain/manifest.json").read_text())
    manifest["settings"]["steps"] = 700
    (runs[1].root / "retrain/manifest.json").write_text(json.dumps(manifest))
    assert "±" not in plain(render([collect(run.root) for run in runs]))


def test_how_scores_were_counted_and_of_which_model_is_said(demo):
    path = demo.root / "evaluate" / "metrics.json"
    spread = {"miou_interval": [0.38, 0.4], "last": {"miou": [0.3, 0.4], "mean": 0.35, "deviation": 0.0707}}
    path.write_text(json.dumps(json.loads(path.read_text()) | spread))
    text = plain(render(collect(demo.root)))
    assert "evaluate-oracle 69.0 – +40.0 87.5 40 runs/demo/evaluate-oracle/model.pt" in text
    assert "38.0–40.0" in text
    assert "evaluate: the last 2 models of the training have a mIoU of 35.0 ± 7.1." in text
    assert text.count("Convention: own resolution.") == 1


def test_anchors_are_unique_with_several_runs(fake_run):
    runs = [fake_run(f"seed{s}", seed=s).whole().root for s in range(2)]
    html = render([collect(run) for run in runs])
    anchors = re.findall(r'\bid="([^"]+)"', html)
    assert len(anchors) == len(set(anchors)) > 10
    assert set(re.findall(r'href="#([^"]+)"', html)) <= set(anchors)


def test_write_leaves_the_old_page_where_a_new_one_cannot_be_made(demo, tmp_path):
    out = write(demo.root, tmp_path / "pages/report.html")
    before = out.read_text(encoding="utf-8")
    (demo.root / "evaluate/metrics.json").write_text("{")
    with pytest.raises(UdasegError, match=r"evaluate/metrics\.json"):
        write(demo.root, out)
    assert out.read_text(encoding="utf-8") == before
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_runs_of_the_same_name_are_told_apart(fake_run, tmp_path):
    runs = [fake_run(f"{place}/demo").whole().root for place in ("here", "there")]
    text = plain(write(runs, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "runs/here/demo" in text
    assert "runs/there/demo" in text


def test_a_command_that_made_several_stages_is_listed_once(demo):
    manifests = sorted(demo.root.glob("*/manifest.json"))
    assert len(manifests) > 2
    for path in manifests:
        path.write_text(json.dumps(json.loads(path.read_text()) | {"command": "udaseg evaluate --run all"}))
    listed = re.findall(r"<pre>(.*?)</pre>", render(collect(demo.root)), re.DOTALL)
    assert listed[-1] == "udaseg evaluate --run all"
