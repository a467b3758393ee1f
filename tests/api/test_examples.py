"""Every example runs, on a tiny toytown or on data that it makes up, and prints what it promises."""

import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.toytown.world import make_toytown

from ..data.corpora import cityscapes, columns, photo, save

EXAMPLES = Path(__file__).parent.parent.parent / "docs" / "examples"


@pytest.fixture(scope="module")
def toytown(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("toytown")
    make_toytown(place / "data" / "toytown", source=8, target_train=8, target_val=2, size=(64, 128))
    return place


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def run_example(name: str, *arguments: object, cwd: Path = tmp_path) -> str:
        monkeypatch.chdir(cwd)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return run_example


def test_all_of_them_are_tested():
    tested = set(re.findall(r'\brun\(\s*"(\w+)"', Path(__file__).read_text()))
    assert tested == {path.stem for path in EXAMPLES.glob("*.py")}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_they_begin_with_how_to_run_them(name):
    text = (EXAMPLES / f"{name}.py").read_text()
    assert f"\npython docs/examples/{name}.py" in text
    assert len(text.splitlines()) <= 80


def test_adapt(run, toytown):
    percent = r"\d+\.\d%"
    shown = rf"mIoU: {percent} trained on the source, {percent} with the target's statistics, {percent} adapted\n"
    assert re.fullmatch(shown, run("adapt", 3, 0, cwd=toytown))


def test_smp(run, toytown):
    pytest.importorskip("segmentation_models_pytorch")
    said = run("with_smp", 2, cwd=toytown)
    share = float(re.fullmatch(r"(.+)% of the target has a pseudo-label\n", said).group(1))
    assert 20 <= share < 30  # at least a fifth of each class


@pytest.mark.skipif(find_spec("lightning") is None, reason="needs the extra `examples`")
@pytest.mark.filterwarnings("ignore")  # Lightning advises on workers and devices
def test_lightning(run, toytown):
    assert "losses: {'source': " in run("with_lightning", 2, cwd=toytown)


def test_depth(run, toytown):
    said = run("depth", "data/toytown/synthia", cwd=toytown)
    assert "grid: (9, 17) density: (16, 9, 17)" in said
    distance = {name: int(metres) for name, metres in re.findall(r"(\w+): .* (\d+) m away", said)}
    assert distance["road"] < distance["sky"]


def test_score_folder(run, tmp_path):
    root = cityscapes(tmp_path / "cityscapes")
    ids = columns((0, 1, 2, 8, 10, 0, 0, 0))
    for path in root.rglob("*_leftImg8bit.png"):
        save(tmp_path / "predictions" / path.name.replace("_leftImg8bit", ""), ids.astype(np.uint8))
    said = run("score_folder", "cityscapes", root, "predictions")
    assert "mIoU" in said
    assert re.search(r"^road +33\.3%$", said, re.MULTILINE)  # 1 of 3 columns: 2 of other classes were given to it
    assert re.search(r"^train +absent$", said, re.MULTILINE)


def test_read_labels(run, tmp_path):
    for i in range(2):
        photo(tmp_path / f"carla/rgb/{i:06d}.png", seed=i)
        save(tmp_path / f"carla/semantics/{i:06d}.png", columns((1, 9, 11, 14)).astype(np.uint8))
    said = run("read_labels", "carla", "carla", "cityscapes", cityscapes(tmp_path / "cityscapes", "train"))
    shown = "images, the first shows ['road', 'vegetation', 'sky', 'car']"
    assert f"carla 2 {shown}\ncityscapes 4 {shown}\n" in said
    assert "cityscapes: [[0, 3], [1, 255]]\nyour own ids: [[2, 1], [3, 0]]\n" in said


def test_fda(run, tmp_path):
    for name, level in (("source", 60), ("target", 180)):
        image = np.random.default_rng(0).integers(level - 40, level + 40, (32, 64, 3))
        Image.fromarray(image.astype(np.uint8)).save(tmp_path / f"{name}.png")
    said = run("fda", "source.png", "target.png", "styled.png")
    source, target, styled = (float(value) for value in re.findall(r"\d+\.\d", said))
    assert source < 61 < 179 < target
    assert styled == pytest.approx(target, abs=1)


def test_cbst_labels(run):
    rows = re.findall(r"class (\d+): threshold (0\.\d+), (\d+) pixels, (\d+) labelled", run("cbst_labels"))
    assert [int(c) for c, *_ in rows] == [0, 9, 18]
    assert all(int(kept) == pytest.approx(0.2 * int(pixels), rel=0.05) for _, _, pixels, kept in rows)


def test_spatial_aggregation(run):
    said = run("spatial_aggregation")
    assert "{'road': 50, 'building': 24, 'sign': 5}" in said
    assert "removed: 6 pixels; the sign stays: True" in said


def test_prototypes(run):
    said = run("prototypes")
    before, after = (float(share) for share in re.findall(r"(\d+\.\d)% right", said))
    assert before + 20 < after < 100


def test_mixing(run):
    said = run("mixing")
    assert "in images and labels: True" in said
    assert "are zero: True" in said


def test_own_dataset(run):
    said = run("own_dataset", "mine")
    assert "['c', 'd'] (2, 3, 32, 64) (2, 32, 64) [0, 1, 255]" in said
    assert "mine/classes.yaml" in said.splitlines()[-1]  # the error for a class in another spelling
