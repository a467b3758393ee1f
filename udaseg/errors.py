"""The one error that users see."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UdasegError(Exception):
    """Say what is wrong, where, what was expected and what was found; the hint says how to put it right.

    Everything a user can cause ends in this error and nothing else: the shell prints the message and the
    hint without a traceback and exits with 1. A broken promise of our own code is an AssertionError.
    """

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self):
        return type(self), (self.message, self.hint)


def join_names(names: Sequence[str], shown: int = 5) -> str:
    """List the first few of some names, and how many more there are."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Begin a hint with what a mistyped word may have meant: "did you mean 'warmup'? ", or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]!r}? " if close else ""
