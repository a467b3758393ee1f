"""The changes by refinement, counted by hand: flipped and removed labels, right and wrong."""

import base64
import io
import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from udaseg.errors import UdasegError
from udaseg.inference.predictions import PredictionsWriter
from udaseg.pipeline.manifest import digest
from udaseg.report import collect, render

ROAD, CAR, SKY, NONE = 0, 1, 2, 255
TRUTH = np.array([[ROAD, ROAD, ROAD, ROAD, CAR, CAR, SKY, NONE]], np.uint8)
BEFORE = np.array([[ROAD, CAR, CAR, ROAD, CAR, CAR, NONE, SKY]], np.uint8)
AFTER = np.array([[ROAD, ROAD, NONE, NONE, CAR, SKY, NONE, CAR]], np.uint8)
# kept, flipped rightly, removed rightly, removed wrongly, kept, flipped wrongly, never labelled, flipped to no
# one knows what


@pytest.fixture
def run(fake_run):
    """Write a run of one image, 1 pixel high."""
    run = fake_run(classes=("road", "car", "sky"))
    for name, label in (("pseudolabel", BEFORE), ("refine", AFTER)):
        counts = [int((label == c).sum()) for c in range(3)]
        if name == "refine":
            folder = run.refine(name, [1, 1, 1], [2, 3, 1], counts)
        else:
            folder = run.pseudolabel(name, [0.5, 0.5, 0.5], [4, 4, 2], counts)
        shutil.rmtree(folder / "labels")
        (folder / "labels").mkdir()
        image = Image.fromarray(label)
        image.putpalette([*run.palette.ravel().tolist(), *[0] * (768 - run.palette.size)])
        image.save(folder / "labels/a.png")
    return run


def read(stem):
    return TRUTH if stem == "a" else None


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html[html.index("<body>") :])).replace("&nbsp;", " ")


def shown(uri):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB"))


def test_flips_and_losses_are_told_right_from_wrong(run):
    done = collect(run.root, truth=read).denoising
    assert {name: count for name, count in done.kinds.items() if count} == {
        "unlabelled": 1,
        "kept": 2,
        "flipped, right now": 1,
        "flipped, wrong now": 1,
        "removed, was wrong": 1,
        "removed, was right": 1,
        "flipped": 1,  # where the truth has no label
    }
    assert done.labels.tolist() == [[2, 4, 0], [2, 1, 1]]
    assert done.right.tolist() == [[2, 2, 0], [2, 1, 0]]


def test_the_page_says_what_was_gained(run):
    text = plain(render(collect(run.root, truth=read)))
    assert "gave another class to 42.9 % of the labelled pixels, 50 % of them to the true one" in text
    assert "it took the label from 28.6 % of the labelled pixels, 50 % of them rightly" in text
    assert "right on 75.0 % of their pixels; before refinement it was 66.7 %" in text
    assert "road 100.0 100.0 0.0 33.3 50.0" in text
    assert "car 50.0 100.0 +50.0 66.7 25.0" in text
    assert "sky – 0.0 – 0.0 25.0" in text


def test_without_the_truth_the_change_is_shown_and_not_judged(run):
    data = collect(run.root)
    kinds = {name: count for name, count in data.denoising.kinds.items() if count}
    assert kinds == {"unlabelled": 1, "kept": 2, "flipped": 3, "removed": 2}
    text = plain(render(data))
    assert "gave another class to 42.9 % of the labelled pixels; it took the label from 28.6 %" in text
    assert "right" not in text.partition("Changes by refinement")[2].partition("Training")[0].split("black")[0]


def test_the_picture_of_the_changes_has_the_colours_of_its_legend(run):
    (panel,) = collect(run.root, truth=read).pseudo_panels
    colours = shown(panel.changes)[0]
    html = render(collect(run.root, truth=read))
    for place, words in ((1, "flipped, right now"), (5, "flipped, wrong now"), (3, "removed, was right")):
        assert f'style="background:#{bytes(colours[place].tolist()).hex()}"></span>{words}' in html
    assert panel.changed == 5 / 8
    assert shown(panel.truth)[0, 4].tolist() == run.palette[CAR].tolist()


def test_pseudo_labels_without_a_refinement_are_scored_too(run):
    shutil.rmtree(run.root / "refine")
    text = plain(render(collect(run.root, truth=read)))
    assert "66.7 % of the labelled pixels are right" in text
    assert "car 50.0 66.7" in text
    assert collect(run.root).denoising is None


def test_the_truth_of_another_size_is_no_truth(run):
    done = collect(run.root, truth=lambda stem: np.zeros((2, 2), np.uint8)).denoising
    assert not done.has_truth
    assert done.kinds["flipped"] == 3


def test_the_refinement_of_an_earlier_round_is_not_compared_with_later_labels(run):
    folder = run.pseudolabel("round2/pseudolabel", [0.5, 0.5, 0.5], [4, 4, 2], [2, 3, 1])
    data = collect(run.root)
    assert data.denoising is None
    assert all(panel.refined is None for panel in data.pseudo_panels)
    assert (folder / "labels").is_dir()


def test_the_refinement_of_other_labels_is_not_compared_with_these(run):
    def read_from(digest):
        path = run.root / "refine/manifest.json"
        manifest = json.loads(path.read_text()) | {"inputs": {"labels": {"path": "elsewhere", "digest": digest}}}
        path.write_text(json.dumps(manifest))
        return collect(run.root).denoising

    assert read_from(digest(run.root / "pseudolabel/labels")) is not None
    assert read_from("ab12" * 8) is None


def test_labels_where_there_were_none_are_no_flips(run):
    label = Image.open(run.root / "refine/labels/a.png")
    label.putpixel((6, 0), SKY)
    label.save(run.root / "refine/labels/a.png")
    kinds = collect(run.root, truth=read).denoising.kinds
    assert (kinds["new, right"], kinds["flipped, right now"], kinds["unlabelled"]) == (1, 1, 0)
    assert collect(run.root).denoising.kinds["new"] == 1
    text = plain(render(collect(run.root, truth=read)))
    assert "gave another class to 42.9 % of the labelled pixels, 50 % of them to the true one" in text
    assert "it added new labels, as many as 14.3 % of the labelled pixels, 100 % of them the true one" in text


def test_the_confidence_is_drawn_from_the_scores_that_chose_the_labels(run, tmp_path):
    logits = np.zeros((3, 1, 8), np.float16)
    logits[CAR, :, 4:] = 20
    with PredictionsWriter(tmp_path, ("road", "car", "sky"), True) as writer:
        writer.put("a", logits, 1, 8)
    run.stage("pseudolabel", predictions=str(tmp_path / "predictions.h5"))
    (panel,) = collect(run.root).pseudo_panels
    grey = shown(panel.confidence)[0, :, 0]
    assert abs(int(grey[0]) - 85) < 12  # 255 / 3, through JPEG
    assert grey[-1] > 240


def test_labels_that_changed_their_size_are_refused(run):
    path = run.root / "refine/labels/a.png"
    Image.open(path).resize((4, 1)).save(path)
    with pytest.raises(UdasegError, match=r"a.png has the size \(1, 4\)"):
        collect(run.root)
