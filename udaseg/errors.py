"""The error that users see, and two functions that build its texts."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


class UdasegError(Exception):
    """Report a user's error: `message` says what is wrong, and where; `hint` says how to correct it.

    The message names what was expected and what was found. A command in the hint stands between backticks, or after a
    colon to the end of its line: so it can be pasted. The command line prints both without a traceback and exits with
    code 1. Everything that a user can cause raises this error. A mistake in our own code raises
    AssertionError instead.
    """

    def __init__(self, message: str, hint: str):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self):
        return type(self), (self.message, self.hint)


def join_names(names: Sequence[str], shown: int = 5) -> str:
    """Join the first `shown` names with commas, and add how many more there are: "a, b and 3 more"."""
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return "did you mean 'warmup'? " with the most similar known word, or "" where none is similar.

    Case does not count. The text is the beginning of a hint; it ends with a space.
    """
    names = {name.casefold(): name for name in known}
    close = get_close_matches(word.casefold(), list(names), n=1)
    return f"did you mean {names[close[0]]!r}? " if close else ""
