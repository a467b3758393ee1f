"""From logits at the network's stride to labels and confidences at the size of the labels, without a full-size buffer.

The class probabilities of a picture take 159 MB at 1024x2048 and 19 classes, and nobody needs them: the kernels
here upsample the logits bilinearly, as torch.nn.functional.interpolate does, a few hundred pixels at a time,
and keep of each pixel the winning class and its softmax probability. Where only a label is asked for, most pixels
are not even looked at: between four neighbouring logits all is bilinear, and the corners often tell (_judge).
The kernels hold no global state and release the GIL, so a stage may run one in each of its threads.

Only additions and multiplications in a fixed order are used (no fused multiply-add, no reassociation), so the
label and the confidence of a pixel are the same bits on every machine and in every kernel of this file. The
self-training threshold is the confidence of a pixel, so the comparison with it has to be exact.
"""

import numpy as np
from numba import njit

from udaseg.labels import IGNORE
from udaseg.upsampling import BLOCK, blend, exp, hold, prepared

_ZERO, _ONE = np.float32(0), np.float32(1)
_ROUNDED = np.float32(1e-5)  # more than interpolation is off by, as a part of the largest logit
_LAST_BITS = np.float32(3e-7)  # more than a confidence is off by
_OPEN = -1  # of a cell: its pixels have to be looked at
_NO_CELLS, _NO_CONFIDENCE = np.empty(0, np.int64), np.empty((0, 0), np.float32)


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
def _judge(upper_CM, lower_CM, weights, bias, thresholds, slack, logits_CP, verdicts):
    """Write of each cell the class or the IGNORE that all its pixels come to, and _OPEN where its corners do not tell.

    A cell is the pixels between four neighbouring logits, in rows whose upper and lower weights lie between weights[0]
    and weights[1]; upper_CM and lower_CM are the logits above and below the first columns of all cells, then the last.
    The logits are bilinear there. So a class that leads in all four corners leads everywhere between them; and of
    exp(logit - its own), which is convex along rows and columns, the sum over the others is nowhere higher than in one
    of the corners, and no term lower than in its lowest one.
    """
    classes, n = len(bias), len(verdicts)
    best, second = np.full(4 * n, -np.inf, np.float32), np.full(4 * n, -np.inf, np.float32)
    own, winner = np.empty(4 * n, np.float32), np.zeros(4 * n, np.uint32)
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
    selects = np.any(thresholds > _ZERO)
    most, least = np.zeros(4 * n, np.float32), np.zeros(n, np.float32)
    if selects:
        term = np.empty(4 * n, np.float32)
        for c in range(classes):
            logit = logits_CP[c]
            for i in range(4 * n):
                # With a bias the winner's logit need not be the highest; e^60 is out of the question anyway.
                value = exp(min(logit[i] - own[i], np.float32(60)))
                term[i] = _ZERO if winner[i] == c else value
            for i in range(4 * n):
                most[i] += term[i]
            for i in range(n):
                least[i] += min(min(term[i], term[n + i]), min(term[2 * n + i], term[3 * n + i]))
    for i in range(n):
        a, b, c, d = i, n + i, 2 * n + i, 3 * n + i
        lead = min(min(best[a] - second[a], best[b] - second[b]), min(best[c] - second[c], best[d] - second[d]))
        w = winner[a]
        if winner[b] != w or winner[c] != w or winner[d] != w or not lead > slack:
            verdicts[i] = _OPEN
            continue
        verdicts[i] = w
        if selects:
            bound = _ONE / thresholds[w] - _ONE  # kept where the sum over the others is at most this
            if max(max(most[a], most[b]), max(most[c], most[d])) * (_ONE + slack) + _LAST_BITS <= bound:
                continue
            verdicts[i] = IGNORE if least[i] * (_ONE - slack) - _LAST_BITS > bound else _OPEN


@njit(cache=True, nogil=True, error_model="numpy")
def _spread(verdicts, firsts, label_row, open_columns):
    """Write the verdicts to the pixels of a row, list the columns of the open cells, and return their number."""
    count = 0
    for i in range(len(verdicts)):
        if verdicts[i] == _OPEN:
            for x in range(firsts[i], firsts[i + 1]):
                open_columns[count] = x
                count += 1
        else:
            label_row[firsts[i] : firsts[i + 1]] = verdicts[i]
    return count


@njit(cache=True, nogil=True, error_model="numpy")
def _decide(logits_CHW, rows, columns, firsts, bias, thresholds, label, confidence):
    """Write argmax(logit + bias) and its softmax probability; IGNORE where that is below the class's threshold.

    An empty confidence is not written, and no softmax taken where there are no thresholds either (all zero). firsts
    is the first column of every cell and the width; empty where all pixels are to be looked at one by one.
    """
    classes = logits_CHW.shape[0]
    height, width = label.shape
    biased, selects, confides = np.any(bias != _ZERO), np.any(thresholds > _ZERO), confidence.size > 0
    rows_2CW = np.empty((2, classes, width), np.float32)
    block = np.empty((classes, BLOCK), np.float32)
    best, own, score = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
    winner = np.empty(BLOCK, np.uint32)
    low, high, low_weight, high_weight = columns
    cells = max(len(firsts) - 1, 0)
    ends = np.append(firsts[:cells], firsts[1:] - 1)
    corners = low[ends], high[ends], low_weight[ends], high_weight[ends]
    weights, slack = np.empty((2, 2), np.float32), _ROUNDED * max(_ONE, np.abs(logits_CHW).max())
    corners_2CM, corners_held = np.empty((2, classes, 2 * cells), np.float32), np.full(2, -1)
    logits_CP, verdicts = np.empty((classes, 4 * cells), np.float32), np.empty(cells, np.int64)
    open_columns, count = np.arange(width), width
    held = np.full(2, -1)
    first, last = 0, -1  # the rows between two neighbouring rows of logits
    for y in range(height):
        if y > last:
            first = last = y
            while last + 1 < height and rows[0][last + 1] == rows[0][y]:
                last += 1
            if cells:
                for end, row in enumerate((first, last)):
                    weights[end, 0], weights[end, 1] = rows[2][row], rows[3][row]
                hold(logits_CHW, rows[0][y], corners, corners_held, corners_2CM)
                hold(logits_CHW, rows[1][y], corners, corners_held, corners_2CM)
                upper_CM, lower_CM = corners_2CM[rows[0][y] % 2], corners_2CM[rows[1][y] % 2]
                _judge(upper_CM, lower_CM, weights, bias, thresholds, slack, logits_CP, verdicts)
                count, held[:] = _spread(verdicts, firsts, label[y], open_columns), -1
            at = open_columns[:count]
            taken = (low[at], high[at], low_weight[at], high_weight[at]) if cells else columns
            hold(logits_CHW, rows[0][y], taken, held, rows_2CW)
            hold(logits_CHW, rows[1][y], taken, held, rows_2CW)
        elif cells:
            label[y] = label[first]
        upper_CW, lower_CW = rows_2CW[rows[0][y] % 2], rows_2CW[rows[1][y] % 2]
        for start in range(0, count, BLOCK):
            n = min(BLOCK, count - start)
            blend(upper_CW, lower_CW, rows[2][y], rows[3][y], start, n, block, best, winner)
            own[:n] = best[:n]
            if biased:
                _rebias(block, bias, n, own, score, winner)
            if selects or confides:
                _normalise(block, best, n, own)
            if selects:
                for x in range(n):
                    if own[x] < thresholds[winner[x]]:
                        winner[x] = IGNORE
            if confides:
                confidence[y, start : start + n] = own[:n]
            if cells:
                for x in range(n):
                    label[y, open_columns[start + x]] = winner[x]
            else:
                label_row = label[y, start : start + n]
                for x in range(n):
                    label_row[x] = winner[x]


@njit(cache=True, nogil=True, error_model="numpy")
def _softmax(logits_CHW, rows, columns, probabilities_CHW):
    classes, height, width = probabilities_CHW.shape
    rows_2CW = np.empty((2, classes, width), np.float32)
    held = np.full(2, -1)
    highest, total = np.empty((2, width), np.float32)
    for y in range(height):
        hold(logits_CHW, rows[0][y], columns, held, rows_2CW)
        hold(logits_CHW, rows[1][y], columns, held, rows_2CW)
        upper_CW, lower_CW = rows_2CW[rows[0][y] % 2], rows_2CW[rows[1][y] % 2]
        upper_weight, lower_weight = rows[2][y], rows[3][y]
        highest[:] = -np.inf
        total[:] = _ZERO
        for c in range(classes):
            for x in range(width):
                value = upper_CW[c, x] * upper_weight + lower_CW[c, x] * lower_weight
                probabilities_CHW[c, y, x] = value
                highest[x] = max(value, highest[x])
        for c in range(classes):
            for x in range(width):
                value = exp(probabilities_CHW[c, y, x] - highest[x])
                probabilities_CHW[c, y, x] = value
                total[x] += value
        for c in range(classes):
            for x in range(width):
                probabilities_CHW[c, y, x] /= total[x]


def _cells(rows, columns):
    """Return the first column between any two neighbouring logits and the width, int64 [n + 1]; none where few pixels
    lie between four of them: a cell takes as long to judge as some eight pixels."""
    first, bands = (np.flatnonzero(np.diff(low, prepend=-1)) for low in (columns[0], rows[0]))
    if len(columns[0]) * len(rows[0]) < 16 * len(first) * len(bands):
        return _NO_CELLS
    return np.append(first, len(columns[0]))


def label_and_confidence(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the label of every pixel and the softmax probability of that label, at the size of the labels.

    logits_CHW is float16 or float32 [C, h, w], C at most 254; (height, width) is the size asked for. The logits are
    upsampled bilinearly before the softmax. Returns uint8 [H, W] (of equal logits the lowest class) and float32
    [H, W], within 1e-6 of the exact softmax. Raises UdasegError for other ranks and dtypes and for logits that are
    not finite.
    """
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label, confidence = np.empty((height, width), np.uint8), np.empty((height, width), np.float32)
    none = np.zeros(len(logits_CHW), np.float32)
    _decide(logits_CHW, rows, columns, _NO_CELLS, none, none, label, confidence)
    return label, confidence


def argmax_label(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return only the label of label_and_confidence, uint8 [H, W], in a quarter of its time: enough to evaluate."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    none = np.zeros(len(logits_CHW), np.float32)
    _decide(logits_CHW, rows, columns, _cells(rows, columns), none, none, label, _NO_CONFIDENCE)
    return label


def thresholded_label(
    logits_CHW: np.ndarray, height: int, width: int, align_corners: bool, bias: np.ndarray, thresholds: np.ndarray
) -> np.ndarray:
    """Return argmax(logit + bias) where its softmax probability reaches the class's threshold, and 255 elsewhere.

    As label_and_confidence; bias and thresholds are float32 [C]. The bias moves the decision, not the probability.
    With a bias of zero a pixel is kept exactly where label_and_confidence's confidence is >= thresholds[label]. This
    takes half the time of that: inside of regions four pixels tell for all between them.
    """
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    label = np.empty((height, width), np.uint8)
    _decide(logits_CHW, rows, columns, _cells(rows, columns), bias, thresholds, label, _NO_CONFIDENCE)
    return label


def probabilities(logits_CHW: np.ndarray, height: int, width: int, align_corners: bool) -> np.ndarray:
    """Return the softmax of the upsampled logits, float32 [C, H, W]: 4 * C bytes a pixel, for the rare uses."""
    logits_CHW, rows, columns = prepared(logits_CHW, height, width, align_corners)
    probabilities_CHW = np.empty((len(logits_CHW), height, width), np.float32)
    _softmax(logits_CHW, rows, columns, probabilities_CHW)
    return probabilities_CHW
