"""Videos are labelled frame by frame, and folders as images arrive."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from udaseg.data.images.video import Video
from udaseg.inference import apply
from udaseg.stages import apply as command

av = pytest.importorskip("av")
MODEL = "runs/tiny/retrain"


@pytest.fixture
def film(workspace) -> Path:
    """Write a video of the labelled images, with times that are not even."""
    paths = sorted((workspace / "data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"))
    with av.open("drive.mkv", "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
        stream.width, stream.height, stream.pix_fmt = 128, 64, "yuv420p"
        for path, time in zip(paths, (0, 2, 7), strict=True):
            frame = av.VideoFrame.from_image(Image.open(path))
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return Path("drive.mkv")


def test_a_video_gets_labels_and_two_videos_with_its_times(film, udaseg, monkeypatch):
    outcome = udaseg(f"apply {MODEL} drive.mkv --out out", tiny=False)
    assert outcome.code == 0, outcome.err
    assert "drive.mkv has 3 frames of 64x128" in outcome.err
    assert {path.name for path in Path("out").iterdir()} > {
        "labels", "overlay.mp4", "side-by-side.mp4", "legend.png", "classes.yaml",
    }  # fmt: skip
    assert not Path("out/overlays").exists()
    read, overlay, beside = (Video(Path(name)) for name in ("drive.mkv", "out/overlay.mp4", "out/side-by-side.mp4"))
    for written in (overlay, beside):
        assert [float(t * written.time_base) for t in written.times] == [0, 0.08, 0.28]
    colours = np.zeros((256, 3))
    with Image.open("out/labels/000002.png") as label:
        assert (label.mode, label.size) == ("P", (128, 64))
        colours[: len(label.getpalette()) // 3] = np.reshape(label.getpalette(), (-1, 3))
        mixed = 0.45 * read.image(1) + 0.55 * colours[np.asarray(label)]
    assert np.abs(overlay.image(1) - mixed).mean() < 12  # H.264
    assert np.abs(beside.image(1)[:, :128].astype(float) - read.image(1)).mean() < 8
    assert np.abs(beside.image(1)[:, 128:].astype(float) - overlay.image(1)).mean() < 8
    assert "apply: up to date (out)" in udaseg(f"apply {MODEL} drive.mkv --out out", tiny=False).err


def test_a_stopped_video_goes_on_and_labels_can_be_left_out(film, udaseg, monkeypatch):
    assert udaseg(f"apply {MODEL} drive.mkv --out whole", tiny=False).code == 0
    write, written = apply.write_label, []

    def stop(path, *values):
        if written:
            raise KeyboardInterrupt
        written.append(path)
        write(path, *values)

    monkeypatch.setattr(apply, "write_label", stop)
    assert udaseg(f"apply {MODEL} drive.mkv --out out --no-labels", tiny=False).code == 130
    monkeypatch.setattr(apply, "write_label", write)
    outcome = udaseg(f"apply {MODEL} drive.mkv --out out --no-labels", tiny=False)
    assert "apply: continues in out" in outcome.err
    assert not Path("out/labels").exists()
    for name in ("overlay.mp4", "side-by-side.mp4"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


def test_a_damaged_frame_is_left_out_where_the_command_can_do_that(film, udaseg, monkeypatch):
    decode = Video._frames
    monkeypatch.setattr(Video, "_frames", lambda video: (one for one in decode(video) if one[0] != 1))
    outcome = udaseg(f"apply {MODEL} drive.mkv --out out", tiny=False)
    assert "drive.mkv: frame 2 of 3 cannot be decoded" in outcome.err
    assert "which leaves such frames out; --skip-broken leaves them out here" in outcome.err
    assert "frames cannot be read and are left out" in udaseg(
        f"apply {MODEL} drive.mkv --out out --skip-broken", tiny=False
    ).err  # fmt: skip
    outcome = udaseg(f"adapt {MODEL} drive.mkv --out adapted", tiny=False)
    assert "hint: copy the video again, or convert it with another program, which leaves such" in outcome.err
    assert "--skip-broken" not in outcome.err


def test_what_a_video_cannot_have_is_said(film, udaseg):
    Path("photos").mkdir()
    Image.new("RGB", (64, 32)).save("photos/a.png")
    Path("broken.mp4").write_bytes(b"no video")
    for words, message in (
        ("photos --no-labels", "--no-labels is for videos"),
        ("drive.mkv --watch", "--watch labels the images of a directory"),
        ("photos --watch --dry-run", "leave out --dry-run"),
        ("photos --watch --no-labels", "leave out --dry-run, --json and --no-labels"),
        ("broken.mp4", "is truncated, damaged, or no video"),
    ):
        outcome = udaseg(f"apply {MODEL} {words} --out out", tiny=False)
        assert (outcome.code, message in outcome.err) == (1, True), outcome.err
        assert not Path("out").exists()


def test_a_watched_folder_is_labelled_as_images_arrive_and_a_restart_goes_on(workspace, udaseg, monkeypatch):
    paths = sorted((workspace / "data/toytown/cityscapes/leftImg8bit/val").rglob("*.png"))
    Path("photos").mkdir()
    whole, labels = paths[1].read_bytes(), Path("out/labels")

    def arrive():
        shutil.copy(paths[0], "photos/a.png")
        Path("photos/b.png").write_bytes(whole[: len(whole) // 2])
        Path("photos/c.png").touch()

    def watch(looks, events):
        """Watch for a number of looks, with something happening after some; give the labels after each look."""
        seen = []

        def wait(seconds):
            seen.append(" ".join(sorted(path.stem for path in labels.glob("*.png"))))
            events.get(len(seen), lambda: None)()
            if len(seen) == looks:
                raise KeyboardInterrupt

        monkeypatch.setattr(command.time, "sleep", wait)
        outcome = udaseg(f"apply {MODEL} photos --out out --watch", tiny=False)
        assert outcome.code == 0, outcome.err
        return seen, outcome.err

    seen, err = watch(9, {2: arrive, 5: lambda: Path("photos/b.png").write_bytes(whole)})
    assert seen == ["", "", "", "a", "a", "a", "a b", "a b", "a b"]
    assert "1 of 2 images cannot be read and are left out: b.png" in err
    assert err.count("images in out/labels") == 2
    assert "apply: no longer watches photos" in err
    before = (labels / "a.png").stat().st_mtime_ns
    shutil.copy(paths[2], "photos/d.png")
    seen, err = watch(3, {})
    assert seen == ["a b", "a b d", "a b d"]
    assert "1 of 3 images are new or changed, and the others stay" in err
    assert (labels / "a.png").stat().st_mtime_ns == before
