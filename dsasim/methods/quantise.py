"""Integer arithmetic of the prediction path: symmetric codes, exact products, requantisation.

A b-bit code is an integer in ±(2^(b-1) - 1); a real value is code x scale. Everything rounds half to even.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import ConfigError

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Floating = NDArray[np.floating]

MULTIPLIER_BITS = 24
"""Bits of the integer multiplier of a requantisation: a float32 scale carries no more."""

ACCUMULATOR_MAX = 2**31 - 1


def largest_code(bits: int) -> int:
    """The largest code of `bits` bits, 2^(bits-1) - 1; the smallest is its negative."""
    return int(2 ** (bits - 1)) - 1


def quantise(values: Floating, scale: float | Floating, bits: int) -> Int64:
    """Codes of real values: round half to even of values / scale, clipped; `scale` broadcasts over the last axis."""
    top = largest_code(bits)
    codes = np.clip(np.rint(np.asarray(values, dtype=np.float64) / scale), -top, top)
    return np.asarray(codes, dtype=np.int64)


def coded(values: Floating, bits: int) -> tuple[Int64, float]:
    """Codes of real values and their scale, at which the largest magnitude has the largest code; 1 if all are zero.

    Worked example: 0.5, -1 and 0.25 at 4 bits are 4, -7 and 2 (3.5 and 1.75 rounded) with scale 1/7.
    """
    scale = float(np.abs(values).max(initial=0.0)) / largest_code(bits) or 1.0
    return quantise(values, scale, bits), scale


@dataclass(frozen=True)
class Multiplier:
    """A positive real factor as hardware holds it: mantissa / 2^shift, one a column; both int64 of one shape."""

    mantissa: Int64
    shift: Int64

    @classmethod
    def of(cls, factor: float | Floating) -> "Multiplier":
        """The nearest factors with a mantissa of MULTIPLIER_BITS bits.

        ConfigError: a factor that a 62-bit shift cannot express, as from a broken scale.
        Worked example: 0.75 = 12582912 / 2^24.
        """
        fraction, exponent = np.frexp(np.asarray(factor, dtype=np.float64))
        shift = MULTIPLIER_BITS - exponent.astype(np.int64)
        if not (np.all(fraction > 0) and np.all(shift >= 1) and np.all(shift <= 62)):
            raise ConfigError(f"predictor: a requantisation factor of {factor} is outside [2^-39, 2^23)")
        return cls(np.rint(fraction * 2**MULTIPLIER_BITS).astype(np.int64), shift)


def requantise(accumulators: Int32, multiplier: Multiplier, bits: int) -> Int64:
    """Codes of int32 accumulators [..., n] by an integer multiply and a rounding shift, as hardware does it.

    code = clip(round_half_even(accumulator x mantissa / 2^shift)); the product fits 31 + 24 < 63 bits.
    Worked example, factor 1/4 (mantissa 2^23, shift 25): 6 -> 1.5 -> 2, 10 -> 2.5 -> 2, -6 -> -2; at 4 bits 99 -> 7.
    """
    top = largest_code(bits)
    product = accumulators * multiplier.mantissa
    whole = product >> multiplier.shift
    rest, half = product - (whole << multiplier.shift), np.int64(1) << (multiplier.shift - 1)
    rounded = whole + ((rest > half) | ((rest == half) & (whole % 2 != 0)))
    return np.asarray(np.clip(rounded, -top, top), dtype=np.int64)


def exact_matmul(left: Int64, right: Int64, left_max: int, right_max: int) -> Int32:
    """Integers left [m, k] @ right [k, n], bounded by left_max and right_max, summed by int32 accumulators.

    BLAS in floating point is exact here in any order of summation: no partial sum leaves k x left_max x right_max,
    and every integer up to 2^24 is a float32, up to 2^53 a float64.
    ConfigError: the bound is beyond int32.
    """
    bound = left.shape[-1] * left_max * right_max
    if bound > ACCUMULATOR_MAX:
        raise ConfigError(f"predictor: sums of {left.shape[-1]} products can reach {bound}, beyond int32 accumulators")
    dtype = np.float32 if bound < 2**24 else np.float64
    return np.asarray(left.astype(dtype) @ right.astype(dtype), dtype=np.int32)
