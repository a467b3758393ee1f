"""The surroundings that every test runs in."""

import os

# Two test processes share the cores of a small machine: each keeps to one. To be set before NumPy, Numba and PyTorch.
for _name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")
# What the user's shell says of runs is no concern of the tests.
for _name in ("UDASEG_RUN", "UDASEG_DEBUG"):
    os.environ.pop(_name, None)
