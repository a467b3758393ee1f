"""Self-training over several rounds, and the spatial prior: what the page says of them."""

import base64
import io
import json
import re

import h5py
import numpy as np
import pytest
from PIL import Image

from udaseg.errors import UdasegError
from udaseg.report import collect, render

from .test_report import plain


@pytest.fixture
def rounds(fake_run):
    """Three rounds of two classes; the second loses its labels in the last."""
    run = fake_run(classes=("road", "pole"))
    for number, kept in enumerate(([200, 20], [300, 5], [400, 0]), 1):
        run.pseudolabel(f"round{number}/pseudolabel", [0.9, 0.5 - number / 10], [1000, 100], kept)
    return run


def charts(html: str, words: str) -> list[str]:
    return re.findall(rf'<svg[^>]*aria-label="{words}.*?</svg>', html, re.DOTALL)


def test_thresholds_and_kept_shares_stand_side_by_side_for_every_round(rounds):
    text = plain(render(collect(rounds.root)))
    assert "threshold in round kept, % in round 1 2 3 1 2 3" in text
    assert "road 0.900 0.900 0.900 20.0 30.0 40.0" in text
    assert "pole 0.400 0.300 0.200 20.0 5.0 0.0" in text


def test_a_class_that_loses_its_labels_is_named_where_its_course_is_drawn(rounds):
    html = render(collect(rounds.root))
    assert plain(html).count("no label in round 3") == 1
    drawn = charts(html, "threshold and kept share of pole over the rounds")
    points = re.findall(r'points="([^"]+)" class="curve s1"', drawn[0])
    heights = [float(pair.split(",")[1]) for pair in points[0].split()]
    assert heights == sorted(heights)  # down the page, towards zero
    assert len(heights) == 3


def test_one_round_has_no_course(fake_run):
    run = fake_run(classes=("road", "pole"))
    run.pseudolabel("pseudolabel", [0.9, 0.5], [1000, 100], [200, 20])
    assert "Over the rounds" not in plain(render(collect(run.root)))


def test_rounds_of_different_classes_are_not_set_side_by_side(rounds, fake_run):
    fake_run(classes=("road", "sky")).pseudolabel("round2/pseudolabel", [0.9, 0.5], [10, 10], [2, 2])
    text = plain(render(collect(rounds.root)))
    assert "Over the rounds" not in text
    assert "Round 3 Policy cbst" in text


def test_many_warnings_of_a_round_are_counted_at_the_top_and_read_beside_its_labels(rounds):
    path = rounds.root / "round3/pseudolabel/manifest.json"
    warnings = [f"pole has vanished <{i}>" for i in range(3)]
    path.write_text(json.dumps({**json.loads(path.read_text()), "warnings": warnings}))
    html = render(collect(rounds.root))
    text = plain(html)
    assert "3 warnings from round3/pseudolabel: read them" in text
    assert text.count("pole has vanished") == 3
    assert text.index("Round 3") < text.index("pole has vanished")
    assert "&lt;2&gt;" in html


def test_a_ratio_of_thousands_of_per_cent_is_not_printed_in_digits(fake_run):
    run = fake_run(classes=("road", "pole"))
    run.pseudolabel("pseudolabel", [0.9, 0.5], [1000, 13], [200, 95_350])
    assert "pole 0.500 13 95 350 &gt;1000" in plain(render(collect(run.root)))


def test_the_prior_shows_where_each_class_stands_and_how_much_more_often_than_on_average(fake_run):
    run = fake_run(classes=("road", "sky", "train"))
    maps_CHW = np.zeros((3, 8, 16))
    maps_CHW[0, 4:] = 2.0
    maps_CHW[1, :2, :4] = 16.0
    run.prior(maps_CHW)
    html = render(collect(run.root))
    assert "road peak 2.0 × mean sky peak 16 × mean" in plain(html)
    assert "The source has no train." in plain(html)
    shown = dict(re.findall(r'src="data:image/png;base64,([^"]+)" alt="where (\w+) is', html))
    images = {name: Image.open(io.BytesIO(base64.b64decode(data))).convert("RGBA") for data, name in shown.items()}
    assert {name: image.size for name, image in images.items()} == {"road": (16, 8), "sky": (16, 8)}
    assert np.array_equal(np.asarray(images["road"])[..., 3], np.where(maps_CHW[0], 255, 0))
    assert np.array_equal(np.asarray(images["sky"])[..., 3], np.where(maps_CHW[1], 255, 0))


def test_large_maps_of_a_prior_are_made_small(fake_run):
    run = fake_run()
    noise = np.random.default_rng(0).random((19, 128, 256))
    run.prior(np.cumsum(noise, 2))
    html = render(collect(run.root))
    assert html.count('class="map"') == 19
    assert len(html) < 400_000


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.ones((2, 4, 8)), "[2, 4, 8], expected float32 [3, h, w]"),
        (np.ones((3, 4)), "[3, 4], expected float32 [3, h, w]"),
        (np.full((3, 4, 8), np.nan), "a prior is finite"),
        (np.full((3, 4, 8), -1.0), "nowhere negative"),
    ],
)
def test_a_prior_that_does_not_fit_is_refused_by_name(fake_run, values, words):
    run = fake_run(classes=("road", "sky", "train"))
    with h5py.File(run.prior(np.ones((3, 4, 8))) / "prior.h5", "a") as file:
        del file["prior"]
        file["prior"] = values.astype(np.float32)
    with pytest.raises(UdasegError) as caught:
        collect(run.root)
    assert "prior/prior.h5" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint
