"""The prediction path of fitted predictors in PyTorch integers, from its definition (`predictors.integer_path`).

Products are taken in float64, where every integer up to 2^53 is exact, so the same code runs on a GPU.
"""

import math
from collections.abc import Callable
from typing import Any

import torch

from dsasim.predictors import method_of
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.validate.subject import Subject

INPUT_BITS = 8
MANTISSA_BITS = 24


def emulated_layers(subject: Subject) -> Callable[[LayerTrace], "HeadScores | None"]:
    """The emulation of a layer, made once for its heads; None where the design's method has no scores of its own."""
    made: dict[tuple[int, int], HeadScores | None] = {}
    predictor, device = subject.arch.predictor, subject.device

    def of(layer: LayerTrace) -> HeadScores | None:
        if layer.key not in made:
            made.clear()  # one layer's at a time
            sigma, bits = predictor.sigma, predictor.bits
            fitted = layer.predictor(sigma) if sigma is not None and layer.has_qkv else None
            if not method_of(subject.arch).fitted or fitted is None or bits is None:
                made[layer.key] = None
            else:
                made[layer.key] = HeadScores(layer, fitted, bits, predictor.rank or fitted.rank, device)
        return made[layer.key]

    return of


class HeadScores:
    """S~ = Q~ K~^T of one layer as int64 tensors; Z is made once, and Q~ and K~ a head."""

    def __init__(self, layer: LayerTrace, fitted: FittedPredictor, bits: int, rank: int, device: str) -> None:
        self._layer, self._fitted, self._bits, self._rank, self._device = layer, fitted, bits, rank, device
        self._z_q = self._combined(layer.x_q(), fitted.extra_q)
        self._z_k = self._combined(layer.x_kv(), fitted.extra_k)

    def scorer(self, head: int) -> Callable[[slice], Any]:
        """Predicted scores of some rows of a query head, int64 [rows, L_k], on the CPU."""
        kv_head = head // (self._layer.num_heads // self._layer.num_kv_heads)
        queries = self._codes("q", head, self._z_q, self._fitted.w_q)
        keys = self._codes("k", kv_head, self._z_k, self._fitted.w_k)
        return lambda rows: _product(queries[rows], keys.T).cpu()

    def factor(self, head: int) -> float:
        """What a score is multiplied with to stand for scale x q k^T: the scales of Q~ and K~, and the model's."""
        kv_head = head // (self._layer.num_heads // self._layer.num_kv_heads)
        return self._scale("q", head) * self._scale("k", kv_head) * self._layer.scale

    def _combined(self, x: Any, extra: Any) -> Any:
        """Z codes [L, K] = [XP | extra columns]; the factor sqrt(3 / k) of the projection is in XP's scale."""
        scale_x, scale_z = self._scale("x"), self._scale("xp")
        projection = self._tensor(self._fitted.projection).long()
        xp = _product(_codes(self._tensor(x), scale_x, INPUT_BITS), projection)
        factor = torch.tensor(scale_x * math.sqrt(3 / projection.shape[1]) / scale_z, dtype=torch.float64)
        return torch.cat(
            [_rescaled(xp, factor.to(self._device), self._bits), _codes(self._tensor(extra), scale_z, self._bits)], 1
        )

    def _codes(self, side: str, head: int, z: Any, weights: Any) -> Any:
        """Q~ or K~ codes [L, rank] of a head."""
        scale_w = self._tensor(self._fitted.scales[self._bits][f"w_{side}"][head, : self._rank]).double()
        w = _codes(self._tensor(weights[head][:, : self._rank]), scale_w, self._bits)
        factors = self._scale("xp") * scale_w / self._scale(side, head)
        return _rescaled(_product(z, w), factors, self._bits)

    def _scale(self, name: str, head: int = 0) -> float:
        return float(self._fitted.scales[self._bits][name][head])

    def _tensor(self, array: Any) -> Any:
        return torch.as_tensor(array.copy(), device=self._device)


def _codes(values: Any, scale: Any, bits: int) -> Any:
    """Symmetric codes of real values: half to even, clipped to +-(2^(bits - 1) - 1)."""
    top = 2 ** (bits - 1) - 1
    return torch.round(values.double() / scale).clamp(-top, top).long()


def _product(left: Any, right: Any) -> Any:
    """An integer matrix product, int64."""
    return (left.double() @ right.double()).long()


def _rescaled(accumulators: Any, factor: Any, bits: int) -> Any:
    """Codes of accumulators x factor, the factor as a MANTISSA_BITS mantissa over a power of two, half to even."""
    fraction, exponent = torch.frexp(factor)
    divisor = 2 ** (MANTISSA_BITS - exponent.long())
    product = accumulators * torch.round(fraction * 2**MANTISSA_BITS).long()
    whole = torch.div(product, divisor, rounding_mode="floor")
    twice = 2 * (product - whole * divisor)
    up = (twice > divisor) | ((twice == divisor) & (whole % 2 == 1))
    top = 2 ** (bits - 1) - 1
    return (whole + up.long()).clamp(-top, top)
