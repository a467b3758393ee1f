"""The work of a stage: beside the earlier result, continued, apart from other processes and from the files of users."""

import json
import multiprocessing
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from udaseg.errors import UdasegError
from udaseg.pipeline.manifest import read_manifest, reasons
from udaseg.pipeline.outputs import MANIFEST, WORK
from udaseg.pipeline.stage_dir import open_stage
from udaseg.pipeline.swap import partial_folder, require_finished

from .jobs import contents, make_job, run_job, stop_job, write


def test_the_earlier_result_is_there_until_the_new_one_is(tmp_path):
    out = tmp_path / "s"
    before = run_job(make_job(out), {"old.txt": "old"})
    with open_stage(make_job(out, p=0.3)) as result:
        assert read_manifest(out) == before
        assert (out / "old.txt").read_text() == "old"
        (result.folder / "new.txt").write_text("new")
    assert read_manifest(out)["settings"]["pseudolabel"] == {"p": 0.3}
    assert contents(out).keys() == {"new.txt", "manifest.json", "outputs.json"}
    assert sorted(path.name for path in tmp_path.iterdir()) == [".s.lock", "s"]


def test_unfinished_work_is_continued_with_the_same_settings(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out))
    assert read_manifest(out) is None
    assert not out.exists()
    with open_stage(make_job(out)) as result:
        assert result.resumed
        assert (result.folder / "half.png").exists()
    assert (out / "half.png").exists()


def test_unfinished_work_of_other_settings_is_cleared(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out))
    with open_stage(make_job(out, p=0.3)) as result:
        assert not result.resumed
        assert not (result.folder / "half.png").exists()


def test_force_starts_over(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out), {"old.txt": "old"})
    stop_job(make_job(out), force=True)
    run_job(make_job(out), {"new.txt": "new"}, force=True)
    assert contents(out).keys() == {"new.txt", "manifest.json", "outputs.json"}


def test_a_forced_start_that_was_stopped_is_continued(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    for again in ({"force": True}, {}):
        stop_job(make_job(out), **again)
        assert reasons(make_job(out)) == ["it is unfinished"]
    with open_stage(make_job(out)) as result:
        assert result.resumed
    assert reasons(make_job(out)) == []


def test_a_kill_while_clearing_leaves_nothing_that_is_continued(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out))
    work = partial_folder(out) / WORK
    work.write_text(json.dumps(json.loads(work.read_text()) | {"clearing": True}))
    with open_stage(make_job(out)) as result:
        assert not result.resumed
        assert not (result.folder / "half.png").exists()


@pytest.mark.parametrize("force", [False, True])
def test_work_that_fails_before_it_writes_leaves_no_trace(tmp_path, force):
    out = tmp_path / "s"
    before = run_job(make_job(out))
    again = make_job(out, p=0.2 if force else 0.3)
    with pytest.raises(RuntimeError) as failed, open_stage(again, force=force) as result:
        assert [path.name for path in result.folder.iterdir()] == [WORK]
        (result.folder / "log.jsonl").touch()
        raise RuntimeError
    assert failed.value.__notes__ == [f"nothing was written: {out} is as it was before"]
    assert read_manifest(out) == before
    assert reasons(make_job(out)) == []
    assert not partial_folder(out).exists()


def test_work_that_is_stopped_leaves_the_earlier_result_alone(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    before = contents(out)
    for p in (0.3, 0.4):
        stopped = stop_job(make_job(out, p=p), error=KeyboardInterrupt)
        assert stopped.__notes__ == [f"the earlier result in {out} is as it was before"]
        assert contents(out) == before
    assert reasons(make_job(out)) == []
    with open_stage(make_job(out, p=0.4)) as result:
        assert result.resumed


def test_time_is_counted_over_all_parts_of_the_work_and_not_between_them(tmp_path):
    out = tmp_path / "s"

    def stopped(seconds, since):
        """Stop work that began at a time of the past, and wrote its last file so many seconds later."""
        stop_job(make_job(out))
        work = partial_folder(out) / WORK
        record = json.loads(work.read_text())
        record["owner"]["since"] = since
        work.write_text(json.dumps(record))
        time = 1_767_225_600 + seconds  # 2026-01-01
        os.utime(partial_folder(out) / "half.png", (time, time))

    stopped(40.0, "2026-01-01T00:00:00Z")
    stopped(85.0, "2026-01-01T00:01:00Z")
    with open_stage(make_job(out)):
        pass
    assert read_manifest(out)["seconds"] == pytest.approx(65.0, abs=2.0)
    run_job(make_job(out, p=0.3))
    assert read_manifest(out)["seconds"] < 2.0


@pytest.mark.parametrize("wrong", [{"owner": {"since": "now"}}, {"inputs": []}, {"seconds": None}])
def test_a_damaged_record_of_unfinished_work_is_named(tmp_path, wrong):
    out = tmp_path / "s"
    stop_job(make_job(out))
    work = partial_folder(out) / WORK
    work.write_text(json.dumps(json.loads(work.read_text()) | wrong))
    with pytest.raises(UdasegError, match=r"s\.partial/partial\.json: ") as caught:
        run_job(make_job(out))
    assert caught.value.hint == f"remove {partial_folder(out)}; the stage then starts anew"


def test_files_of_somebody_else_are_not_touched(tmp_path):
    for name in ("photos", "photos.partial", "photos.replaced"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "me.jpg").write_text("precious")
        with pytest.raises(UdasegError, match=rf"{name} holds files that no stage has written"):
            run_job(make_job(tmp_path / "photos"))
        assert contents(folder) == {"me.jpg": "precious"}
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (folder / "me.jpg").unlink()
        folder.rmdir()


def test_a_copy_of_a_stage_beside_it_is_not_touched(tmp_path):
    """Somebody keeps an earlier result under the name that udaseg gives to its own."""
    out = tmp_path / "s"
    run_job(make_job(out))
    out.rename(tmp_path / "s.replaced")
    run_job(make_job(tmp_path / "other"))
    (tmp_path / "other").rename(tmp_path / "s.partial")
    before = contents(tmp_path)
    assert read_manifest(out) is None
    with pytest.raises(UdasegError, match=r"s\.partial holds files that no stage has written"):
        run_job(make_job(out))
    assert contents(tmp_path) == before


def test_unfinished_work_of_an_earlier_version_is_not_run_and_not_touched(tmp_path):
    out = tmp_path / "s"
    run_job(make_job(out))
    (out / MANIFEST).rename(out / ".unfinished.json")
    before = contents(out)
    assert reasons(make_job(out)) == ["it has not been run"]
    with pytest.raises(UdasegError, match="holds files that no stage has written"):
        run_job(make_job(out))
    with pytest.raises(UdasegError, match="is unfinished"):
        require_finished(out / "labels")
    assert contents(out) == before


def test_what_is_unfinished_is_not_read(tmp_path):
    out = tmp_path / "s"
    stop_job(make_job(out), "model.pt")
    with pytest.raises(UdasegError, match=r"s\.partial is unfinished, and this reads .*model\.pt"):
        require_finished(partial_folder(out) / "model.pt")
    run_job(make_job(out))
    require_finished(out / "labels" / "a.png")


def hold(out, ready, release):
    with open_stage(make_job(out), command="udaseg pseudolabel --p 0.2"):
        ready.set()
        release.wait(20)


def test_two_at_once_are_kept_apart_and_the_owner_is_named(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "s", ready, release))
    other.start()
    try:
        assert ready.wait(20)
        with pytest.raises(UdasegError, match=rf"process {other.pid} on .*udaseg pseudolabel --p 0.2"):
            run_job(make_job(tmp_path / "s"))
    finally:
        release.set()
        other.join()
    assert run_job(make_job(tmp_path / "s"), force=True)["outputs"]["count"] == 2


def test_unwritable_place_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UdasegError, match="cannot read or write"):
        run_job(make_job(tmp_path / "file" / "s"))
    with pytest.raises(UdasegError, match="is a file, and a stage writes a directory"):
        run_job(make_job(tmp_path / "file"))


def test_a_directory_that_cannot_be_replaced_is_refused(tmp_path, monkeypatch):
    (tmp_path / "s" / "below").mkdir(parents=True)
    for place in (tmp_path / "s", tmp_path / "s" / "below"):
        monkeypatch.chdir(place)
        for out in (tmp_path / "s", Path()):
            with pytest.raises(UdasegError, match=r"is where the command is run.*replaces its directory"):
                run_job(make_job(out))


def test_work_that_is_removed_meanwhile_is_not_finished(tmp_path):
    out = tmp_path / "s"
    before = run_job(make_job(out))
    with (
        pytest.raises(UdasegError, match=r"partial\.json was removed while the stage worked"),
        open_stage(make_job(out, p=0.3)) as result,
    ):
        shutil.rmtree(result.folder)
        write(result.folder, {"late.png": "late"})
    assert read_manifest(out) == before


def test_a_link_to_a_directory_stays_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "s").symlink_to(tmp_path / "disk" / "s")
    for p in (0.2, 0.3):
        run_job(make_job(tmp_path / "s", p=p))
    assert (tmp_path / "s").is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [".s.lock", "s"]
    assert reasons(make_job(tmp_path / "s", p=0.3)) == []


def test_a_finished_stage_is_not_replaced_by_another(tmp_path):
    out = tmp_path / "warmup"
    run_job(replace(make_job(out), stage="warmup"))
    before = contents(out)
    for force in (False, True):
        with pytest.raises(UdasegError, match="holds a finished warmup, which predict would replace") as caught:
            run_job(replace(make_job(out), stage="predict"), force=force)
        assert "--out" in caught.value.hint
    assert contents(out) == before
    run_job(replace(make_job(out, p=0.3), stage="warmup-again"))
    assert (out / "manifest.json").exists()
