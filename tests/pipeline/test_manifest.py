"""Whether a stage has to run again, and what its manifest says."""

import os
import shutil

import pytest

from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.pipeline.manifest import conflicts, digest, read_manifest, reasons
from udaseg.pipeline.outputs import EARLIER, MANIFEST, OUTPUTS, foreign_files
from udaseg.pipeline.stage_dir import open_stage
from udaseg.pipeline.swap import partial_folder

from .jobs import make_job, run_job, stop_job


def test_manifest_describes_the_stage(tmp_path):
    manifest = run_job(make_job(tmp_path / "s"))
    assert manifest["stage"] == "pseudolabel"
    assert manifest["settings"] == {"pseudolabel": {"p": 0.2}, "size": [2, 3]}
    assert manifest["inputs"] == {"predictions": {"path": "x.h5", "digest": "a"}}
    assert (manifest["outputs"]["count"], manifest["outputs"]["bytes"]) == (2, 6)
    assert manifest["metrics"] == {"kept": 0.5}
    assert manifest["command"] == "udaseg pseudolabel"
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == ["labels", "manifest.json", "outputs.json"]


def test_reasons_name_what_changed(tmp_path):
    out = tmp_path / "s"
    assert reasons(make_job(out)) == ["it has not been run"]
    run_job(make_job(out))
    assert reasons(make_job(out)) == []
    assert reasons(make_job(out, p=0.3)) == ["pseudolabel.p: 0.2 -> 0.3"]
    assert reasons(make_job(out, digest="b")) == ["input predictions (x.h5) has changed"]
    assert reasons(make_job(out, seed=4)) == ["seed: 0 -> 4"]


def test_reasons_name_unfinished_work(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out, p=0.3))
    assert reasons(make_job(out, p=0.3)) == ["it is unfinished"]
    begun_otherwise = "it is unfinished, and what is there was begun otherwise: it starts over"
    assert reasons(make_job(out, p=0.4)) == [begun_otherwise, "pseudolabel.p: 0.3 -> 0.4"]


def test_unfinished_work_of_other_settings_does_not_make_a_result_outdated(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    stop_job(make_job(out, p=0.3))
    assert reasons(make_job(out)) == []
    assert reasons(make_job(out, p=0.3)) == ["it is unfinished"]
    begun_otherwise = "it is unfinished, and what is there was begun otherwise: it starts over"
    assert reasons(make_job(out, p=0.4)) == [begun_otherwise, "pseudolabel.p: 0.2 -> 0.4"]


def test_conflicts_name_results_and_unfinished_work_that_would_be_replaced(tmp_path):
    out = tmp_path / "s"
    assert conflicts(make_job(out)) == []
    stop_job(make_job(out, p=0.3))
    assert conflicts(make_job(out, p=0.3)) == []
    assert conflicts(make_job(out, p=0.4)) == ["pseudolabel.p: 0.3 -> 0.4"]
    run_job(make_job(out))
    assert conflicts(make_job(out)) == []
    assert conflicts(make_job(out, p=0.4)) == ["pseudolabel.p: 0.2 -> 0.4"]


def test_swapped_output_of_the_same_size_is_noticed(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    before = digest(out)
    original = (out / "labels" / "a.png").stat()
    with atomic(out / "labels" / "a.png") as temporary:
        temporary.write_text("eno")
        os.utime(temporary, ns=(original.st_atime_ns, original.st_mtime_ns))
    assert digest(out) != before
    assert reasons(make_job(out)) == ["its outputs have changed since they were written"]


def test_touched_but_equal_output_is_no_reason(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    before = digest(out)
    os.utime(out / "labels" / "a.png", ns=(1, 1))
    assert digest(out) == before
    assert reasons(make_job(out)) == []


def test_a_copied_stage_is_up_to_date_and_each_of_its_files_is_read_once(tmp_path, monkeypatch):
    run_job(make_job(tmp_path / "s"))
    shutil.copytree(tmp_path / "s", tmp_path / "copy", copy_function=shutil.copyfile)
    for path in (tmp_path / "copy" / "labels").iterdir():
        os.utime(path, (1_000_000, 1_000_000))
    assert reasons(make_job(tmp_path / "copy")) == []
    monkeypatch.setattr("udaseg.io.digests._file_digest", lambda path: pytest.fail(f"{path} is read again"))
    assert reasons(make_job(tmp_path / "copy")) == []


def test_digest_is_of_the_content_not_of_the_place(tmp_path):
    run_job(make_job(tmp_path / "s"))
    run_job(make_job(tmp_path / "t"))
    assert digest(tmp_path / "s") == digest(tmp_path / "t")


@pytest.mark.parametrize("place", ["notes.txt", "labels/notes.txt"])
def test_a_users_file_beside_the_outputs_is_no_damage_and_is_never_removed(tmp_path, place):
    out = tmp_path / "s"
    run_job(make_job(out))
    digests = digest(out), digest(out / "labels")
    (out / place).write_text("mine")
    assert reasons(make_job(out)) == []
    assert (digest(out), digest(out / "labels")) == digests
    for again in ({"job": make_job(out, p=0.3)}, {"job": make_job(out), "force": True}):
        with pytest.raises(UdasegError, match=f"holds files that its stage has not written: {place}"):
            run_job(**again)
    assert (out / place).read_text() == "mine"
    assert not partial_folder(out).exists()
    (out / place).unlink()
    run_job(make_job(out, p=0.3))


@pytest.mark.parametrize("name", ["a\u2028b.png", "a\x85b.png", "a\rb.png", "a\nb.png", "ä ö.png", "caf\udce9.png"])
def test_names_of_any_kind_are_known_again(tmp_path, name):
    out = tmp_path / "s"
    run_job(make_job(out), {name: "one"})
    assert foreign_files(out) == []
    assert reasons(make_job(out)) == []
    run_job(make_job(out, p=0.3), {"other.png": "two"})
    assert not (out / name).exists()


def test_a_stage_of_an_earlier_version_is_finished_and_knows_its_files(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    (out / OUTPUTS).unlink()
    (out / EARLIER[0]).write_bytes(b"labels/a.png\0labels/b.png\0")
    (out / "notes.txt").write_text("mine")
    assert reasons(make_job(out)) == []
    assert [path.name for path in foreign_files(out)] == ["notes.txt"]
    (out / "notes.txt").unlink()
    run_job(make_job(out, p=0.3))
    assert not (out / EARLIER[0]).exists()


def test_a_stage_without_a_list_of_its_files_counts_every_file(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    (out / OUTPUTS).unlink()
    assert reasons(make_job(out)) == []
    (out / "notes.txt").write_text("mine")
    assert reasons(make_job(out)) == ["its outputs have changed: 2 files written, 3 found"]


def test_leftovers_of_killed_writers_do_not_count(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out), ".partial-x.png")
    with open_stage(make_job(out)) as result:
        (result.folder / ".partial-x.png").write_text("half")
        (result.folder / "a.png").write_text("one")
    assert read_manifest(out)["outputs"]["count"] == 1
    assert not (out / ".partial-x.png").exists()


def test_a_broken_manifest_is_an_error_that_names_it(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    (out / MANIFEST).write_text("{")
    with pytest.raises(UdasegError, match=r"manifest\.json"):
        reasons(make_job(out))
