"""Write all datasets of toytown: two synthetic ones and a real one, each in its own format."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.io.files import PARTIAL, read_json, write_json
from udaseg.parallel.threads import cores

from .formats import (
    cityscapes_files,
    gta5_files,
    synthia_files,
    video_files,
    write_cityscapes,
    write_gta5,
    write_synthia,
    write_video_frame,
)
from .render import Frame, frame
from .style import Style
from .video import LONGEST, video

SETTINGS = "toytown.json"
VERSION = 1  # of the images; increase it with every change of the renderer that changes them


@dataclass(frozen=True)
class Job:
    """Frames to render; they are done where all their files are there."""

    files: tuple[Path, ...]
    render: Callable[[], None]
    frames: int = 1


def make_toytown(
    out: Path,
    *,
    seed: int = 0,
    source: int = 400,
    target_train: int = 400,
    target_val: int = 100,
    synthia: int | None = None,
    frames: int = 1,
    size: tuple[int, int] = (256, 512),
    depth: bool = False,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Render toytown and write out/gta5, out/synthia and out/cityscapes; existing frames are kept.

    `source`, `target_train`, `target_val` and `synthia` are numbers of frames; `synthia` is that of `source` if it is
    None. With `frames` above 1, every frame of out/cityscapes' training split is also the last of a video of so many.
    With `depth` those frames have disparity, camera and relative depth too. `size` is (height, width) in pixels.
    `workers` is the number of threads; None means one a core. The bytes of a frame depend only on `seed`, `size` and
    the number of the frame. Calls progress(done, total), counted in frames. Raises UdasegError for settings out of
    range, and for a directory with a toytown of another seed or size.
    """
    out = Path(out)
    check_settings(
        seed, size, workers, source=source, target_train=target_train, target_val=target_val, synthia=synthia
    )
    if not 1 <= frames <= LONGEST:
        raise UdasegError(f"frames: expected 1 to {LONGEST} frames of a video, found {frames}", "1 renders no video")
    _prepare(out, {"version": VERSION, "seed": seed, "size": list(size)})
    synthia = source if synthia is None else synthia
    still = partial(still_job, seed, size)
    jobs = [still("gta5", 0, i, gta5_files(out, i), write_gta5) for i in range(source)]
    jobs += [still("synthia", 0, i, synthia_files(out, i), write_synthia) for i in range(synthia)]
    for split, (name, count) in enumerate((("train", target_train), ("val", target_val))):
        files = [cityscapes_files(out, i, name, depth) for i in range(count)]
        jobs += [still("cityscapes", split, i, files[i], write_cityscapes) for i in range(count)]
    if frames > 1:
        jobs += [_video(seed, size, i, frames, out) for i in range(target_train)]
    render_missing(jobs, progress=progress, workers=workers)


def render_missing(
    jobs: Sequence[Job], *, progress: Callable[[int, int], None] | None = None, workers: int | None = None
) -> None:
    """Render and write the frames that are not there, in several threads; None means one a core."""
    missing = [job for job in jobs if not all(file.exists() for file in job.files)]
    total = sum(job.frames for job in jobs)
    done = total - sum(job.frames for job in missing)
    _report(progress, done, total)
    # The kernels, zlib and NumPy release the interpreter's lock, so that threads use all cores.
    with ThreadPoolExecutor(workers or cores()) as pool:
        futures = {pool.submit(job.render): job for job in missing}
        try:
            for future in as_completed(futures):
                future.result()
                done += futures[future].frames
                _report(progress, done, total)
        except BaseException:
            # An interrupt or a full disk: finish the frames in progress, start no others.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def still_job(
    seed: int,
    size: tuple[int, int],
    domain: str | Style,
    split: int,
    index: int,
    files: dict[str, Path],
    write: Callable[[dict[str, Path], Frame], None],
) -> Job:
    """Return the job of one frame, see `frame`, and of writing it to its files."""
    return Job(tuple(files.values()), lambda: write(files, frame(domain, seed, index, size, split)))


def _video(seed: int, size: tuple[int, int], index: int, frames: int, out: Path) -> Job:
    files = [video_files(out, index, offset) for offset in range(1 - frames, 1)]
    del files[0]["flow"]  # there is no frame before the first one

    def render() -> None:
        for own, one in zip(files, video("cityscapes", seed, index, frames, size), strict=True):
            write_video_frame(own, one)

    return Job(tuple(path for own in files for path in own.values()), render, frames)


def _report(progress: Callable[[int, int], None] | None, done: int, total: int) -> None:
    if progress is not None:
        progress(done, total)


def check_settings(seed: int, size: tuple[int, int], workers: int | None = None, **counts: int | None) -> None:
    """Raise UdasegError for a seed, a size, a number of threads or a count of frames that is out of range."""
    for name, count in counts.items():
        if count is not None and count < 0:
            raise UdasegError(f"{name}: expected a count of frames, found {count}", "use 0 for none")
    if seed < 0:
        raise UdasegError(f"seed: expected a number from 0, found {seed}", "for example 0")
    if min(size) < 32 or max(size) > 4096:
        raise UdasegError(
            f"size: expected 32 to 4096 pixels each way, found {size[0]}x{size[1]} (height x width)", "try 256x512"
        )
    if workers is not None and workers < 1:
        raise UdasegError(f"workers: expected at least 1, found {workers}", "or omit it: one thread a core")


def _prepare(out: Path, settings: dict) -> None:
    """Record the settings in `out`, raise UdasegError where it holds other data, and remove incomplete files."""
    existing = read_json(out / SETTINGS)
    if existing is not None and existing != settings:
        differences = ", ".join(
            f"{key} {existing.get(key)} (expected: {settings[key]})"
            for key in settings
            if existing.get(key) != settings[key]
        )
        raise UdasegError(f"{out} holds another toytown: {differences}", "choose another directory, or remove this one")
    for dataset in ("gta5", "synthia", "cityscapes"):
        if existing is None and (out / dataset).exists() and any((out / dataset).iterdir()):
            raise UdasegError(
                f"{out / dataset} exists, but toytown did not write it", "choose a directory without datasets"
            )
        for path in (out / dataset).rglob(f"{PARTIAL}*"):
            path.unlink(missing_ok=True)
    if existing is None:
        write_json(out / SETTINGS, settings)
