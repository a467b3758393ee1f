"""The pixels of cells whose corners do not tell all: their class, and its softmax probability.

In a cell the logits are evenly spaced, so exponentials follow from one another by multiplication, and the corners leave
few classes that can win. Where a cell is too steep for that, and where there are no cells, pixels are looked at one by
one.
"""

import numpy as np
from numba import njit

from udaseg.aligned import aligned
from udaseg.labels import IGNORE
from udaseg.upsampling import BLOCK, FIERCE, LOG2E, blend, exp, exp2

_ZERO, _ONE = np.float32(0), np.float32(1)
_FAINT = np.float32(-50)  # e^t below it changes no sum


@njit(inline="always")
def _series(a, b, c, d, right, down):
    """Return e to the first of four corners, its factor from column to column, and, in powers of 2, how the factor from
    row to row begins and grows from column to column. The corners are relative to the reference's."""
    p, q = min(max(a, _FAINT), FIERCE) * LOG2E, min(max(b, _FAINT), FIERCE) * LOG2E
    r, s = min(max(c, _FAINT), FIERCE) * LOG2E, min(max(d, _FAINT), FIERCE) * LOG2E
    fall = (r - p) * down
    return exp2(p), exp2((q - p) * right), fall, ((s - q) * down - fall) * right


@njit(cache=True, nogil=True, error_model="numpy")
def reference_probability(cells, own, probability):
    """Write the softmax probability of the winner in the first corner of some cells to all their pixels.

    own are the cells; probability is of their band, float32 [h, width].

    Down a column every logit, relative to that of the reference, grows by the same
    from row to row, and its exponential by the same factor; so it does from left to right in the first row. Ten
    exponentials and 71 multiplications do for the 64 pixels of a cell at stride 8.
    """
    firsts, logits_CP = cells.firsts, cells.logits
    classes, count, height = logits_CP.shape[0], len(firsts) - 1, probability.shape[0]
    widest = 0  # a maximum of nothing below 0, so that the compiler sees that no index is negative
    for cell in own:
        widest = max(widest, firsts[cell + 1] - firsts[cell])
    size, by_four = BLOCK // widest, height // 4 * 4
    pixels = size * widest
    # A pixel's place in a row of BLOCK is its column in the cell, then the cell: what is done to all cells alike is
    # vector code then. Rows have a length that the compiler knows, so that it sees that they do not overlap.
    total, value, factor = aligned(height * BLOCK), aligned(BLOCK), aligned(BLOCK)
    reference, power = aligned(4 * BLOCK), aligned(4 * BLOCK)
    right, down = aligned(BLOCK), _ONE / np.float32(max(height - 1, 1))
    for start in range(0, len(own), size):
        group = own[start : start + size]
        n = len(group)
        in_row = group[n - 1] - group[0] == n - 1
        for i in range(n):
            right[i] = _ONE / np.float32(max(firsts[group[i] + 1] - firsts[group[i]] - 1, 1))
            for corner in range(4):
                reference[corner * BLOCK + i] = logits_CP[cells.winners[group[i]], corner * count + group[i]]
        total[:] = _ZERO
        for c in range(classes):
            for corner in range(4):
                at, to = corner * count, corner * BLOCK
                if in_row:
                    for i in range(n):
                        power[to + i] = logits_CP[c, at + group[0] + i]
                else:
                    for i in range(n):
                        power[to + i] = logits_CP[c, at + group[i]]
            for i in range(n):
                power[i], power[BLOCK + i], power[2 * BLOCK + i], power[3 * BLOCK + i] = _series(
                    power[i] - reference[i],
                    power[BLOCK + i] - reference[BLOCK + i],
                    power[2 * BLOCK + i] - reference[2 * BLOCK + i],
                    power[3 * BLOCK + i] - reference[3 * BLOCK + i],
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
                # Unsigned, because there is no index from the end to look out for.
                begin, at = firsts[group[i]], np.uint64(k * BLOCK + i)
                for x in range(firsts[group[i] + 1] - begin):
                    probability[k, np.uint64(begin + x)] = total[at]
                    at += np.uint64(size)


@njit(cache=True, nogil=True)
def _by_contenders(cells, own):
    """Return some cells, those with most contenders first, and how many each has."""
    classes = len(cells.tops)
    number, places = np.zeros(len(own), np.int64), np.zeros(classes + 2, np.int64)
    for c in range(classes):
        for i in range(len(own)):
            number[i] += cells.tops[c, own[i]] >= cells.floors[own[i]]
    for i in range(len(own)):
        places[classes - number[i] + 1] += 1
    places = np.cumsum(places)
    ordered, numbers = np.empty(len(own), np.int64), np.empty(len(own), np.int64)
    for i in range(len(own)):
        place = places[classes - number[i]]
        ordered[place], numbers[place] = own[i], number[i]
        places[classes - number[i]] += 1
    return ordered, numbers


@njit(cache=True, nogil=True, error_model="numpy")
def contend(cells, own, logits_CHW, rows, columns, y, bias, label, probability):
    """Write argmax(logit + bias) to the pixels of some cells, and turn the probability of the reference into its own.

    own are the cells; label and probability are of their band, uint8 and float32 [h, width], that begins with row y. An
    empty probability is left alone, another is as `reference_probability` leaves it. Only the classes whose highest
    corner reaches the floor can win: two or three mostly.
    """
    low, high, low_weight, high_weight = columns
    firsts, count = cells.firsts, len(cells.firsts) - 1
    classes, height, weighs = len(bias), label.shape[0], probability.size > 0
    # A row for each contender of a cell, whichever class that is, and the columns of the cells side by side.
    upper, lower = np.empty((classes, BLOCK), np.float32), np.empty((classes, BLOCK), np.float32)
    value, factor = np.empty((classes, BLOCK), np.float32), np.empty((classes, BLOCK), np.float32)
    extra, class_of = np.empty((classes, BLOCK), np.float32), np.empty((classes, BLOCK), np.uint32)
    best, chosen, winner = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.uint32)
    down, extents = _ONE / np.float32(max(height - 1, 1)), np.empty(classes, np.int64)
    ordered, numbers = _by_contenders(cells, own)
    start = 0
    while start < len(ordered):
        used, stop = 0, start
        extents[:] = 0
        while stop < len(ordered) and used + firsts[ordered[stop] + 1] - firsts[ordered[stop]] <= BLOCK:
            cell = ordered[stop]
            begin, n = firsts[cell], firsts[cell + 1] - firsts[cell]
            right, j = _ONE / np.float32(max(n - 1, 1)), 0
            for c in range(classes):
                if cells.tops[c, cell] < cells.floors[cell]:
                    continue
                above, below = logits_CHW[c, rows[0][y]], logits_CHW[c, rows[1][y]]
                a, b, d, e = above[low[begin]], above[high[begin]], below[low[begin]], below[high[begin]]
                for x in range(n):
                    upper[j, used + x] = a * low_weight[begin + x] + b * high_weight[begin + x]
                    lower[j, used + x] = d * low_weight[begin + x] + e * high_weight[begin + x]
                    extra[j, used + x], class_of[j, used + x] = bias[c], c
                if weighs:
                    logit, reference = cells.logits[c], cells.logits[cells.winners[cell]]
                    p, q = logit[cell] - reference[cell], logit[count + cell] - reference[count + cell]
                    r = logit[2 * count + cell] - reference[2 * count + cell]
                    s = logit[3 * count + cell] - reference[3 * count + cell]
                    first, across, fall, bend = _series(p, q, r, s, right, down)
                    for x in range(n):
                        value[j, used + x], factor[j, used + x] = first, exp2(fall + bend * np.float32(x))
                        first *= across
                j += 1
            used += n
            extents[:j] = used
            stop += 1
        for k in range(height):
            upper_weight, lower_weight = rows[2][y + k], rows[3][y + k]
            best[:] = -np.inf
            for j in range(numbers[start]):
                for x in range(extents[j]):
                    logit = upper[j, x] * upper_weight + lower[j, x] * lower_weight + extra[j, x]
                    before, first_best = best[x], winner[x]
                    # Strictly greater: of equal logits the lowest class wins, as in torch.argmax.
                    wins = logit > before
                    best[x] = logit if wins else before
                    winner[x] = class_of[j, x] if wins else first_best
            if weighs:
                for j in range(numbers[start]):
                    for x in range(extents[j]):
                        term, held = value[j, x], chosen[x]
                        chosen[x] = term if class_of[j, x] == winner[x] else held
                        value[j, x] = term * factor[j, x]
            x = np.uint64(0)  # unsigned: no index from the end to look out for
            for cell in ordered[start:stop]:
                for at in range(np.uint64(firsts[cell]), np.uint64(firsts[cell + 1])):
                    label[k, at] = winner[x]
                    if weighs:
                        probability[k, at] = min(chosen[x] * probability[k, at], _ONE)
                    x += np.uint64(1)
        start = stop


@njit(cache=True, nogil=True, error_model="numpy")
def drop(cells, own, thresholds, probability, label):
    """Write IGNORE to the pixels of some cells whose probability is below the threshold of their class."""
    for k in range(label.shape[0]):
        for cell in own:
            for x in range(np.uint64(cells.firsts[cell]), np.uint64(cells.firsts[cell + 1])):
                c = label[k, x]
                label[k, x] = IGNORE if probability[k, x] < thresholds[c] else c


@njit(inline="always")
def _rebias(block, bias, n, own, score, winner):
    """Let the class of the highest logit + bias win instead; own is the logit of the winner."""
    score[:] = -np.inf
    for c in range(block.shape[0]):
        logit = block[c]
        for x in range(n):
            value, biased = logit[x], logit[x] + bias[c]
            before, held, first = score[x], own[x], winner[x]
            wins = biased > before
            winner[x] = c if wins else first
            own[x] = value if wins else held
            score[x] = biased if wins else before


@njit(inline="always")
def _normalise(block, best, n, own):
    """Turn own, the logit of the winner, into its softmax probability."""
    total = np.zeros(BLOCK, np.float32)
    for c in range(block.shape[0]):
        logit = block[c]
        for x in range(n):
            total[x] += exp(logit[x] - best[x])
    for x in range(n):
        own[x] = exp(own[x] - best[x]) / total[x]


@njit(cache=True, nogil=True, error_model="numpy")  # a division that may raise is no vector code
def look(upper_CW, lower_CW, rows, first, columns, bias, thresholds, label, confidence):
    """Decide the pixels in the columns given, one by one; label and confidence are of the band that begins with first.

    An empty confidence is not written.
    """
    biased, selects, confides = np.any(bias != _ZERO), np.any(thresholds > _ZERO), confidence.size > 0
    block = np.empty((len(bias), BLOCK), np.float32)
    best, own, score = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.uint32)
    for k in range(label.shape[0]):
        for start in range(0, len(columns), BLOCK):
            at = columns[start : start + BLOCK]
            n = len(at)
            blend(upper_CW, lower_CW, rows[2][first + k], rows[3][first + k], start, n, block, best, winner)
            own[:n] = best[:n]
            if biased:
                _rebias(block, bias, n, own, score, winner)
            if selects or confides:
                _normalise(block, best, n, own)
            if selects:
                for x in range(n):
                    if own[x] < thresholds[winner[x]]:
                        winner[x] = IGNORE
            for x in range(n):
                label[k, at[x]] = winner[x]
            if confides:
                for x in range(n):
                    confidence[k, at[x]] = own[x]
