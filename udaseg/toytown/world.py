"""Write all datasets of toytown: two synthetic ones and a real one, each in its own format."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from udaseg.errors import UdasegError
from udaseg.io.files import PARTIAL, read_json, write_json
from udaseg.parallel.threads import cores

from .formats import cityscapes_files, gta5_files, synthia_files, write_cityscapes, write_gta5, write_synthia
from .render import Frame, frame
from .style import Style

SETTINGS = "toytown.json"
VERSION = 1  # of the images; increase it with every change of the renderer that changes them


@dataclass(frozen=True)
class FrameJob:
    """A frame to render, and how to write it; it is done where all its files are there."""

    domain: str | Style
    split: int
    index: int
    files: dict[str, Path]
    write: Callable[[dict[str, Path], Frame], None]


def make_toytown(
    out: Path,
    *,
    seed: int = 0,
    source: int = 400,
    target_train: int = 400,
    target_val: int = 100,
    synthia: int | None = None,
    size: tuple[int, int] = (256, 512),
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Render toytown and write out/gta5, out/synthia and out/cityscapes; existing frames are kept.

    `source`, `target_train`, `target_val` and `synthia` are numbers of frames; `synthia` is that of `source` if it is
    None. `size` is (height, width) in pixels. `workers` is the number of threads; None means one a core. The bytes of
    a frame depend only on `seed`, `size` and the number of the frame. Calls progress(done, total) for each frame.
    Raises UdasegError for settings out of range, and for a directory with a toytown of another seed or size.
    """
    out = Path(out)
    check_settings(
        seed, size, workers, source=source, target_train=target_train, target_val=target_val, synthia=synthia
    )
    _prepare(out, {"version": VERSION, "seed": seed, "size": list(size)})
    synthia = source if synthia is None else synthia
    jobs = [FrameJob("gta5", 0, i, gta5_files(out, i), write_gta5) for i in range(source)]
    jobs += [FrameJob("synthia", 0, i, synthia_files(out, i), write_synthia) for i in range(synthia)]
    for split, (name, count) in enumerate((("train", target_train), ("val", target_val))):
        jobs += [
            FrameJob("cityscapes", split, i, cityscapes_files(out, i, name), write_cityscapes) for i in range(count)
        ]
    render_missing(jobs, seed, size, progress=progress, workers=workers)


def render_missing(
    jobs: Sequence[FrameJob],
    seed: int,
    size: tuple[int, int],
    *,
    progress: Callable[[int, int], None] | None = None,
    workers: int | None = None,
) -> None:
    """Render and write the frames that are not there, in several threads; None means one a core."""
    missing = [job for job in jobs if not all(file.exists() for file in job.files.values())]
    _report(progress, len(jobs) - len(missing), len(jobs))
    # The kernels, zlib and NumPy release the interpreter's lock, so that threads use all cores.
    with ThreadPoolExecutor(workers or cores()) as pool:
        futures = [pool.submit(partial(_make, job, seed, size)) for job in missing]
        try:
            for done, future in enumerate(as_completed(futures), len(jobs) - len(missing) + 1):
                future.result()
                _report(progress, done, len(jobs))
        except BaseException:
            # An interrupt or a full disk: finish the frames in progress, start no others.
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _make(job: FrameJob, seed: int, size: tuple[int, int]) -> None:
    job.write(job.files, frame(job.domain, seed, job.index, size, job.split))


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
