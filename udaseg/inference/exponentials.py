"""Exponentials for compiled kernels, written such that loops over them become vector code.

Every operation is written out, in a fixed order, so the result is the same bits in every kernel on every machine.
"""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

LOG2E = np.float32(1.44269504)
_ONE = np.float32(1)
_LOWEST = np.float32(-87)  # e^t is no normal float32 below it
_ROUNDING = np.float32(12582912)  # 1.5 * 2^23: adding it leaves the nearest integer in the low bits
# 2^f = 1 + f * (...), minimax on [-0.5, 0.5], relative error 9e-8; exactly 1 at f = 0.
_P1, _P2, _P3, _P4, _P5 = (np.float32(c) for c in (0.69314698, 0.24022242, 0.05550734, 0.00967151, 0.00132647))


@intrinsic
def float32_bits(context, value):
    """Return the bits of a float32 as an int32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.int32(types.float32), generate


@intrinsic
def _float32_from_bits(context, value):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@intrinsic
def _fma(context, a, b, c):
    """Return a * b + c, rounded once."""

    def generate(context, builder, signature, arguments):
        return builder.fma(*arguments)

    return types.float32(types.float32, types.float32, types.float32), generate


@njit(inline="always")
def exp2(power):
    """Return 2^power of a float32, -126 <= power <= 126, with a relative error of 2e-7."""
    rounded = power + _ROUNDING
    f = power - (rounded - _ROUNDING)
    mantissa = _fma(f, _fma(f, _fma(f, _fma(f, _fma(f, _P5, _P4), _P3), _P2), _P1), _ONE)
    return _float32_from_bits(float32_bits(mantissa) + (float32_bits(rounded) << np.int32(23)))


@njit(inline="always")
def exp(t):
    """Return e^t of a float32, t <= 87, and e^-87 below -87; relative error 2e-7 near 0, 4e-6 far from it."""
    return exp2(max(t, _LOWEST) * LOG2E)
