"""The surroundings that every test runs in."""

import atexit
import contextlib
import gc
import os
import shutil
import tempfile
from pathlib import Path

import pytest

# Two test processes share the cores of a small machine: each keeps to one. To be set before NumPy, Numba and PyTorch.
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# What the user's shell says of runs is no concern of the tests.
for _name in ("UDASEG_RUN", "UDASEG_DEBUG"):
    os.environ.pop(_name, None)
# The digests of datasets are cached in a directory of the tests, which goes with the first of their processes.
if "UDASEG_TEST_CACHE" not in os.environ:
    os.environ["UDASEG_TEST_CACHE"] = os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="udaseg-cache-")
    atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)

# Numba keeps a compiled kernel until its own file changes, also when what it calls in another file has changed.
_LIBRARY = Path(__file__).parent.parent / "udaseg"
_changed = max(path.stat().st_mtime for path in _LIBRARY.rglob("*.py") if "import njit" in path.read_text("utf-8"))
for _kept in _LIBRARY.rglob("*.nbi"):
    with contextlib.suppress(FileNotFoundError):  # of several test processes, one removes it
        if _kept.stat().st_mtime < _changed:
            _kept.unlink()


def pytest_collection_modifyitems(items):
    """Skip the tests that need a CUDA device where there is none."""
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device"))


def pytest_collection_finish():
    """Spare the thousands of tests, which stay to the end, from every search for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def narrow(monkeypatch):
    """Build vgg16 and resnet38 with a sixteenth of their channels or fewer, and their decoders likewise."""
    from udaseg.models.decoders import dilated
    from udaseg.models.encoders import vgg, wide_resnet

    for module, name, channels in ((vgg, "WIDTH", 4), (vgg, "HIDDEN", 24), (wide_resnet, "WIDTH", 2),
                                   (dilated, "WIDTH", 8)):  # fmt: skip
        monkeypatch.setattr(module, name, channels)
