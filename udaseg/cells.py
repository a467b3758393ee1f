"""What four neighbouring logits tell of the pixels between them, so that hardly a pixel has to be looked at by itself.

A cell is the pixels between four neighbouring logits, or a part of them where they are many, and a band is the rows of
pixels of a row of cells. In a cell the upsampled logits are bilinear, and evenly spaced: its corners bound what lies
between them, they leave few classes that can win, and exponentials follow from one another by multiplication.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from udaseg.labels import IGNORE
from udaseg.upsampling import FIERCE, exp

ROUNDED = np.float32(1e-5)  # more than interpolation is off by, as a part of the largest logit
_ZERO, _ONE = np.float32(0), np.float32(1)
_LAST_BITS = np.float32(3e-7)  # more than a confidence is off by
# An exponential that is multiplied from pixel to pixel loses bits with every pixel, and the steeper it is. Within these
# bounds, on the pixels of a side and on what a logit differs by between two corners, probabilities are good to 1e-6.
_LONGEST, _STEEP = 8, np.float32(8)
_OPEN = -1  # the verdict on a cell whose corners do not tell


class Cells(NamedTuple):
    """The N cells of a band side by side, as `judge` finds them; all but firsts are written anew for each band."""

    firsts: np.ndarray  # int64 [N + 1], the first column of each, and the width
    logits: np.ndarray  # float32 [C, 4 * N], in the upper left corners of all, the upper right, the lower ones
    tops: np.ndarray  # float32 [C, N], the highest logit + bias of each class in the corners
    floors: np.ndarray  # float32, what the logit + bias of the winner is at least, in any pixel
    verdicts: np.ndarray  # int64, the class or the IGNORE that all pixels come to; _OPEN where the corners do not tell
    winners: np.ndarray  # int64, the class that wins in the first corner
    leads: np.ndarray  # bool, whether that wins in all pixels
    steep: np.ndarray  # bool, whether a logit differs too much between the corners for `pixels.reference_probability`


Taps = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def bands_and_cells(rows: Taps, columns: Taps, classes: int) -> tuple[np.ndarray, Cells]:
    """Return the first row of every band and the height, int64, and cells yet to be judged.

    rows and columns are as `upsampling.taps` returns them. There are no cells where few pixels lie between four logits:
    a cell takes as long to judge as some eight pixels.
    """
    bands, firsts = _begins(rows), _begins(columns)
    pixels = len(rows[0]) * len(columns[0]) / ((len(bands) - 1) * (len(firsts) - 1))
    if pixels < 16:
        firsts = firsts[:1]
    n = len(firsts) - 1
    logits = (np.empty(shape, np.float32) for shape in ((classes, 4 * n), (classes, n), n))
    return bands, Cells(firsts, *logits, *np.empty((2, n), np.int64), *np.empty((2, n), np.bool_))


def _begins(taps):
    """Return where the weights begin anew, and the end: between two logits they grow evenly, before the first not."""
    low, _, _, weight = taps
    anew = (np.diff(low) != 0) | ((weight[:-1] == 0) & (weight[1:] != 0))
    begins = np.concatenate(([0], np.flatnonzero(anew) + 1, [len(low)]))
    length = np.diff(begins)
    parts = -(-length // _LONGEST)
    within = np.arange(len(low)) - np.repeat(begins[:-1], length)
    return np.append(np.flatnonzero(within % np.repeat(-(-length // parts), length) == 0), len(low))


@njit(cache=True, nogil=True, error_model="numpy")  # a division that may raise is no vector code
def judge(cells, upper_CM, lower_CM, weights, bias, thresholds, slack):
    """Judge the cells of a band by the logits in their corners.

    upper_CM and lower_CM are the logits above and below the first columns of all cells, then the last; the upper and
    lower weights of the rows lie between weights[0] and weights[1]. slack is more than a logit is off by.

    A class that leads in all four corners leads everywhere between them; and of exp(logit - its own), which is convex
    along rows and columns, the sum over the others is nowhere higher than in one of the corners, and no term lower than
    in its lowest one.
    """
    classes, n = len(bias), len(cells.verdicts)
    logits_CP, floors, verdicts = cells.logits, cells.floors, cells.verdicts
    best, second = np.full(4 * n, -np.inf, np.float32), np.full(4 * n, -np.inf, np.float32)
    own, winner = np.empty(4 * n, np.float32), np.zeros(4 * n, np.uint32)
    steepest = np.zeros(n, np.float32)
    floors[:] = -np.inf
    for c in range(classes):
        upper, lower, logit = upper_CM[c], lower_CM[c], logits_CP[c]
        for end in range(2):
            upper_weight, lower_weight, at = weights[end, 0], weights[end, 1], logit[2 * n * end : 2 * n * (end + 1)]
            for i in range(2 * n):
                at[i] = upper[i] * upper_weight + lower[i] * lower_weight
        for i in range(4 * n):
            value, before, first, held = logit[i] + bias[c], best[i], winner[i], own[i]
            wins = value > before
            second[i] = max(second[i], min(value, before))
            winner[i] = c if wins else first
            own[i] = logit[i] if wins else held
            best[i] = value if wins else before
        for i in range(n):
            high = max(max(logit[i], logit[n + i]), max(logit[2 * n + i], logit[3 * n + i]))
            low = min(min(logit[i], logit[n + i]), min(logit[2 * n + i], logit[3 * n + i]))
            steepest[i] = max(steepest[i], high - low)
            cells.tops[c, i] = high + bias[c]
            floors[i] = max(floors[i], low + bias[c])
    selects = np.any(thresholds > _ZERO)
    most, least = np.zeros(4 * n, np.float32), np.zeros(n, np.float32)
    if selects:
        term = np.empty(4 * n, np.float32)
        for c in range(classes):
            logit = logits_CP[c]
            for i in range(4 * n):
                # With a bias the winner's logit need not be the highest.
                value = exp(min(logit[i] - own[i], FIERCE))
                term[i] = _ZERO if winner[i] == c else value
            for i in range(4 * n):
                most[i] += term[i]
            for i in range(n):
                least[i] += min(min(term[i], term[n + i]), min(term[2 * n + i], term[3 * n + i]))
    for i in range(n):
        a, b, c, d = i, n + i, 2 * n + i, 3 * n + i
        lead = min(min(best[a] - second[a], best[b] - second[b]), min(best[c] - second[c], best[d] - second[d]))
        w = winner[a]
        verdicts[i], cells.winners[i], cells.steep[i] = _OPEN, w, steepest[i] > _STEEP
        floors[i] -= slack
        leads = winner[b] == w and winner[c] == w and winner[d] == w and lead > slack
        cells.leads[i] = leads
        if leads and selects:
            bound = _ONE / thresholds[w] - _ONE  # kept where the sum over the others is at most this
            if max(max(most[a], most[b]), max(most[c], most[d])) * (_ONE + slack) + _LAST_BITS <= bound:
                verdicts[i] = w
            elif least[i] * (_ONE - slack) - _LAST_BITS > bound:
                verdicts[i] = IGNORE
        elif leads:
            verdicts[i] = w


@njit(cache=True, nogil=True, error_model="numpy")
def sort(cells, asked, label_row, contested, weighed, looked):
    """Write what is known to the pixels of a row, and list the rest; return the lengths of the three lists.

    asked tells whether the probability is asked for: of all pixels (2), of those without a verdict (1), of none (0).
    contested are the cells of which the class is not known, weighed those of which the probability of the winner in the
    first corner is to be found, looked the columns to be looked at pixel by pixel, because a cell is steep.
    """
    verdicts, leads, firsts = cells.verdicts, cells.leads, cells.firsts
    contests = weighs = looks = 0
    for i in range(len(verdicts)):
        if verdicts[i] != _OPEN or leads[i]:
            label_row[firsts[i] : firsts[i + 1]] = verdicts[i] if verdicts[i] != _OPEN else cells.winners[i]
        weigh = asked == 2 or (asked == 1 and verdicts[i] == _OPEN)
        if weigh and cells.steep[i]:
            for x in range(firsts[i], firsts[i + 1]):
                looked[looks] = x
                looks += 1
            continue
        if weigh:
            weighed[weighs] = i
            weighs += 1
        if not leads[i]:
            contested[contests] = i
            contests += 1
    return contests, weighs, looks
