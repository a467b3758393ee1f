"""What damaged files did before they were looked at so closely."""

import json

import pytest
import torch

from udaseg.data.datasets import folder
from udaseg.data.images import loose
from udaseg.errors import UdasegError
from udaseg.io.documents.log_lines import read_log
from udaseg.io.files import read_json
from udaseg.models import tensorfile
from udaseg.pipeline.manifest import Job, reasons
from udaseg.pipeline.stage_dir import open_stage
from udaseg.statistics import class_counts
from udaseg.train import state, training_log


def flip_in(path, needle: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    data[at + 1] ^= 1
    path.write_bytes(bytes(data))


def test_a_flipped_bit_in_foreign_weights_is_no_other_weight(tmp_path):
    torch.save({"weight": torch.full((64,), 1.5)}, tmp_path / "a.pth")
    flip_in(tmp_path / "a.pth", torch.full((8,), 1.5).numpy().tobytes())
    with pytest.raises(UdasegError, match=r"a\.pth is truncated, damaged"):
        tensorfile.read(tmp_path / "a.pth")


def test_weights_of_before_archives_are_read(tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert torch.equal(tensorfile.read(tmp_path / "old.pth")["weight"], torch.ones(3))


def test_a_flipped_bit_in_the_state_of_a_training_stops_it(tmp_path):
    module = torch.nn.Linear(64, 1)
    torch.nn.init.constant_(module.weight, 1.5)
    state.save(tmp_path / "state.pt", 3, {"model": module}, {})
    flip_in(tmp_path / "state.pt", torch.full((8,), 1.5).numpy().tobytes())
    with pytest.raises(UdasegError, match=r"cannot continue from .*state\.pt") as caught:
        state.restore(tmp_path / "state.pt", {"model": module}, {})
    assert "--force" in caught.value.hint


@pytest.mark.parametrize("text", ["[" * 20000, '{"a": 1e999}', '{"a": NaN}', f'{{"a": {10**40}}}', "[]", "\x00"])
def test_json_that_no_program_would_write_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UdasegError, match=r"a\.json"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": 1.5, "loss": 1, "lr": 0.1}', b'{"step": 3, "loss": "x", "lr": 0.1}', b'{"loss": 1, "lr": 0.1}',
        b'{"step": 3}', b"7", b"\xff\xfe", b"{",
    ],
)  # fmt: skip
def test_a_line_of_a_log_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"step": 1, "loss": 2.0, "lr": 0.1}\n' + line + b"\n")
    with pytest.raises(UdasegError, match=r"log\.jsonl, line 2"):
        read_log(path, "again")


def test_a_resumed_log_loses_what_was_cut_off_and_what_comes_again(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [json.dumps({"step": step, "loss": 0.1 * step, "lr": 0.1}) for step in (1, 2, 3)]
    path.write_text("\n".join(lines) + '\n{"step": 4, "lo')
    training_log.Log(path, 2)
    assert path.read_text() == "\n".join(lines[:2]) + "\n"


def test_a_manifest_that_lacks_something_is_named(tmp_path):
    job = Job("s", tmp_path / "s", {}, {})
    with open_stage(job) as result:
        (result.folder / "a").write_text("a")
    path = job.out / "manifest.json"
    whole = json.loads(path.read_text())
    for key in ("settings", "inputs", "outputs", "started", "metrics"):
        path.write_text(json.dumps({name: value for name, value in whole.items() if name != key}))
        with pytest.raises(UdasegError, match=rf"manifest\.json: {key} is missing"):
            reasons(job)


@pytest.mark.parametrize(
    "text",
    ["names: [[a], b]",
     "names: [a, b]\nids: {1: [a]}", "names: [a]\nignore: [[1]]", "names: [a]\npalette: [[[], 0, 0]]",
     "names: " + "[" * 3000],
)  # fmt: skip
def test_classes_that_are_no_names_are_refused(tmp_path, text):
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(UdasegError, match=r"classes\.yaml"):
        folder.read_classes(tmp_path)


@pytest.mark.parametrize("row", [7, [1, "x"], [1, [2]], [1], [1, -1], {"a": 1}])
def test_counts_that_are_none_are_refused(tmp_path, row):
    values = {"classes": ["road", "car"], "pixels": [4, 0], "per_image": {"a": row}}
    (tmp_path / "stats.json").write_text(json.dumps(values))
    with pytest.raises(UdasegError, match=r"stats\.json"):
        class_counts.read_shown(tmp_path / "stats.json", ("road", "car"), ("a",))
    (tmp_path / "stats.json").write_text(json.dumps(values | {"pixels": row}))
    with pytest.raises(UdasegError, match=r"stats\.json"):
        class_counts.read_pixels(tmp_path / "stats.json", ("road", "car"))


def test_an_animation_that_ends_early_is_refused(tmp_path):
    (tmp_path / "film.gif").write_bytes(b"GIF89a\x10\x00\x0c\x00\x80\x00\x00")
    with pytest.raises(UdasegError, match=r"film\.gif"):
        loose.open_loose_images(tmp_path / "film.gif")
