"""Arrays for kernels that are bound by the first-level cache."""

import numpy as np
from numba import njit

LINE = 16  # float32 numbers in a line of the cache


@njit(cache=True, nogil=True)
def aligned(size):
    """Return float32 [size], not filled, that begins with a line of the cache: then no vector lies across two lines.

    NumPy's and numba's arrays begin anywhere, and loops over them take up to half as long again.
    """
    room = np.empty(size + LINE, np.float32)
    skipped = -room.ctypes.data // np.int64(4) % LINE
    return room[skipped : skipped + size]
