"""Integer codes in PyTorch: the arithmetic of `dsasim.methods.quantise`, with a gradient.

The forward values are those of the integer path bit for bit, held in floating point; the gradient passes straight
through the rounding (Bengio et al. 2013, arXiv 1308.3432) and is zero where a code is clipped.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.errors import ConfigError
from dsasim.methods.quantise import Multiplier, largest_code

EXACT_ACCUMULATOR = 2**29
"""An accumulator below this times a mantissa of 24 bits is an exact float64."""


class StraightThrough(torch.autograd.Function):
    """clip(round half to even(ratio), -top, top) as float32; the gradient of the clip alone."""

    @staticmethod
    def forward(ctx: Any, ratio: Any, top: int) -> Any:
        """Codes of float64 ratios of any shape."""
        ctx.save_for_backward(ratio.abs() <= top)
        return torch.round(ratio).clamp_(-top, top).float()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        """The gradient where the code was not clipped."""
        (inside,) = ctx.saved_tensors
        return gradient.double() * inside, None


def quantise(values: Any, scale: Any, bits: int) -> Any:
    """Codes of real values; `scale` (a float64 tensor or number) broadcasts over the last axis."""
    return StraightThrough.apply(values.double() / scale, largest_code(bits))


def requantise(accumulators: Any, factor: NDArray[np.float64], bits: int) -> Any:
    """Codes of integer accumulators by the multiplier that hardware holds for `factor`, which broadcasts.

    The product of accumulator and mantissa is exact, as is its division by a power of two: only the rounding rounds.
    """
    multiplier = Multiplier.of(factor)
    exact = multiplier.mantissa / np.exp2(multiplier.shift)
    return StraightThrough.apply(accumulators.double() * torch.from_numpy(np.atleast_1d(exact)), largest_code(bits))


def exact_matmul(left: Any, right: Any, left_max: int, right_max: int) -> Any:
    """Integer codes multiplied and summed without rounding, in float32 or float64 by the bound of a sum.

    ConfigError: the bound leaves what `requantise` holds exactly.
    """
    bound = left.shape[-1] * left_max * right_max
    if bound >= EXACT_ACCUMULATOR:
        raise ConfigError(f"predictor: sums of {left.shape[-1]} products can reach {bound}, beyond 2^29")
    return left @ right if bound < 2**24 else left.double() @ right.double()
