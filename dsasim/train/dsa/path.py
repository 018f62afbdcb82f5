"""The prediction path of one attention layer as a PyTorch module, bit for bit that of `predictors.integer_path`."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dsasim.errors import TraceError
from dsasim.predictors.integer_path import INPUT_BITS, project, projection_factor
from dsasim.predictors.quantise import largest_code, least_squares_scale
from dsasim.trace.attention import FittedPredictor
from dsasim.train.dsa.codes import exact_matmul, quantise, requantise
from dsasim.train.static_scales import scales_at

Float32 = NDArray[np.float32]

CALIBRATED_SAMPLES = 4
"""Samples of a batch on which static scales are found: a thousand rows at 256 tokens."""
JOINED = "joint training"
"""`fitted_on` of a path whose weights were trained with the model."""


class PredictionPath(torch.nn.Module):
    """S~ = Q~ K~^T of Z = [sqrt(3/k) X P | extra], P ternary and fixed, W~q and W~k trained at `bits` bits.

    Begins as `fitted`. w_q [H, K, r] and w_k [H_kv, K, r] are parameters near 1/sqrt(K); times `gain_q`, `gain_k` they
    are the weights a trace stores. The static scales are constants, found anew by `calibrate`.
    """

    def __init__(self, fitted: FittedPredictor, bits: int) -> None:
        super().__init__()
        self.fitted, self.bits = fitted, bits
        self.register_buffer("projection", torch.from_numpy(fitted.projection.astype(np.float32)))
        self.gain_q, self.gain_k = _gain(fitted.w_q), _gain(fitted.w_k)
        self.w_q = torch.nn.Parameter(torch.from_numpy(fitted.w_q / self.gain_q))
        self.w_k = torch.nn.Parameter(torch.from_numpy(fitted.w_k / self.gain_k))
        self.scales = fitted.scales[bits]

    def forward(self, x_q: Any, x_kv: Any = None) -> tuple[Any, Any]:
        """Integer scores [B, H, L_q, L_k] of inputs [B, L, D], and the factors [H, 1, 1] that make them real scores.

        x_kv None: self-attention. TraceError: more keys than the position columns were made for.
        """
        xp_q = self._project(x_q)
        xp_k = xp_q if x_kv is None else self._project(x_kv)
        L_q, L_k = xp_q.shape[1], xp_k.shape[1]
        extra_q, extra_k = self.extras(L_q, L_k)
        queries = self._codes("q", self._combine(xp_q, extra_q), self.w_q * self.gain_q)
        keys = self._codes("k", self._combine(xp_k, extra_k), self.w_k * self.gain_k)
        share = queries.shape[1] // keys.shape[1]
        top = largest_code(self.bits)
        scores = exact_matmul(queries, keys.repeat_interleave(share, dim=1).mT, top, top)
        factor = self._scale("q") * np.repeat(self._scale("k"), share)
        return scores, torch.from_numpy(factor)[:, None, None]

    @torch.no_grad()  # type: ignore[untyped-decorator, unused-ignore]
    def calibrate(self, x_q: Any, x_kv: Any = None) -> None:
        """Find the static scales of least squared error for the present weights on inputs [B, L, D]."""
        inputs_q = _samples(x_q)
        inputs_k = inputs_q if x_kv is None else _samples(x_kv)
        scale_x = least_squares_scale(np.stack([*inputs_q, *(() if x_kv is None else inputs_k)]), INPUT_BITS)
        xp_q = [project(x, scale_x, self.fitted.projection) for x in inputs_q]
        xp_k = xp_q if x_kv is None else [project(x, scale_x, self.fitted.projection) for x in inputs_k]
        extra_q, extra_k = self.extras(len(inputs_q[0]), len(inputs_k[0]))
        self.scales = scales_at(self.bits, xp_q, xp_k, scale_x, [(extra_q, extra_k)] * len(xp_q), *self._weights())

    def trained(self, L_q: int, L_k: int) -> FittedPredictor:
        """Present weights and scales (for the trained width alone) as a trace of L_q x L_k positions stores them."""
        extra_q, extra_k = self.extras(L_q, L_k)
        w_q, w_k = self._weights()
        scales = {self.bits: self.scales}
        return replace(self.fitted, w_q=w_q, w_k=w_k, extra_q=extra_q, extra_k=extra_k, scales=scales, fitted_on=JOINED)

    def extras(self, L_q: int, L_k: int) -> tuple[Float32, Float32]:
        """The columns beside XP for L_q queries, the last of L_k positions; only position columns depend on the row."""
        fitted, columns = self.fitted, self.fitted.position_columns
        if columns and not L_q <= L_k <= len(fitted.extra_k):
            raise TraceError(f"position columns were made for {len(fitted.extra_k)} positions, not {L_q} of {L_k}")
        at = fitted.extra_k[:L_k, :columns] if columns else np.zeros((L_k, 0), np.float32)
        others_q = np.repeat(fitted.extra_q[:1, columns:], L_q, axis=0)
        others_k = np.repeat(fitted.extra_k[:1, columns:], L_k, axis=0)
        at_q = at[L_k - L_q :] if columns else np.zeros((L_q, 0), np.float32)
        return np.hstack([at_q, others_q]), np.hstack([at, others_k])

    def get_extra_state(self) -> dict[str, Any]:
        """The static scales, which belong to the weights."""
        return {name: torch.from_numpy(scale) for name, scale in self.scales.items()}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Scales that `get_extra_state` gave."""
        self.scales = {name: scale.numpy() for name, scale in state.items()}

    def _project(self, x: Any) -> Any:
        top = largest_code(INPUT_BITS)
        return exact_matmul(quantise(x, self._scale("x")[0], INPUT_BITS), self.projection, top, 1)

    def _combine(self, xp: Any, extra: Float32) -> Any:
        """Z codes [B, L, K]."""
        scale_z = self._scale("xp")[0]
        factor = self._scale("x")[0] * projection_factor(xp.shape[-1]) / scale_z
        beside = quantise(torch.from_numpy(extra), scale_z, self.bits)
        return torch.cat([requantise(xp, factor, self.bits), beside.expand(len(xp), -1, -1)], dim=-1)

    def _codes(self, side: str, z: Any, weights: Any) -> Any:
        """Q~ or K~ codes [B, heads, L, r]."""
        scale_w, scale_out = self._scale(f"w_{side}")[:, None, :], self._scale(side)[:, None, None]
        top = largest_code(self.bits)
        codes = quantise(weights, torch.from_numpy(scale_w), self.bits)
        accumulators = exact_matmul(z[:, None], codes, top, top)
        return requantise(accumulators, self._scale("xp")[0] * scale_w / scale_out, self.bits)

    def _scale(self, name: str) -> NDArray[np.float64]:
        return self.scales[name].astype(np.float64)

    def _weights(self) -> tuple[Float32, Float32]:
        return (self.w_q * self.gain_q).detach().numpy(), (self.w_k * self.gain_k).detach().numpy()


def _gain(weights: Float32) -> float:
    """What makes the root mean square of weights [heads, K, r] one over sqrt(K)."""
    return float(np.sqrt(np.mean(np.square(weights, dtype=np.float64)) * weights.shape[1])) or 1.0


def _samples(x: Any) -> list[Float32]:
    return list(_arrays(x[:CALIBRATED_SAMPLES]))


def _arrays(x: Any) -> Iterator[Float32]:
    yield from x.detach().float().numpy()
