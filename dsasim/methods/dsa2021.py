"""The paper's predictor (`dsa2021`): low-rank, low-precision scores in exact integers (`predictors.integer_path`).

S~ = Q~ K~^T approximates Q K^T up to a constant a row; the model's additive bias is not part of it. XP is computed once
a layer and K~ once a kv head, as the hardware does.
"""

from decimal import Decimal
from functools import cached_property
from math import ceil, log2
from typing import Self

import numpy as np
from pydantic import model_validator

from dsasim.config.schema import ArchConfig, PredictorConfig, require
from dsasim.errors import ConfigError
from dsasim.predictors.integer_path import (
    INPUT_BITS,
    TERNARY_BITS,
    Float32,
    combined_codes,
    head_accumulators,
    head_codes,
    project,
)
from dsasim.predictors.method import Method, Scorer
from dsasim.predictors.operation import ROWS, SPAN, Operation, Prediction, Storage
from dsasim.predictors.quantise import Int64, exact_matmul, largest_code
from dsasim.predictors.state import State
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.trace.notes import SELF


class Settings(PredictorConfig):
    """What this method needs to be told."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        require(self, "sigma", "bits", why=f"method {self.method}")
        return self


class Dsa2021(Method):
    """Predicted scores S~ of one layer.

    ConfigError: no weights on file for the design's sigma, no scales for its bits, a rank above the stored one.
    """

    summary = "low-rank, low-precision scores of a fitted predictor (Liu et al. 2021)"
    kinds = ("product",)
    scored = True
    fitted = True
    remembers = True
    Settings = Settings

    def __init__(self, arch: ArchConfig, layer: LayerTrace, state: State) -> None:
        super().__init__(arch, layer, state)
        self._layer = layer
        self._fitted = _fitted(layer, arch.predictor.sigma)
        self._bits = _stored_bits(self._fitted, arch.predictor.bits)
        self._rank = _rank(self._fitted, arch.predictor.rank)
        self._keys: tuple[int, Int64] | None = None

    @classmethod
    def note(cls, arch: ArchConfig, layer: LayerTrace) -> str | None:
        """Of weights that were fitted on the very trace they predict."""
        sigma = arch.predictor.sigma
        fitted = None if sigma is None else layer.predictors.get(sigma)
        if fitted is None or fitted.fitted_on != SELF:
            return None
        return "the predictor was fitted on this very trace: expect lower recall on unseen input"

    @property
    def prediction(self) -> Prediction:
        """Of the fitted predictor's sizes; what it adds is counted once a non-zero of P."""
        fitted, layer = self._fitted, self._layer
        return prediction_of(
            d_model=int(fitted.projection.shape[0]),
            k=fitted.k,
            columns=fitted.columns,
            rank=self._rank,
            bits=self._bits,
            ternary_adds=int(np.count_nonzero(fitted.projection)),
            num_keys=layer.L_k,
            input_rows=(layer.L_k,) if layer.self_attention else (layer.L_k, layer.L_q),
            heads_per_kv_head=layer.num_heads // layer.num_kv_heads,
        )

    def unit(self, head: int) -> float:
        """S~ is in units of the scales of Q~ and K~; the model's score has its own scale besides."""
        return self._scale("q", head) * self._scale("k", self._layer.kv_head(head)) * self._layer.scale

    def scorer(self, head: int) -> Scorer:
        """Predicted scores S~ [num_rows, num_keys] of a block, in units of the head's scales: int32 accumulators."""
        kv_head = self._layer.kv_head(head)
        if self._keys is None or self._keys[0] != kv_head:
            self._keys = (
                kv_head,
                np.ascontiguousarray(self._codes("k", kv_head, self._combined[1], self._fitted.w_k).T),
            )
        queries, keys = self._codes("q", head, self._combined[0], self._fitted.w_q), self._keys[1]
        top = largest_code(self._bits)
        return lambda block: exact_matmul(queries[block.rows], keys[:, : block.num_keys], top, top)

    @cached_property
    def _combined(self) -> tuple[Int64, Int64]:
        """Z of the queries and of the keys; XP is computed once where they share their input."""
        fitted, scale_x, scale_z = self._fitted, self._scale("x"), self._scale("xp")
        xp_q = project(self._layer.x_q(), scale_x, fitted.projection)
        same = self._layer.self_attention
        xp_k = xp_q if same else project(self._layer.x_kv(), scale_x, fitted.projection)
        z_q = combined_codes(xp_q, scale_x, fitted.extra_q, scale_z, self._bits)
        return z_q, combined_codes(xp_k, scale_x, fitted.extra_k, scale_z, self._bits)

    def _codes(self, side: str, head: int, z: Int64, weights: Float32) -> Int64:
        """Q~ or K~ [L, r] of a head: the first r columns of the stored weights, most important first."""
        scale_w = self._fitted.scales[self._bits][f"w_{side}"][head, : self._rank]
        accumulators = head_accumulators(z, weights[head, :, : self._rank], scale_w, self._bits)
        return head_codes(accumulators, self._scale("xp"), scale_w, self._scale(side, head), self._bits)

    def _scale(self, name: str, head: int = 0) -> float:
        return float(self._fitted.scales[self._bits][name][head])


def _fitted(layer: LayerTrace, sigma: Decimal | None) -> FittedPredictor:
    fitted = None if sigma is None else layer.predictor(sigma)
    if fitted is None:
        held = ", ".join(str(known) for known in layer.sigmas) or "none"
        raise ConfigError(
            f"predictor.sigma: layer {layer.label} of the trace has no weights for {sigma}; it has {held}. "
            "`dsasim trace fit-predictor` makes them; predictor.method=oracle_topk needs none"
        )
    return fitted


def _stored_bits(fitted: FittedPredictor, bits: int | None) -> int:
    if bits is None or bits not in fitted.scales:
        held = ", ".join(str(known) for known in sorted(fitted.scales))
        raise ConfigError(f"predictor.bits: the trace has no scales for {bits} bits; it has {held}")
    return bits


def _rank(fitted: FittedPredictor, rank: int | None) -> int:
    if rank is not None and rank > fitted.rank:
        raise ConfigError(f"predictor.rank: {rank} is above the stored rank {fitted.rank} of sigma {fitted.sigma}")
    return rank or fitted.rank


def prediction_of(
    *,
    d_model: int,
    k: int,
    columns: int,
    rank: int,
    bits: int,
    ternary_adds: int,
    num_keys: int,
    input_rows: tuple[int, ...],
    heads_per_kv_head: int,
) -> Prediction:
    """XP once a layer, K~ once a kv head, Q~ and S~ a tile.

    Z = [XP | extra] has `columns` columns, k of them from the ternary projection of d_model inputs, whose non-zeros
    (`ternary_adds` a row) are added; the extra ones take part in Q~ and K~. P, XP and K~ stay on the chip; W~k of a kv
    head and W~q of the heads that share it, `columns` x `rank` each, are read for it.

    Worked example: 144 columns, rank 16, 4 bits and two query heads: weights of 3 * 144 * 16 * 4 = 27 648 bits.
    """
    sums, inputs = score_bits(bits, rank), sum(input_rows)
    projection_bits = d_model * k * TERNARY_BITS
    adds = {"adds_predictor": ternary_adds}
    return Prediction(
        operations=(
            Operation("XP", "product", "layer", ROWS, d_model, k, INPUT_BITS, TERNARY_BITS, bits, adds),
            Operation("K~", "product", "kv_head", num_keys, columns, rank, bits, bits, bits),
            Operation("Q~", "product", "query_tile", ROWS, columns, rank, bits, bits, bits),
            Operation("S~", "product", "query_tile", ROWS, rank, SPAN, bits, bits, sums),
        ),
        storage=Storage(
            input_rows=input_rows,
            input_row_bytes=d_model * INPUT_BITS // 8,
            constant_bits=projection_bits,
            constant_read_bits=projection_bits + (columns - k) * bits * inputs,
            made_bits=inputs * columns * bits,
            weight_bits=(1 + heads_per_kv_head) * columns * rank * bits,
            key_bits=num_keys * rank * bits,
            row_bits=(d_model * INPUT_BITS, rank * bits),
            score_bytes=sums // 8,
        ),
    )


def score_bits(bits: int, rank: int) -> int:
    """Bits of one S~ value, in whole bytes: a sum of `rank` products of two `bits`-wide values.

    Worked example: 4 bits, rank 16: 2 * 4 + log2(16) = 12 bits, 2 bytes.
    """
    return 8 * ceil((2 * bits + ceil(log2(rank))) / 8)


METHOD = Dsa2021
