"""The paper's predictor (`dsa2021`): low-rank, low-precision scores in exact integers (`predictors.integer_path`).

S~ = Q~ K~^T approximates Q K^T up to a constant a row; the model's additive bias is not part of it. XP is computed once
a layer and K~ once a kv head, as the hardware does.
"""

from collections.abc import Callable
from decimal import Decimal

import numpy as np

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.predictors.base import PredictionWork, Selection
from dsasim.predictors.integer_path import Float32, combined_codes, head_accumulators, head_codes, project
from dsasim.predictors.quantise import Int32, Int64, exact_matmul, largest_code
from dsasim.predictors.selection import generator_of, select_rows, threshold_rule, top_k_rule
from dsasim.trace.attention import FittedPredictor, LayerTrace
from dsasim.trace.positions import RowBlock


class Dsa2021:
    """Predicted scores S~ of one layer and the keep masks that the mask generator makes of them.

    ConfigError: no weights on file for the design's sigma, no scales for its bits, a rank above the stored one.
    """

    def __init__(self, arch: ArchConfig, layer: LayerTrace) -> None:
        self._generator = generator_of(arch)
        self._layer = layer
        self._fitted = _fitted(layer, arch.predictor.sigma)
        self._bits = _stored_bits(self._fitted, arch.predictor.bits)
        self._rank = _rank(self._fitted, arch.predictor.rank)
        self._z_q, self._z_k = self._combined()
        self._keys: tuple[int, Int64] | None = None

    @property
    def work(self) -> PredictionWork:
        """What the predictor unit computes: the extra columns take part in Q~ and K~, not in the ternary adds."""
        projection = self._fitted.projection
        return PredictionWork(
            d_model=int(projection.shape[0]),
            k=self._fitted.k,
            columns=self._fitted.columns,
            rank=self._rank,
            bits=self._bits,
            ternary_adds_per_row=int(np.count_nonzero(projection)),
        )

    def select(self, head: int, /) -> Selection:
        """The mask of a query head, by top-k on integer scores or by threshold on dequantised scores x scale."""
        if self._generator.selection == "top_k":
            rule = top_k_rule(self._layer, self._generator)
        else:
            factor = self._scale("q", head) * self._scale("k", self._layer.kv_head(head)) * self._layer.scale
            rule = threshold_rule(self._layer, self._generator, factor)
        return select_rows(self._layer, self.scorer(head), rule)

    def scorer(self, head: int) -> Callable[[RowBlock], Int32]:
        """Predicted scores S~ [num_rows, num_keys] of a block, in units of the head's scales: int32 accumulators."""
        kv_head = self._layer.kv_head(head)
        if self._keys is None or self._keys[0] != kv_head:
            self._keys = (kv_head, np.ascontiguousarray(self._codes("k", kv_head, self._z_k, self._fitted.w_k).T))
        queries, keys = self._codes("q", head, self._z_q, self._fitted.w_q), self._keys[1]
        top = largest_code(self._bits)
        return lambda block: exact_matmul(queries[block.rows], keys[:, : block.num_keys], top, top)

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
            f"predictor.sigma: layer {layer.number} of the trace has no weights for {sigma}; it has {held}. "
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
