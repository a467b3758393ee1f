"""predictions.h5: resumed after a kill, the same bytes however it was written, and errors for what it is not."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest

from udaseg.errors import UdasegError
from udaseg.inference.predictions import Predictions, PredictionsWriter

CLASSES = ("road", "car", "sky")
STEMS = ("b_1", "a 2", "ä.3")


def logits_of(stem):
    return np.random.default_rng(len(stem) + ord(stem[0])).normal(size=(3, 4, 5)).astype(np.float16)


def write(folder, stems=STEMS):
    with PredictionsWriter(folder, CLASSES, True) as writer:
        for stem in stems:
            writer.put(stem, logits_of(stem), 32, 40)
    return folder / "predictions.h5"


def read_everything(path):
    with Predictions(path) as predictions:
        return [(predictions.logits(stem), predictions.size(stem)) for stem in predictions.stems]


def test_reads_what_was_written(tmp_path):
    path = write(tmp_path)
    with Predictions(path) as predictions:
        assert (predictions.path, predictions.classes, predictions.align_corners) == (path, CLASSES, True)
        assert predictions.stems == tuple(sorted(STEMS))
        for stem in STEMS:
            logits_CHW = predictions.logits(stem)
            assert logits_CHW.dtype == np.float16
            np.testing.assert_array_equal(logits_CHW, logits_of(stem))
            assert predictions.size(stem) == (32, 40)
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.h5"]


def test_the_layout_is_the_promised_one(tmp_path):
    with h5py.File(write(tmp_path)) as file:
        assert sorted(file) == ["logits"]
        assert sorted(file.attrs) == ["align_corners", "classes"]
        dataset = file["logits/b_1"]
        assert (dataset.dtype, dataset.shape) == (np.float16, (3, 4, 5))
        assert (dataset.attrs["height"], dataset.attrs["width"]) == (32, 40)


def test_bytes_depend_neither_on_time_nor_on_order(tmp_path):
    one = write(tmp_path / "one").read_bytes()
    time.sleep(1.1)  # the times that HDF5 can store are whole seconds
    assert write(tmp_path / "other", STEMS[::-1]).read_bytes() == one


def test_nothing_is_there_until_the_end_and_a_second_writer_goes_on(tmp_path):
    def stopped():
        with PredictionsWriter(tmp_path, CLASSES, True) as writer:
            writer.put("a 2", logits_of("a 2"), 32, 40)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not (tmp_path / "predictions.h5").exists()
    with PredictionsWriter(tmp_path, CLASSES, True) as writer:
        assert writer.holds("a 2")
        assert not writer.holds("b_1")
        writer.put("b_1", logits_of("b_1"), 32, 40)
        writer.put("ä.3", logits_of("ä.3"), 32, 40)
    assert (tmp_path / "predictions.h5").read_bytes() == write(tmp_path / "whole").read_bytes()


def test_survives_a_kill_in_the_middle(tmp_path):
    program = textwrap.dedent("""
        import sys, pathlib, numpy as np
        from udaseg.inference.predictions import PredictionsWriter
        with PredictionsWriter(pathlib.Path(sys.argv[1]), ("road", "car"), False) as writer:
            for i in range(10**6):
                writer.put(f"{i:06}", np.full((2, 64, 128), i % 100, np.float16), 512, 1024)
                print(i, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    while int(process.stdout.readline()) < 20:
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with PredictionsWriter(tmp_path, ("road", "car"), False) as writer:
        assert all(writer.holds(f"{i:06}") for i in range(21))
    with Predictions(tmp_path / "predictions.h5") as predictions:
        assert len(predictions.stems) >= 21
        for i, stem in enumerate(predictions.stems):
            assert (predictions.logits(stem) == i % 100).all()
    assert [p.name for p in tmp_path.iterdir()] == ["predictions.h5"]


def test_a_finished_file_is_extended_and_keeps_its_pictures(tmp_path):
    path = write(tmp_path, STEMS[:1])
    with PredictionsWriter(tmp_path, CLASSES, True) as writer:
        assert writer.holds(STEMS[0])
        for stem in STEMS[1:]:
            writer.put(stem, logits_of(stem), 32, 40)
    assert path.read_bytes() == write(tmp_path / "whole").read_bytes()


def test_a_part_that_a_power_cut_has_truncated_counts_as_missing(tmp_path):
    writer = PredictionsWriter(tmp_path, CLASSES, True).__enter__()
    writer.put("a", logits_of("a"), 32, 40)
    part = tmp_path / "parts" / "a.part"
    os.truncate(part, part.stat().st_size - 1)
    assert not writer.holds("a")
    os.truncate(part, 3)
    assert not writer.holds("a")


@pytest.mark.parametrize("stem", ["../x", "/etc/x", "a/b", "a\\b", "", ".", "..", ".hidden", "a\nb", "a\0b", "x" * 201])
def test_refuses_names_that_lead_out_of_the_folder(tmp_path, stem):
    with PredictionsWriter(tmp_path, CLASSES, True) as writer, pytest.raises(UdasegError, match="name of an image"):
        writer.put(stem, logits_of("a"), 32, 40)


@pytest.mark.parametrize(
    ("logits_CHW", "size", "message"),
    [
        (np.zeros((3, 4, 5), np.float32), (32, 40), "float32"),
        (np.zeros((2, 4, 5), np.float16), (32, 40), r"\[3, h, w\]"),
        (np.zeros((3, 4), np.float16), (32, 40), r"\[3, h, w\]"),
        (np.full((3, 4, 5), np.nan, np.float16), (32, 40), "not finite"),
        (np.full((3, 4, 5), np.inf, np.float16), (32, 40), "not finite"),
        (np.zeros((3, 4, 5), np.float16), (0, 40), "0x40"),
    ],
)
def test_writer_refuses_what_are_no_logits(tmp_path, logits_CHW, size, message):
    with PredictionsWriter(tmp_path, CLASSES, True) as writer, pytest.raises(UdasegError, match=message):
        writer.put("a", logits_CHW, *size)


def test_writer_refuses_to_mix_two_models(tmp_path):
    write(tmp_path)
    with pytest.raises(UdasegError, match="another model"):
        PredictionsWriter(tmp_path, CLASSES, False)


def test_says_that_a_file_is_missing_or_no_hdf5(tmp_path):
    with pytest.raises(UdasegError, match="does not exist"):
        Predictions(tmp_path / "predictions.h5")
    (tmp_path / "text.h5").write_text("logits")
    for path in (tmp_path / "text.h5", tmp_path):
        with pytest.raises(UdasegError, match="cannot read"):
            Predictions(path)


def test_a_truncated_file_is_an_error_and_no_traceback(tmp_path):
    content = write(tmp_path).read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 10):
        (tmp_path / "short.h5").write_bytes(content[:length])
        with pytest.raises(UdasegError, match=r"short\.h5"):
            read_everything(tmp_path / "short.h5")


def set_dataset(file, value, **attributes):
    del file["logits/b_1"]
    file["logits"].create_dataset("b_1", data=value).attrs.update({"height": 32, "width": 40} | attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.__delitem__("logits"), "expected a group"),
        (lambda f: f.attrs.__delitem__("classes"), "expected a group"),
        (lambda f: f.attrs.__delitem__("align_corners"), "expected a group"),
        (lambda f: f.attrs.__setitem__("classes", 3), "`classes`"),
        (lambda f: f.attrs.__setitem__("classes", [1, 2, 3]), "`classes`"),
        (lambda f: f.attrs.__setitem__("align_corners", "yes"), "`align_corners`"),
        (lambda f: f["logits"].create_dataset("..", data=[1]), "not the name of an image"),
        (lambda f: f.create_dataset("logits/deep/b", data=[1]), "`deep` is not stored"),
        (lambda f: set_dataset(f, np.zeros((3, 4, 5), np.float32)), "float32"),
        (lambda f: set_dataset(f, np.zeros((4, 4, 5), np.float16)), r"\[4, 4, 5\]"),
        (lambda f: set_dataset(f, np.zeros((3, 4), np.float16)), r"\[3, 4\]"),
        (lambda f: set_dataset(f, np.full((3, 4, 5), np.nan, np.float16)), "NaN"),
        (lambda f: set_dataset(f, logits_of("a"), height=-1), "`height`"),
        (lambda f: set_dataset(f, logits_of("a"), width=1e9), "`width`"),
        (lambda f: set_dataset(f, logits_of("a"), width="40"), "`width`"),
        (lambda f: f["logits"].__setitem__("link", h5py.ExternalLink("other.h5", "/x")), "`link` is not stored"),
        (lambda f: f["logits"].__setitem__("link", h5py.SoftLink("/nowhere")), "`link` is not stored"),
    ],
)
def test_names_what_is_wrong_in_a_file(tmp_path, change, message):
    path = write(tmp_path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(UdasegError, match=message) as caught:
        read_everything(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_an_unknown_picture_is_an_error(tmp_path):
    with Predictions(write(tmp_path)) as predictions, pytest.raises(UdasegError, match="no prediction for 'zebra'"):
        predictions.logits("zebra")
