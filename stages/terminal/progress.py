"""Progress on stderr: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from udaseg.parallel import processes

QUIET_SECONDS = 2.0
LINE_SECONDS = 10.0


@contextmanager
def show_progress(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    """Give a function `(done, total)` that shows how far the work is, its rate, and the time left.

    A total of 0 is one that nobody knows yet. Nothing is shown of work that takes less than two seconds.
    """
    if not processes.is_first():
        yield lambda done, total: None
    elif sys.stderr.isatty():
        with _bar(title, unit) as show:
            yield show
    else:
        yield _lines(title, unit)


@contextmanager
def _bar(title: str, unit: str) -> Iterator[Callable[[int, int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, rate="")
        clock = _Clock()

        def show(done: int, total: int) -> None:
            rate = clock.rate(done)
            bar.update(task, completed=done, total=total or None, rate=f"{rate:.1f} {unit}/s" if rate else "")

        yield show


def _lines(title: str, unit: str) -> Callable[[int, int], None]:
    clock = _Clock()
    last = clock.start + QUIET_SECONDS - LINE_SECONDS

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        rate = clock.rate(done)
        if now - last < LINE_SECONDS and (done < total or not total or now - clock.start < QUIET_SECONDS):
            return
        last = now
        speed = f", {rate:.1f}/s" if rate else ""
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        count = f"{done}/{total}" if total else f"{done}"
        print(f"{title}: {count} {unit}{speed}{left}", file=sys.stderr, flush=True)

    return show


class _Clock:
    """The rate since the first report: before it, kernels are compiled, or finished work is skipped."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self._first: tuple[int, float] | None = None

    def rate(self, done: int) -> float | None:
        """Return the items a second; None before there is anything to tell it by."""
        now = time.monotonic()
        if self._first is None:
            self._first = done, now
        before, since = self._first
        return (done - before) / (now - since) if done > before and now > since else None
