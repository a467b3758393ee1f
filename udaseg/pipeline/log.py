"""Messages to the user on stderr; results go to stdout."""

import sys

from udaseg.parallel import processes


def log(text: str) -> None:
    """Print a line on stderr, from the first of several processes only."""
    if processes.is_first():
        print(text, file=sys.stderr, flush=True)
