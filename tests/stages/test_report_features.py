"""`udaseg report` runs a few images through the networks of a run: the same page always, and a word where it cannot."""

from pathlib import Path

PAGE = Path("runs/tiny/report.html")


def test_the_page_is_the_same_bytes_when_it_is_made_again(workspace, udaseg):
    assert "report: up to date" in udaseg("report").err
    first = PAGE.read_bytes()
    assert b"Features of " in first
    assert b"predictions on val" in first
    assert udaseg("report --force").code == 0
    assert PAGE.read_bytes() == first


def test_the_images_of_the_pass_are_a_setting(workspace, udaseg):
    outcome = udaseg("report --images 2")
    assert "report.images: 16 -> 2" in outcome.err
    assert "from 2 source images and 2 target images (val)" in PAGE.read_text()
    outcome = udaseg("report --set report.images=0")
    assert "report: runs/tiny: no feature space: report.images is 0" in outcome.err
    assert "There is no map of the features: report.images is 0." in PAGE.read_text()


def test_without_labelled_images_the_target_has_predicted_classes(workspace, udaseg):
    Path("data/toytown/cityscapes/gtFine/val").rename("val-labels")
    assert udaseg("report --images 2 --force").code == 0
    page = PAGE.read_text()
    assert "those that retrain predicts, because no labels are there" in page
    assert "2 target images (train)" in page
    assert "Predictions are not judged: there are no labelled images of the target." in page


def test_a_page_that_was_made_without_the_data_is_made_again_with_them(workspace, udaseg):
    Path("data").rename("elsewhere")
    assert "no feature space: the images of the source are not in data" in udaseg("report").err
    Path("elsewhere").rename("data")
    again = udaseg("report --images 2")
    assert "up to date" not in again.err
    assert "from 2 source images" in PAGE.read_text()
    assert "up to date" not in udaseg("report --images 2 --set evaluate.size=[32,32]").err


def test_a_source_that_cannot_be_read_is_the_reason(workspace, udaseg):
    next(Path("data/toytown/gta5/labels").glob("*.png")).unlink()
    outcome = udaseg("report --images 2")
    assert outcome.code == 0, outcome.err
    assert "runs/tiny: source cannot be read: data/toytown/gta5: expected a label for each" in outcome.err
    assert "There is no map of the features: data/toytown/gta5: expected a label for each" in PAGE.read_text()


def test_what_is_missing_is_said(workspace, udaseg):
    source = Path("data/toytown/gta5").rename("elsewhere")
    assert "no feature space: the images of the source are not in data" in udaseg("report --force").err
    assert "There is no map of the features: the images of the source are not in data" in PAGE.read_text()
    source.rename("data/toytown/gta5")
    outcome = udaseg("report --force --set space=syn16")
    assert outcome.code == 0, outcome.err
    assert "no feature space: runs/tiny/retrain/model.pt does not fit the recipe" in outcome.err
    for model in Path("runs/tiny").glob("*/model.pt"):
        model.unlink()
    assert "no feature space: no training of this run has its model.pt" in udaseg("report --force").err
