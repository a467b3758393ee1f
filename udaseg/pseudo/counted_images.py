"""The confidences that a first pass has counted, kept on disk so that a stopped pass goes on."""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from udaseg.io import hdf5
from udaseg.parallel import processes
from udaseg.pseudo.thresholds import ConfidenceHistogram

SECONDS = 60.0  # between two times that what was counted is written
_AGAIN = "count them again: udaseg pseudolabel --force"


class CountedImages:
    """Count confidences, and note of which images; with a folder, every minute on disk.

    Each process writes `<rank>.h5`. The next start, of any number of processes, begins with the sum of all files: the
    first process has it in its `histogram`, and the others begin at 0. A sum of integers does not depend on where a
    pass was stopped. Raises UdasegError for a damaged file.
    """

    def __init__(self, folder: Path | None, stems: Sequence[str], classes: int):
        self.histogram = ConfidenceHistogram(classes)
        self._folder, self._stems = folder, stems
        self._place = {stem: i for i, stem in enumerate(stems)}
        self._counted: set[int] = set()
        self._earlier: frozenset[int] = frozenset()
        if folder is not None:
            self._continue(folder)
        self._written = time.monotonic()

    def missing(self) -> list[str]:
        """Return the stems of the images that no process had counted before this start."""
        return [stem for i, stem in enumerate(self._stems) if i not in self._earlier]

    def note(self, stem: str) -> None:
        """Note that an image is in the histogram."""
        self._counted.add(self._place[stem])
        if self._folder is not None and time.monotonic() - self._written > SECONDS:
            self._write(self._folder)

    def finish(self) -> ConfidenceHistogram:
        """Return the sum of the histograms of all processes, and write what this one has counted."""
        if self._folder is not None:
            self._write(self._folder)
        return self.histogram.sum_of_all()

    def _continue(self, folder: Path) -> None:
        """Add up what an earlier start has written, into one file of the first process.

        A stop between writing that file and removing the others leaves images in two files: they count once.
        """
        earlier: set[int] = set()
        for path in sorted(folder.glob("*.h5"), key=lambda path: int(path.stem)):
            with hdf5.open_to_read(path, "counted confidences", _AGAIN) as file:
                images = set(hdf5.read_array(file, "images").tolist())
                if images <= earlier:
                    continue
                earlier |= images
                if processes.is_first():
                    names = ("bins", "counts", "predicted")
                    self.histogram.add_counts(*(hdf5.read_array(file, name) for name in names))
        self._earlier = frozenset(earlier)
        processes.barrier()  # no process writes before all have read
        if processes.is_first():
            folder.mkdir(parents=True, exist_ok=True)
            self._counted |= earlier
            self._write(folder)
            for path in folder.glob("*.h5"):
                if path.stem != "0":
                    path.unlink()
        processes.barrier()

    def _write(self, folder: Path) -> None:
        self._written = time.monotonic()
        if not self._counted:  # HDF5 has no empty arrays
            return
        bins, counts = self.histogram.sparse_counts()
        with hdf5.create(folder / f"{processes.rank()}.h5") as file:
            for name, array in (("bins", bins), ("counts", counts), ("predicted", self.histogram.predicted)):
                hdf5.write_array(file, name, array, compress=True)
            hdf5.write_array(file, "images", np.array(sorted(self._counted), np.int64), compress=True)
