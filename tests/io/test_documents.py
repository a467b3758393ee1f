"""Files of a run are read whole, or refused with the file, the key, what was expected and what was found."""

import json

import pytest

from udaseg.errors import UdasegError
from udaseg.io.documents.log_lines import read_log
from udaseg.io.documents.manifest import Manifest
from udaseg.io.documents.read import read_document
from udaseg.io.documents.refinement import Refinement
from udaseg.io.documents.run_file import RunFile

REFINEMENT = {
    "classes": ["road", "car"], "order": ["prototypes"], "confidence": 0.5, "minimum": [None, 7],
    "before": [9, 4], "after": [5, 4], "flipped": [1, 0],
}  # fmt: skip
MANIFEST = {
    "schema": 1, "stage": "warmup", "version": "0.1", "command": "udaseg warmup", "settings": {}, "seed": 0,
    "inputs": {"source": {"path": "data", "digest": "a"}},
    "outputs": {"count": 1, "bytes": 2, "digest": "b", "signature": "c"},
    "metrics": {}, "warnings": [], "environment": {}, "started": "2026-01-01T10:00:00Z", "seconds": 1.5,
}  # fmt: skip


def written(tmp_path, values):
    path = tmp_path / "file.json"
    path.write_text(json.dumps(values))
    return path


@pytest.mark.parametrize(("model", "values"), [(Refinement, REFINEMENT), (Manifest, MANIFEST)])
def test_a_document_is_read_and_written_as_it_was(tmp_path, model, values):
    document = read_document(written(tmp_path, values), model)
    assert json.dumps(document.content()) == json.dumps(values)


def test_further_keys_are_kept(tmp_path):
    assert read_document(written(tmp_path, REFINEMENT | {"new": [1]}), Refinement).content()["new"] == [1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"before": [1]}, "before should have 2 values, found 1"),
        ({"before": [1, -1]}, "before.1 should be greater than or equal to 0, found -1"),
        ({"after": [1, 2.5]}, "after.1 should be a valid integer, found 2.5"),
        ({"confidence": True}, "confidence should be a valid number, found True"),
        ({"minimum": "x" * 99}, "minimum should be a valid list, found 'xxx"),
        ({"classes": []}, "classes should have at least 1 item"),
    ],
)
def test_a_document_that_does_not_fit_is_refused_by_file_and_key(tmp_path, values, words):
    path = written(tmp_path, REFINEMENT | values)
    with pytest.raises(UdasegError) as caught:
        read_document(path, Refinement, "make it again")
    assert caught.value.message.startswith(f"{path}: {words}")
    assert len(caught.value.message) < len(str(path)) + 150
    assert caught.value.hint == "make it again"


def test_a_key_that_is_missing_is_named(tmp_path):
    inputs = {"source": {"path": "data"}}
    with pytest.raises(UdasegError, match=r"inputs\.source\.digest is missing"):
        read_document(written(tmp_path, MANIFEST | {"inputs": inputs}), Manifest)
    with pytest.raises(UdasegError, match="started should be a time of ISO 8601, found 'yesterday'"):
        read_document(written(tmp_path, MANIFEST | {"started": "yesterday"}), Manifest)


def test_no_file_is_no_document(tmp_path):
    assert read_document(tmp_path / "run.json", RunFile) is None


def test_a_log_may_hold_any_numbers_and_nothing_else(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": NaN, "source": 2, "lr": 0.1}\n{"step": 2, "loss": 1, "lr": 0.1}\n{"st')
    assert [list(line) for line in read_log(path, "again", torn=True)] == [
        ["step", "loss", "source", "lr"],
        ["step", "loss", "lr"],
    ]
    path.write_text('{"step": 1, "loss": 1.0, "source": "x", "lr": 0.1}\n')
    with pytest.raises(UdasegError, match=r"log\.jsonl, line 1: source should be a valid number, found 'x'"):
        read_log(path, "again")
