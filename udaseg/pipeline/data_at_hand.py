"""Datasets that a page looks at where they are there: as inputs, and why one that is there cannot be read."""

from collections.abc import Iterable

from udaseg.errors import UdasegError
from udaseg.pipeline import datasets
from udaseg.pipeline.manifest import InputDigest
from udaseg.pipeline.run import Run


def inputs_at_hand(run: Run, names: Iterable[str]) -> dict[str, InputDigest]:
    """Name those of the datasets that are there as inputs; nothing is rendered for it."""
    opened = {name: datasets.try_open(run, name) for name in names}
    parts = [datasets.sets_by_input(run, name, images) for name, images in opened.items() if images is not None]
    return {name: datasets.input_of(run, name, images) for part in parts for name, images in part.items()}


def why_unread(run: Run, name: str) -> UdasegError | None:
    """Return why a dataset that is there cannot be opened; None where it can, and where it is not there."""
    from udaseg.data.datasets.layout import AbsentError  # imports NumPy

    try:
        datasets.open_existing(run, name)
    except AbsentError:
        return None
    except UdasegError as error:
        return error
    return None
