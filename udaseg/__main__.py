"""Where `udaseg` starts, and `python -m udaseg`, which is how torchrun starts a stage."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run udaseg: 0 done, 1 a user's error, 2 wrong usage, 130 interrupted."""
    _open_streams()
    # What batch systems send before they kill ends a stage as Ctrl-C does: with a word, and continued next time.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Threads that wait for each other leave the core to others. Spinning, two trainings at a time take 2.5 times as
    # long each, one alone gains 3 %. PyTorch looks at it when it is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        # Imported here, because it takes long enough to be interrupted.
        from udaseg.stages.cli import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:
        print("stopped before it had begun", file=sys.stderr)
        code = 130
    sys.exit(code)


def _open_streams() -> None:
    """Make sure that there is something to print to, which takes every name of a file and every sign of a table."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the shell: the first file to be opened would get what is printed
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
        else:
            stream.reconfigure(errors="backslashreplace")


if __name__ == "__main__":
    main()
