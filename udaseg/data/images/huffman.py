"""Bytes as a zlib stream of Huffman codes alone: what zlib's strategy of that name makes, in a quarter of its time.

What the prediction leaves of a photograph hardly repeats. A short code for each frequent byte is all there is to gain.
Source: RFC 1950, and RFC 1951, sections 3.2.2 (canonical codes) and 3.2.7 (a block with codes of its own).
"""

import zlib

import numpy as np
from numba import njit

BLOCK = 1 << 17  # bytes that share their codes: more adapt less, and a set of codes takes 139 bytes
_LONGEST = 15
_END = 256  # the symbol that ends a block
_SYMBOLS = 257
# Codes of one bit for distances, which do not occur: with two the set is whole, and some readers ask for that.
_DISTANCES = 2
_ORDER = (16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15)  # of the codes for the lengths of codes
_CODE, _BITS = np.uint64(0xFFFF), np.uint64(16)  # of what _codes returns


@njit(cache=True, nogil=True)
def _histogram(bytes_):
    counts = np.zeros((4, _SYMBOLS), np.int64)  # neighbours are often equal, and in one place one waits for the other
    whole = bytes_.size // 4 * 4
    for i in range(0, whole, 4):
        for k in range(4):
            counts[k, bytes_[i + k]] += 1
    for i in range(whole, bytes_.size):
        counts[0, bytes_[i]] += 1
    counts[0, _END] = 1
    return counts.sum(0)


@njit(cache=True, nogil=True)
def _code_lengths(counts):
    """Return the length of each symbol's code, int64, 0 where it does not occur, at most 15 (Huffman, 1952)."""
    lengths = np.zeros(len(counts), np.int64)
    used = np.flatnonzero(counts)
    weights = counts[used]
    n = len(used)
    while True:
        order = np.argsort(weights, kind="mergesort")
        # Two queues, both in order: the leaves, and the nodes as they are made.
        weight, parent = np.empty(2 * n - 1, np.int64), np.zeros(2 * n - 1, np.int64)
        weight[:n] = weights[order]
        leaf, node = 0, n
        for made in range(n, 2 * n - 1):
            total = 0
            for _ in range(2):
                if leaf < n and (node >= made or weight[leaf] <= weight[node]):
                    parent[leaf] = made
                    total += weight[leaf]
                    leaf += 1
                else:
                    parent[node] = made
                    total += weight[node]
                    node += 1
            weight[made] = total
        depth = np.zeros(2 * n - 1, np.int64)
        for i in range(2 * n - 3, -1, -1):
            depth[i] = depth[parent[i]] + 1
        if depth[:n].max() <= _LONGEST:
            lengths[used[order]] = depth[:n]
            return lengths
        weights = (weights + 1) // 2  # flatter, until no code is too long


@njit(cache=True, nogil=True)
def _codes(lengths):
    """Return the canonical codes, their first bit lowest, as length << 16 | code: uint64."""
    of_length = np.bincount(lengths, minlength=_LONGEST + 1)
    of_length[0] = 0
    following = np.zeros(_LONGEST + 2, np.int64)
    for bits in range(1, _LONGEST + 1):
        following[bits + 1] = (following[bits] + of_length[bits]) << 1
    codes = np.zeros(len(lengths), np.uint64)
    for symbol in range(len(lengths)):
        bits = lengths[symbol]
        code, turned = following[bits], 0
        for _ in range(bits):
            turned = turned << 1 | code & 1
            code >>= 1
        if bits:
            following[bits] += 1
        codes[symbol] = bits << 16 | turned
    return codes


@njit(inline="always")
def _put(words, state, value, bits):
    """Append bits: state holds how many words are full, the bits that wait, and how many of these there are."""
    state[1] |= np.uint64(value) << state[2]
    state[2] += np.uint64(bits)
    if state[2] >= 32:
        words[state[0]] = state[1]
        state[0] += np.uint64(1)
        state[1] >>= np.uint64(32)
        state[2] -= np.uint64(32)


@njit(cache=True, nogil=True)
def _deflate(bytes_, block, words):
    """Write the blocks of a deflate stream to words, uint32; return their bytes."""
    state = np.zeros(3, np.uint64)
    for start in range(0, bytes_.size, block):
        part = bytes_[start : start + block]
        lengths = _code_lengths(_histogram(part))
        codes = _codes(lengths)
        _put(words, state, start + block >= bytes_.size, 1)
        _put(words, state, 2, 2)
        _put(words, state, _SYMBOLS - 257, 5)
        _put(words, state, _DISTANCES - 1, 5)
        _put(words, state, len(_ORDER) - 4, 4)
        for symbol in _ORDER:  # 0 to 15 have codes of four bits, the numbers themselves; repetitions have none
            _put(words, state, 0 if symbol > _LONGEST else 4, 3)
        for symbol in range(_SYMBOLS + _DISTANCES):
            bits = lengths[symbol] if symbol < _SYMBOLS else 1
            _put(words, state, (bits & 1) << 3 | (bits & 2) << 1 | (bits & 4) >> 1 | bits >> 3, 4)
        at, waiting, held = state[0], state[1], state[2]
        for i in range(0, len(part) - 1, 2):  # two codes of 15 bits fit beside 31 that wait
            for k in range(2):
                code = codes[part[i + k]]
                waiting |= (code & _CODE) << held
                held += code >> _BITS
            if held >= 32:
                words[at] = waiting
                at += np.uint64(1)
                waiting >>= np.uint64(32)
                held -= np.uint64(32)
        state[0], state[1], state[2] = at, waiting, held
        if len(part) % 2:
            _put(words, state, codes[part[-1]] & _CODE, codes[part[-1]] >> _BITS)
        _put(words, state, codes[_END] & _CODE, codes[_END] >> _BITS)
    words[state[0]] = state[1]
    return np.int64(state[0] * np.uint64(4) + (state[2] + np.uint64(7)) // np.uint64(8))


def compress(bytes_: np.ndarray) -> bytes:
    """Compress bytes, uint8 [n], n at least 1, to what zlib.decompress reads."""
    blocks = -(-bytes_.size // BLOCK)
    words = np.empty((2 * bytes_.size + 256 * blocks) // 4 + 2, np.uint32)  # no code is longer than two bytes
    size = _deflate(bytes_, BLOCK, words)
    body = words.astype("<u4", copy=False).view(np.uint8)[:size].tobytes()
    return b"\x78\x01" + body + zlib.adler32(bytes_).to_bytes(4, "big")
