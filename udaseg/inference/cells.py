"""What four neighbouring logits tell of the pixels between them, so that few pixels have to be looked at by themselves.

A cell is the pixels between four neighbouring logits, or a part of them where they are many, and a band is the rows of
pixels of a row of cells. In a cell the upsampled logits are bilinear, and evenly spaced: its corners bound what lies
between them, and exponentials follow from one another by multiplication.
"""

from typing import NamedTuple

import numpy as np
from numba import njit

from udaseg.inference.upsampling import BLOCK, LOG2E, MAX_EXPONENT, exp, exp2
from udaseg.kernels import aligned
from udaseg.labels import IGNORE

ROUNDED = np.float32(1e-5)  # more than interpolation is off by, as a part of the largest logit
_ZERO, _ONE = np.float32(0), np.float32(1)
_LAST_BITS = np.float32(3e-7)  # more than a confidence is off by
# An exponential that is multiplied from pixel to pixel loses bits with every pixel, and the steeper it is. Within these
# bounds, on the pixels of a side and on what a logit differs by between two corners, probabilities are good to 1e-6.
_LONGEST, _STEEP = 8, np.float32(8)
_FAR = np.float32(40)  # with a bias a leader may be below the others, but not so far that their sum is clamped
_FAINT = np.float32(-50)  # e^t below it changes no sum
_OPEN = -1  # of a cell whose corners do not tell


class Cells(NamedTuple):
    """The N cells of a band side by side, as `judge` finds them; all but firsts are written anew for each band."""

    firsts: np.ndarray  # int64 [N + 1], the first column of each, and the width
    corners: np.ndarray  # float32 [C, 4 * N], the logits in the upper left corners of all, the upper right, the lower
    verdicts: np.ndarray  # int64, the class or the IGNORE that all pixels come to, or _OPEN
    leaders: np.ndarray  # int64, the class that wins in all pixels and whose probability can be found, or _OPEN


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
    return bands, Cells(firsts, np.empty((classes, 4 * n), np.float32), *np.empty((2, n), np.int64))


def _begins(taps):
    """Return where the weights begin anew, and the end: between two logits they grow evenly, before the first not."""
    low, _, _, weight = taps
    anew = (np.diff(low) != 0) | ((low[1:] == 0) & (weight[:-1] == 0) & (weight[1:] != 0))
    begins = np.concatenate(([0], np.flatnonzero(anew) + 1, [len(low)]))
    length = np.diff(begins)
    parts = -(-length // _LONGEST)
    within = np.arange(len(low)) - np.repeat(begins[:-1], length)
    return np.append(np.flatnonzero(within % np.repeat(-(-length // parts), length) == 0), len(low))


@njit(cache=True, nogil=True, error_model="numpy")  # a division that may raise is no vector code
def judge(cells, upper_CM, lower_CM, weights, bias, thresholds, slack):
    """Judge the cells of a band by the logits in their corners: fill all of `cells` but its firsts.

    upper_CM and lower_CM, float32 [C, 2 * N], are the logits above and below the first columns of all cells, then the
    last; weights [2, 2] the upper and lower weight of the first row, then of the last; bias and thresholds [C]. slack
    is more than a logit is off by.

    A class that leads in all four corners leads everywhere between them; and of exp(logit - its own), which is convex
    along rows and columns, the sum over the others is nowhere higher than in one of the corners, and no term lower than
    in its lowest one.
    """
    classes, n, corners = len(bias), len(cells.verdicts), cells.corners
    best, second = np.full(4 * n, -np.inf, np.float32), np.full(4 * n, -np.inf, np.float32)
    own, winner = np.empty(4 * n, np.float32), np.zeros(4 * n, np.uint32)
    highest, steepest = np.full(4 * n, -np.inf, np.float32), np.zeros(n, np.float32)
    for c in range(classes):
        upper, lower, logit = upper_CM[c], lower_CM[c], corners[c]
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
            highest[i] = max(highest[i], logit[i])
        for i in range(n):
            most = max(max(logit[i], logit[n + i]), max(logit[2 * n + i], logit[3 * n + i]))
            least = min(min(logit[i], logit[n + i]), min(logit[2 * n + i], logit[3 * n + i]))
            steepest[i] = max(steepest[i], most - least)
    selects = np.any(thresholds > _ZERO)
    sums, least_sum = np.zeros(4 * n, np.float32), np.zeros(n, np.float32)
    if selects:
        term = np.empty(4 * n, np.float32)
        for c in range(classes):
            logit = corners[c]
            for i in range(4 * n):
                value = exp(min(logit[i] - own[i], MAX_EXPONENT))
                term[i] = _ZERO if winner[i] == c else value
            for i in range(4 * n):
                sums[i] += term[i]
            for i in range(n):
                least_sum[i] += min(min(term[i], term[n + i]), min(term[2 * n + i], term[3 * n + i]))
    for i in range(n):
        a, b, c, d = i, n + i, 2 * n + i, 3 * n + i
        cells.verdicts[i] = cells.leaders[i] = _OPEN
        lead = min(min(best[a] - second[a], best[b] - second[b]), min(best[c] - second[c], best[d] - second[d]))
        w = winner[a]
        if winner[b] != w or winner[c] != w or winner[d] != w or not lead > slack:
            continue
        above = max(max(highest[a] - own[a], highest[b] - own[b]), max(highest[c] - own[c], highest[d] - own[d]))
        if steepest[i] <= _STEEP and above <= _FAR:
            cells.leaders[i] = w
        if not selects:
            cells.verdicts[i] = w
            continue
        bound = _ONE / thresholds[w] - _ONE  # kept where the sum over the others is at most this
        if max(max(sums[a], sums[b]), max(sums[c], sums[d])) * (_ONE + slack) + _LAST_BITS <= bound:
            cells.verdicts[i] = w
        elif least_sum[i] * (_ONE - slack) - _LAST_BITS > bound:
            cells.verdicts[i] = IGNORE


@njit(cache=True, nogil=True, error_model="numpy")
def divide(cells, confides, label_row, led, looked):
    """Write the verdicts to the pixels of a row, and list what is left; return the lengths of the two lists.

    led are the cells with a leader whose probability is asked for, with confides of all, otherwise of those without a
    verdict; looked the columns of the others.
    """
    leds = looks = 0
    for i in range(len(cells.verdicts)):
        first, last = cells.firsts[i], cells.firsts[i + 1]
        if cells.verdicts[i] != _OPEN:
            label_row[first:last] = cells.verdicts[i]
            if not confides:
                continue
        if cells.leaders[i] != _OPEN:
            led[leds] = i
            leds += 1
            continue
        for x in range(first, last):
            looked[looks] = x
            looks += 1
    return leds, looks


@njit(inline="always")
def _series(a, b, c, d, right, down):
    """Return e to the first of four corners, its factor from column to column, and, in powers of 2, how the factor from
    row to row begins and grows from column to column. The corners are relative to the leader's."""
    p, q = min(max(a, _FAINT), MAX_EXPONENT) * LOG2E, min(max(b, _FAINT), MAX_EXPONENT) * LOG2E
    r, s = min(max(c, _FAINT), MAX_EXPONENT) * LOG2E, min(max(d, _FAINT), MAX_EXPONENT) * LOG2E
    fall = (r - p) * down
    return exp2(p), exp2((q - p) * right), fall, ((s - q) * down - fall) * right


@njit(cache=True, nogil=True, error_model="numpy")
def weigh(cells, led, thresholds, label, confidence):
    """Find the softmax probability of the leader in all pixels of the cells that are led.

    label and confidence are of their band, uint8 and float32 [h, width]. The probability is written to confidence,
    unless that is empty. Of a leader with a threshold the label is written: IGNORE where it is not reached.

    Down a column every logit, relative to the leader's, grows by the same from row to row, and its exponential by the
    same factor; so it does from left to right in the first row. Ten exponentials and 71 multiplications do for the 64
    pixels of a cell at stride 8.
    """
    firsts, corners, confides = cells.firsts, cells.corners, confidence.size > 0
    classes, count, height = corners.shape[0], len(firsts) - 1, label.shape[0]
    widest = 0  # a maximum of nothing below 0, so that the compiler sees that no index is negative
    for cell in led:
        widest = max(widest, firsts[cell + 1] - firsts[cell])
    size, by_four = BLOCK // widest, height // 4 * 4
    pixels = size * widest
    # A pixel's place in a row of BLOCK is its column in the cell, then the cell: what is done to all cells alike is
    # vector code then. Rows have a length that the compiler knows, so that it sees that they do not overlap. What is
    # computed beyond the columns of a narrower cell, and beyond the last of the cells, is not used.
    total, value, factor = aligned(height * BLOCK), aligned(BLOCK), aligned(BLOCK)
    leading, power = aligned(4 * BLOCK), aligned(4 * BLOCK)
    right, down = aligned(BLOCK), _ONE / np.float32(max(height - 1, 1))
    for start in range(0, len(led), size):
        group = led[start : start + size]
        n = len(group)
        in_row = group[n - 1] - group[0] == n - 1
        for i in range(n):
            right[i] = _ONE / np.float32(max(firsts[group[i] + 1] - firsts[group[i]] - 1, 1))
            for corner in range(4):
                leading[corner * BLOCK + i] = corners[cells.leaders[group[i]], corner * count + group[i]]
        total[:] = _ZERO
        for c in range(classes):
            for corner in range(4):
                at, to = corner * count, corner * BLOCK
                if in_row:
                    for i in range(n):
                        power[to + i] = corners[c, at + group[0] + i]
                else:
                    for i in range(n):
                        power[to + i] = corners[c, at + group[i]]
            for i in range(n):
                power[i], power[BLOCK + i], power[2 * BLOCK + i], power[3 * BLOCK + i] = _series(
                    power[i] - leading[i],
                    power[BLOCK + i] - leading[BLOCK + i],
                    power[2 * BLOCK + i] - leading[2 * BLOCK + i],
                    power[3 * BLOCK + i] - leading[3 * BLOCK + i],
                    right[i],
                    down,
                )
            for x in range(widest):
                for i in range(n):
                    first = power[i]
                    value[x * size + i] = first
                    power[i] = first * power[BLOCK + i]
                for i in range(n):
                    factor[x * size + i] = exp2(power[2 * BLOCK + i] + power[3 * BLOCK + i] * np.float32(x))
            for k in range(0, by_four, 4):
                at = k * BLOCK
                for j in range(pixels):
                    term, by = value[j], factor[j]
                    total[at + j] += term
                    term *= by
                    total[at + BLOCK + j] += term
                    term *= by
                    total[at + 2 * BLOCK + j] += term
                    term *= by
                    total[at + 3 * BLOCK + j] += term
                    value[j] = term * by
            for k in range(by_four, height):
                for j in range(pixels):
                    total[k * BLOCK + j] += value[j]
                    value[j] *= factor[j]
        for j in range(height * BLOCK):
            total[j] = _ONE / total[j]
        for k in range(height):
            for i in range(n):
                leader = cells.leaders[group[i]]
                threshold = thresholds[leader]
                # Unsigned, because there is no index from the end to look out for.
                begin, end = np.uint64(firsts[group[i]]), np.uint64(firsts[group[i] + 1])
                at = np.uint64(k * BLOCK + i)
                if confides:
                    for x in range(begin, end):
                        confidence[k, x] = total[at + (x - begin) * np.uint64(size)]
                if threshold > _ZERO:
                    for x in range(begin, end):
                        reached = total[at + (x - begin) * np.uint64(size)] >= threshold
                        label[k, x] = leader if reached else IGNORE
