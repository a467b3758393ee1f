"""Replacing a stage directory: killed before or after any step, it ends in the new result, and loses nothing."""

import multiprocessing
import os
import shutil
import signal
import threading
from pathlib import Path

from udaseg.pipeline.manifest import digest, read_manifest, reasons
from udaseg.pipeline.reuse import reuse
from udaseg.pipeline.stage_dir import open_stage
from udaseg.pipeline.swap import partial_folder, settle, stage_folders

from .jobs import contents, make_job, run_job, stop_job, write

FINAL = {"labels/new.png", "state.pt", "manifest.json", "outputs.json", "notes.txt", ".hidden/notes.txt"}
STEPS = ("rename", "unlink", "rmdir", "replace")  # methods of Path that change a directory


def replace_and_die(out, spared):
    """Replace a result, and be killed before change number `spared` of the file system after the work is done."""
    left = spared

    def counted(method):
        def call(self, *arguments, **named):
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return method(self, *arguments, **named)

        return call

    with open_stage(make_job(out, p=0.3)) as result:
        write(result.folder, {"labels/new.png": "new", "state.pt": "state"})
        write(out, {"notes.txt": "mine", ".hidden/notes.txt": "mine"})  # they appear while the stage works
        for name in STEPS:
            setattr(Path, name, counted(getattr(Path, name)))


def test_a_kill_at_any_step_ends_in_the_whole_result(tmp_path):
    first = tmp_path / "first"
    run_job(make_job(first), {"labels/old.png": "old", "state.pt": "state"})
    context, code, spared, seen = multiprocessing.get_context("fork"), -9, 0, set()
    while code == -9:
        out = tmp_path / str(spared) / "s"
        shutil.copytree(first, out)
        process = context.Process(target=replace_and_die, args=(out, spared))
        process.start()
        process.join()
        code, spared = process.exitcode, spared + 1
        names = set(contents(out.parent))
        assert any(name.endswith(".hidden/notes.txt") for name in names)
        manifest = read_manifest(out)  # what any command does first
        p = manifest["settings"]["pseudolabel"]["p"]
        seen.add(p)
        assert reasons(make_job(out, p=p)) == []
        if p == 0.2:  # killed before the manifest was there
            assert reasons(make_job(out, p=0.3)) == ["it is unfinished"]
            assert (out / "labels" / "old.png").read_text() == "old"
            (out / "notes.txt").unlink()
            with open_stage(make_job(out, p=0.3)) as result:
                assert result.resumed
            (out / "notes.txt").write_text("mine")
        assert contents(out).keys() == FINAL
        left = {path.name for path in out.parent.iterdir()} - {".s.lock", "s"}
        assert not left or (left == {"s.replaced"} and not any((out.parent / "s.replaced").iterdir()))
    assert code == 0
    assert seen == {0.2, 0.3}
    assert spared > 12


def test_a_complete_result_is_read_in_place_where_nothing_may_be_written(tmp_path, monkeypatch):
    def refused(*arguments):
        raise PermissionError(13, "Permission denied")

    out = tmp_path / "s"
    manifest = run_job(make_job(out))
    shutil.move(out, partial_folder(out))
    (partial_folder(out) / "partial.json").write_text("{}")
    monkeypatch.setattr("udaseg.pipeline.swap.locked", refused)
    assert settle(out) == partial_folder(out)
    assert read_manifest(out) == manifest
    assert digest(out) == manifest["outputs"]["digest"]
    assert reasons(make_job(out)) == []
    assert not out.exists()


def test_what_was_replaced_comes_back_where_its_successor_was_taken_away(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    (out / "replaced.json").write_text("{}")
    out.rename(tmp_path / "s.replaced")
    assert reasons(make_job(out)) == []
    assert contents(out).keys() == {"labels/a.png", "labels/b.png", "manifest.json", "outputs.json"}


def test_a_users_file_of_the_name_of_a_new_one_is_kept_beside_it(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out), {"old.png": "old"})
    with open_stage(make_job(out, p=0.3)) as result:
        write(result.folder, {"new.png": "new"})
        write(out, {"new.png": "mine"})
    assert (out / "new.png").read_text() == "new"
    assert (out / "new.png.kept").read_text() == "mine"


def test_a_reader_finds_a_result_at_every_moment_of_its_replacement(tmp_path):
    out, is_done, missing = tmp_path / "s", threading.Event(), []
    run_job(make_job(out))

    def read():
        while not is_done.is_set():
            missing.append(read_manifest(out) is None)

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(40):
        run_job(make_job(out, p=i))
    is_done.set()
    reader.join()
    assert len(missing) > 10
    assert not any(missing)


def test_the_stages_of_a_run_are_the_finished_ones(tmp_path):
    run_job(make_job(tmp_path / "warmup"))
    stop_job(make_job(tmp_path / "warmup", p=0.3))
    stop_job(make_job(tmp_path / "predict"))
    run_job(make_job(tmp_path / "round2" / "predict"))
    run_job(make_job(tmp_path / "refine"))
    (tmp_path / "refine" / "partial.json").write_text("{}")
    (tmp_path / "refine").rename(tmp_path / "refine.partial")  # killed before the last step
    names = [path.relative_to(tmp_path).as_posix() for path in stage_folders(tmp_path)]
    assert names == ["refine", "round2/predict", "warmup"]


def test_a_finished_stage_of_another_run_is_reused(tmp_path):
    source, out = tmp_path / "a" / "s", tmp_path / "b" / "s"
    manifest = run_job(make_job(source))
    (source / "notes.txt").write_text("mine")
    assert not reuse(make_job(out, p=0.3), source)
    assert not out.exists()
    run_job(make_job(out, p=0.3), {"old.png": "old"})
    assert reuse(make_job(out), source)
    assert not reuse(make_job(out), source)
    assert read_manifest(out) == manifest
    assert contents(out).keys() == {"labels/a.png", "labels/b.png", "manifest.json", "outputs.json"}
    assert (out / "labels" / "a.png").samefile(source / "labels" / "a.png")
    assert sorted(path.name for path in out.parent.iterdir()) == [".s.lock", "s"]


def test_nothing_is_reused_over_unfinished_work_or_files_of_the_user(tmp_path):
    source, out = tmp_path / "a" / "s", tmp_path / "b" / "s"
    run_job(make_job(source))
    stop_job(make_job(out, p=0.3))
    assert not reuse(make_job(out), source)
    run_job(make_job(out, p=0.3))
    (out / "notes.txt").write_text("mine")
    assert not reuse(make_job(out), source)
    assert (out / "notes.txt").exists()
