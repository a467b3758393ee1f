import json
import multiprocessing
import os
from dataclasses import replace

import pytest

from udaseg.errors import UdasegError
from udaseg.io.files import atomic
from udaseg.pipeline import artifacts, aside, outputs
from udaseg.pipeline.artifacts import Input, Job


def job(out, p=0.2, digest="a", seed=0):
    return Job(
        "pseudolabel", out, {"pseudolabel": {"p": p}, "size": (2, 3)}, {"predictions": Input("x.h5", digest)}, seed
    )


def run(todo, files=None, **options):
    with artifacts.stage(todo, command="udaseg pseudolabel", **options) as result:
        for name, text in (files or {"labels/a.png": "one", "labels/b.png": "two"}).items():
            (todo.out / name).parent.mkdir(parents=True, exist_ok=True)
            (todo.out / name).write_text(text)
        result.metrics = {"kept": 0.5}
    return artifacts.read_manifest(todo.out)


def test_manifest_describes_the_stage(tmp_path):
    manifest = run(job(tmp_path / "s"))
    assert manifest["stage"] == "pseudolabel"
    assert manifest["settings"] == {"pseudolabel": {"p": 0.2}, "size": [2, 3]}
    assert manifest["inputs"] == {"predictions": {"path": "x.h5", "digest": "a"}}
    assert (manifest["outputs"]["count"], manifest["outputs"]["bytes"]) == (2, 6)
    assert manifest["metrics"] == {"kept": 0.5}
    assert manifest["command"] == "udaseg pseudolabel"
    assert sorted(path.name for path in (tmp_path / "s").iterdir()) == [".lock", ".outputs", "labels", "manifest.json"]


def test_reasons_name_what_changed(tmp_path):
    out = tmp_path / "s"
    assert artifacts.reasons(job(out)) == ["it has not been run"]
    run(job(out))
    assert artifacts.reasons(job(out)) == []
    assert artifacts.reasons(job(out, p=0.3)) == ["pseudolabel.p: 0.2 -> 0.3"]
    assert artifacts.reasons(job(out, digest="b")) == ["input predictions (x.h5) has changed"]
    assert artifacts.reasons(job(out, seed=4)) == ["seed: 0 -> 4"]


def test_swapped_output_of_the_same_size_is_noticed(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    before = artifacts.digest(out)
    original = (out / "labels" / "a.png").stat()
    with atomic(out / "labels" / "a.png") as temporary:
        temporary.write_text("eno")
        os.utime(temporary, ns=(original.st_atime_ns, original.st_mtime_ns))
    assert artifacts.digest(out) != before
    assert artifacts.reasons(job(out)) == ["its outputs have changed since they were written"]


def test_touched_but_equal_output_is_no_reason(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    before = artifacts.digest(out)
    os.utime(out / "labels" / "a.png", ns=(1, 1))
    assert artifacts.digest(out) == before
    assert artifacts.reasons(job(out)) == []


def test_digest_is_of_the_content_not_of_the_place(tmp_path):
    run(job(tmp_path / "s"))
    run(job(tmp_path / "t"))
    assert artifacts.digest(tmp_path / "s") == artifacts.digest(tmp_path / "t")


def stop_in_the_middle(todo, name="half.png"):
    with pytest.raises(RuntimeError), artifacts.stage(todo):
        (todo.out / name).write_text("half")
        raise RuntimeError


def test_unfinished_work_is_continued_with_the_same_settings(tmp_path):
    out = tmp_path / "s"
    stop_in_the_middle(job(out))
    assert artifacts.read_manifest(out) is None
    assert artifacts.reasons(job(out)) == ["it is unfinished"]
    with artifacts.stage(job(out)) as result:
        assert result.resumed
        assert (out / "half.png").exists()


def test_time_is_counted_over_all_parts_of_the_work_and_not_between_them(tmp_path):
    out = tmp_path / "s"

    def stopped(after, later):
        """Stop the work, the last file of which is then so many seconds old, and let time pass."""
        stop_in_the_middle(job(out))
        marker = json.loads((out / artifacts.UNFINISHED).read_text())
        marker["since"] -= later
        (out / artifacts.UNFINISHED).write_text(json.dumps(marker))
        os.utime(out / "half.png", (marker["since"] + after,) * 2)

    stopped(40.0, 5000.0)
    stopped(25.0, 5000.0)
    with artifacts.stage(job(out)):
        pass
    assert artifacts.read_manifest(out)["seconds"] == pytest.approx(65.0, abs=2.0)
    run(job(out, p=0.3))
    assert artifacts.read_manifest(out)["seconds"] < 2.0


@pytest.mark.parametrize("wrong", [{"since": "now", "seconds": 1}, {"since": 1.0, "seconds": None}, {}])
def test_a_time_that_cannot_be_known_is_none(tmp_path, wrong):
    out = tmp_path / "s"
    stop_in_the_middle(job(out))
    marker = json.loads((out / artifacts.UNFINISHED).read_text())
    kept = {key: value for key, value in marker.items() if key not in ("since", "seconds")}
    (out / artifacts.UNFINISHED).write_text(json.dumps(kept | wrong))
    with artifacts.stage(job(out)) as result:
        assert result.resumed
    assert artifacts.read_manifest(out)["seconds"] < 2.0


def test_unfinished_work_of_other_settings_is_cleared(tmp_path):
    out = tmp_path / "s"
    stop_in_the_middle(job(out))
    with artifacts.stage(job(out, p=0.3)) as result:
        assert not result.resumed
        assert not (out / "half.png").exists()


def test_a_kill_while_clearing_leaves_nothing_that_is_continued(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    marker = {"settings": {"pseudolabel": {"p": 0.3}, "size": [2, 3]}, "seed": 0, "clearing": True}
    marker["inputs"] = {"predictions": {"path": "x.h5", "digest": "a"}}
    (out / artifacts.MANIFEST).unlink()
    (out / artifacts.UNFINISHED).write_text(json.dumps(marker))
    with artifacts.stage(job(out, p=0.3)) as result:
        assert not result.resumed
        assert not (out / "labels").exists()


@pytest.mark.parametrize("force", [False, True])
def test_work_that_fails_before_it_writes_gives_the_complete_result_back(tmp_path, force):
    out = tmp_path / "s"
    before = run(job(out))
    again = job(out, p=0.2 if force else 0.3)
    with pytest.raises(RuntimeError) as failed, artifacts.stage(again, force=force):
        assert outputs.every(out) == []  # what it finds is an empty directory all the same
        (out / "log.jsonl").touch()
        raise RuntimeError
    assert failed.value.__notes__ == [f"nothing was written: {out} is as it was before"]
    assert artifacts.read_manifest(out) == before
    assert artifacts.reasons(job(out)) == []
    assert sorted(path.name for path in out.iterdir()) == [".lock", ".outputs", "labels", "manifest.json"]


def test_a_result_that_was_half_set_aside_is_not_given_back(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    (out / aside.BEFORE).mkdir()
    (out / artifacts.MANIFEST).rename(out / aside.BEFORE / artifacts.MANIFEST)
    (out / artifacts.UNFINISHED).write_text(json.dumps({"settings": {}, "inputs": {}, "seed": 0, "clearing": True}))
    with pytest.raises(RuntimeError), artifacts.stage(job(out)):
        raise RuntimeError
    assert artifacts.read_manifest(out) is None
    assert not (out / aside.BEFORE).exists()


def test_work_that_fails_later_keeps_what_it_has_written(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    stop_in_the_middle(job(out, p=0.3))
    assert (out / "half.png").exists()
    assert artifacts.reasons(job(out, p=0.3)) == ["it is unfinished"]
    changed = ["it is unfinished, and what is there was begun otherwise: it starts over", "pseudolabel.p: 0.3 -> 0.4"]
    assert artifacts.reasons(job(out, p=0.4)) == changed


def test_work_that_is_stopped_leaves_what_was_finished_before_to_the_command_that_made_it(tmp_path):
    out = tmp_path / "s"
    before = run(job(out))
    for p in (0.3, 0.4):
        with pytest.raises(KeyboardInterrupt) as stopped, artifacts.stage(job(out, p=p)):
            (out / "half.png").write_text("half")
            raise KeyboardInterrupt
        assert stopped.value.__notes__ == ["what was finished before is kept: the command that made it puts it back"]
    (why,) = artifacts.reasons(job(out))
    assert why == "it is unfinished, and what is asked for was finished before: that is put back"
    assert not artifacts.put_back(job(out, p=0.4))  # whose own work goes on
    assert artifacts.put_back(job(out))
    assert artifacts.read_manifest(out) == before
    assert artifacts.reasons(job(out)) == []
    assert not (out / "half.png").exists()


def test_a_forced_start_that_was_stopped_goes_on(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    with pytest.raises(KeyboardInterrupt), artifacts.stage(job(out), force=True):
        (out / "half.png").write_text("half")
        raise KeyboardInterrupt
    assert not artifacts.put_back(job(out))
    with artifacts.stage(job(out)) as result:
        assert result.resumed


def test_what_was_finished_before_and_is_damaged_is_not_put_back(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    stop_in_the_middle(job(out, p=0.3))
    (out / aside.BEFORE / "labels" / "a.png").unlink()
    assert not artifacts.put_back(job(out))
    assert artifacts.reasons(job(out))[0] == "it is unfinished, and what is there was begun otherwise: it starts over"


@pytest.mark.parametrize("place", ["notes.txt", "labels/notes.txt"])
def test_a_users_file_beside_the_outputs_is_no_damage_and_is_never_removed(tmp_path, place):
    out = tmp_path / "s"
    run(job(out))
    digests = artifacts.digest(out), artifacts.digest(out / "labels")
    (out / place).write_text("mine")
    assert artifacts.reasons(job(out)) == []
    assert (artifacts.digest(out), artifacts.digest(out / "labels")) == digests
    for again in ({"todo": job(out, p=0.3)}, {"todo": job(out), "force": True}):
        with pytest.raises(UdasegError, match=f"holds what its stage has not written: {place}"):
            run(**again)
    assert (out / place).read_text() == "mine"
    (out / place).unlink()
    run(job(out, p=0.3))


@pytest.mark.parametrize("name", ["a\u2028b.png", "a\x85b.png", "a\rb.png", "a\nb.png", "ä ö.png", "caf\udce9.png"])
def test_names_of_any_kind_are_known_again(tmp_path, name):
    out = tmp_path / "s"
    run(job(out), {name: "one"})
    assert outputs.others(out) == []
    assert artifacts.reasons(job(out)) == []
    run(job(out, p=0.3), {"other.png": "two"})
    assert not (out / name).exists()


def test_a_stage_from_before_names_were_noted_counts_every_file(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    (out / outputs.NAMES).unlink()
    assert artifacts.reasons(job(out)) == []
    (out / "notes.txt").write_text("mine")
    assert artifacts.reasons(job(out)) == ["its outputs have changed: 2 files written, 3 found"]


def test_a_complete_result_goes_when_the_new_one_is_there(tmp_path):
    out = tmp_path / "s"
    run(job(out), {"old.txt": "old"})
    with artifacts.stage(job(out, p=0.3)):
        kept = (out / aside.BEFORE / "old.txt").read_text()
    assert kept == "old"
    assert not (out / aside.BEFORE).exists()


def test_leftovers_of_killed_writers_do_not_count(tmp_path):
    out = tmp_path / "s"
    with pytest.raises(RuntimeError), artifacts.stage(job(out)):
        (out / ".partial-x.png").write_text("half")
        raise RuntimeError
    manifest = run(job(out))
    assert manifest["outputs"]["count"] == 2
    assert not (out / ".partial-x.png").exists()


def test_force_starts_over(tmp_path):
    out = tmp_path / "s"
    run(job(out), {"old.txt": "old"})
    run(job(out), {"new.txt": "new"}, force=True)
    assert not (out / "old.txt").exists()


def test_files_of_somebody_else_are_not_touched(tmp_path):
    out = tmp_path / "photos"
    out.mkdir()
    (out / "me.jpg").write_text("precious")
    with pytest.raises(UdasegError, match="files that no stage has written"):
        run(job(out))
    assert (out / "me.jpg").read_text() == "precious"
    assert [path.name for path in out.iterdir()] == ["me.jpg"]


def hold(out, ready, release):
    with artifacts.stage(job(out), command="udaseg pseudolabel --p 0.2"):
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
            run(job(tmp_path / "s"))
    finally:
        release.set()
        other.join()
    assert run(job(tmp_path / "s"))["outputs"]["count"] == 2


def test_a_broken_manifest_is_an_error_that_names_it(tmp_path):
    out = tmp_path / "s"
    run(job(out))
    (out / artifacts.MANIFEST).write_text("{")
    with pytest.raises(UdasegError, match=r"manifest\.json"):
        artifacts.reasons(job(out))


def test_unwritable_place_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UdasegError, match="cannot read or write"):
        run(job(tmp_path / "file" / "s"))


def contents(out):
    return {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_finished_stage_is_not_cleared_by_another(tmp_path):
    out = tmp_path / "warmup"
    run(replace(job(out), stage="warmup"))
    before = contents(out)
    for force in (False, True):
        with pytest.raises(UdasegError, match="holds a finished warmup, which predict would clear") as caught:
            run(replace(job(out), stage="predict"), force=force)
        assert "--out" in caught.value.hint
    assert contents(out) == before
    run(replace(job(out, p=0.3), stage="warmup-again"))
    assert (out / "manifest.json").exists()
