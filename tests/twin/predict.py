"""Scores in plain Python numbers: S~ of the paper's predictor (rule "Prediction"), and the exact ones.

    X at 8 bits --P--> XP exact --requantise--> Z at `bits` --W~--> Q~, K~ at `bits` --> S~

A code of b bits is an integer of at most 2^(b - 1) - 1 either way; everything rounds half to even.
"""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from dsasim.trace.attention import LayerTrace

Table = list[list[int]]
"""Rows of integers."""

MANTISSA_BITS = 24
"""A requantisation multiplies by mantissa / 2^shift, the mantissa of so many bits nearest to the factor."""


def code(exact: Fraction, bits: int) -> int:
    """The nearest code; `round` of a fraction takes the even one of two."""
    top: int = 2 ** (bits - 1) - 1
    return max(-top, min(top, round(exact)))


def quantised(value: float, scale: float, bits: int) -> int:
    """The code of a real number, which is code x scale."""
    return code(Fraction(float(value)) / Fraction(float(scale)), bits)


def requantised(total: int, factor: float, bits: int) -> int:
    """The code of total x factor, by an integer multiplication and a shift."""
    fraction, exponent = math.frexp(factor)
    mantissa = round(fraction * 2**MANTISSA_BITS)
    return code(total * mantissa * Fraction(2) ** (exponent - MANTISSA_BITS), bits)


def times(left: Table, right: Table) -> Table:
    """The product of two tables of integers."""
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in left]


class Predicted:
    """S~ of each query head of a layer."""

    def __init__(self, arch: Any, layer: LayerTrace) -> None:
        fitted = layer.predictor(arch.predictor.sigma)
        assert fitted is not None
        self.layer, self.fitted, self.bits = layer, fitted, arch.predictor.bits
        self.rank = arch.predictor.rank or fitted.w_q.shape[2]
        self.scales = fitted.scales[self.bits]
        self.z = {"q": self._z(layer.x_q(), fitted.extra_q)}
        self.z["k"] = self._z(layer.x_q() if layer.self_attention else layer.x_kv(), fitted.extra_k)

    def scores(self, head: int) -> Table:
        """S~ [L_q, L_k] in integers."""
        queries = self._side("q", head, self.fitted.w_q)
        keys = self._side("k", self.layer.kv_head(head), self.fitted.w_k)
        return times(queries, [list(column) for column in zip(*keys, strict=True)])

    def unit(self, head: int) -> float:
        """What a score of 1 stands for, times the attention scale."""
        q, k = self.scales["q"][head], self.scales["k"][self.layer.kv_head(head)]
        return float(q) * float(k) * self.layer.scale

    def _z(self, x: Any, extra: Any) -> Table:
        """Z = [sqrt(3 / k) X P | extra], one scale for all of it."""
        projection = [[int(entry) for entry in row] for row in self.fitted.projection]
        scale_x, scale_z = float(self.scales["x"][0]), float(self.scales["xp"][0])
        factor = scale_x * math.sqrt(3.0 / len(projection[0])) / scale_z
        projected = times([[quantised(value, scale_x, 8) for value in row] for row in x], projection)
        return [
            [requantised(total, factor, self.bits) for total in row]
            + [quantised(value, scale_z, self.bits) for value in more]
            for row, more in zip(projected, extra, strict=True)
        ]

    def _side(self, side: str, head: int, weights: Any) -> Table:
        """Q~ or K~: the first `rank` columns of the weights, each with a scale of its own."""
        scale_z, scale_out = float(self.scales["xp"][0]), float(self.scales[side][head])
        scale_w = [float(scale) for scale in self.scales[f"w_{side}"][head][: self.rank]]
        codes = [
            [quantised(value, scale, self.bits) for value, scale in zip(row, scale_w, strict=False)]
            for row in weights[head]
        ]
        factors = [scale_z * scale / scale_out for scale in scale_w]
        return [
            [requantised(total, factor, self.bits) for total, factor in zip(row, factors, strict=True)]
            for row in times(self.z[side], codes)
        ]


def exact_scores(layer: LayerTrace, head: int) -> list[list[float]]:
    """scale x q k^T, then the model's bias: each rounded to a float32, as stored."""
    keys, bias = layer.k(layer.kv_head(head)).tolist(), layer.bias(head)
    rows = []
    for number, query in enumerate(layer.q(head).tolist()):
        products = [sum(a * b for a, b in zip(query, key, strict=True)) for key in keys]
        scores = [np.float32(product * layer.scale) for product in products]
        if bias is not None:
            scores = [score + np.float32(more) for score, more in zip(scores, bias[number], strict=True)]
        rows.append([float(score) for score in scores])
    return rows
