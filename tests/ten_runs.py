"""Ten unlike runs on small traces, with the keep masks that each must have, worked out here from the tensors alone.

Threshold (rows and a head that keep nothing), GQA, cross attention, decode, masks only (a head and a layer that keep
nothing), scope layer, pools, coupled, spilled scores, dense.
"""

import json
import math
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import numpy as np

from dsasim.api import RunResult, load_arch, simulate
from dsasim.prediction import load_predictor
from dsasim.sim.over_time import OverTime
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace, FittedPredictor
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory

D_MODEL, COLUMNS = 16, 4
THRESHOLD, DENSITY = 1.0, Decimal("0.2")
ORACLE = ("predictor.method=oracle_topk", f"mask_generator.density={DENSITY}")
FEW_ROWS = ("scheduler.tile_rows=16", "scheduler.token_parallelism=4", "pe_array.lanes=2")
THRESHOLD_ORACLE = (
    "predictor.method=oracle_threshold",
    "mask_generator.selection=threshold",
    f"mask_generator.threshold={THRESHOLD}",
)
SMALL_POOLS = ("buffers.k.residency=pool", "buffers.v.residency=pool", "buffers.k.bytes=2048", "buffers.v.bytes=2048")
SMALL_SCORES = ("buffers.score.bytes=32", "buffers.score.banks=1", f"mask_generator.density={DENSITY}")


def layer(number: int = 0, L_q: int = 24, L_k: int = 24, heads: int = 3, kv_heads: int = 3, **fields: Any) -> Any:
    """A layer of random tensors, with a random predictor."""
    rng = np.random.default_rng((7, number, L_q, L_k))
    normal = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    facts: dict[str, Any] = {"causal": False, "scale": 0.25, "predictors": (predictor(rng, L_q, L_k, heads, kv_heads),)}
    return LayerArrays(
        number=number,
        q=normal(heads, L_q, 16) * 1.5,
        k=normal(kv_heads, L_k, 16),
        v=normal(kv_heads, L_k, 16),
        x_q=normal(L_q, D_MODEL),
        x_kv=None if L_q == L_k else normal(L_k, D_MODEL),
        **(facts | fields),
    )


def predictor(rng: Any, L_q: int, L_k: int, heads: int, kv_heads: int) -> FittedPredictor:
    """Random weights of rank 2: what it keeps is no good, but its masks are masks."""
    scales = {"x": 1, "xp": 1, "q": heads, "k": kv_heads, "w_q": (heads, 2), "w_k": (kv_heads, 2)}
    return FittedPredictor(
        sigma=Decimal("0.25"),
        projection=rng.integers(-1, 2, (D_MODEL, COLUMNS)).astype(np.int8),
        w_q=rng.normal(size=(heads, COLUMNS, 2)).astype(np.float32),
        w_k=rng.normal(size=(kv_heads, COLUMNS, 2)).astype(np.float32),
        extra_q=np.zeros((L_q, 0), np.float32),
        extra_k=np.zeros((L_k, 0), np.float32),
        scales={
            bits: {name: np.full(size, 2.0**-scale, np.float32) for name, size in scales.items()}
            for bits, scale in ((4, 2), (8, 5))
        },
        position_columns=0,
        fitted_on="nothing",
    )


def low_scores(arrays: LayerArrays) -> LayerArrays:
    """Head 1 scores nothing above THRESHOLD, nor do the first rows of head 0."""
    arrays.q[1] *= 0.01
    arrays.q[0, :5] *= 0.01
    return arrays


def given() -> np.ndarray:
    """Masks bool [2, 3, 20, 24]: head 1 of the first layer keeps nothing, the second layer nothing at all."""
    masks = np.random.default_rng(3).random((2, 3, 20, 24)) < 0.3
    masks[0, 1], masks[1] = False, False
    return masks


@dataclass(frozen=True)
class Case:
    """A trace (its layers, or its masks), a design, and a scope."""

    layers: tuple[LayerArrays, ...]
    overrides: tuple[str, ...]
    arch: str = "dsa-decoupled"
    scope: Any = "attention"


CASES = {
    "threshold": lambda: Case((low_scores(layer()), layer(3, heads=2, kv_heads=2)), THRESHOLD_ORACLE),
    "gqa": lambda: Case((layer(heads=4, kv_heads=2, causal=True),), ORACLE),
    "cross": lambda: Case((layer(L_q=12, L_k=20),), ORACLE),
    "decode": lambda: Case((layer(L_q=1, L_k=40, causal=True),), ORACLE),
    "masks only": lambda: Case((), ()),
    "scope layer": lambda: Case((layer(d_ff=32, gated=True), layer(5, d_ff=32, gated=True)), FEW_ROWS, scope="layer"),
    "pool": lambda: Case((layer(L_q=32, L_k=32, causal=True),), (*ORACLE, *SMALL_POOLS)),
    "coupled": lambda: Case((layer(causal=True),), (), "dsa-coupled"),
    "spill": lambda: Case((layer(L_q=32, L_k=64),), (*FEW_ROWS, *SMALL_SCORES)),
    "dense": lambda: Case((layer(),), (), "dense-16x16"),
}


@dataclass(frozen=True)
class Run:
    """A run, its document as it is read from a file, and what the tensors say: `keep` and `allowed` [heads] a layer."""

    name: str
    case: Case
    trace: AttentionTrace
    result: RunResult
    document: dict[str, Any]
    over_time: OverTime
    keep: list[np.ndarray]
    allowed: list[np.ndarray]

    @property
    def num_kept(self) -> int:
        """Kept positions."""
        return sum(int(each.sum()) for each in self.keep)

    @property
    def num_allowed(self) -> int:
        """Allowed positions, of every head."""
        return sum(int(allowed.sum()) * len(keep) for keep, allowed in zip(self.keep, self.allowed, strict=True))


@cache
def run(name: str) -> Run:
    """Run one of CASES."""
    case, over_time = CASES[name](), OverTime()
    arch = load_arch(case.arch, case.overrides)
    if case.layers:
        trace = trace_in_memory(name, case.layers, model="Made up (for tests)", dtype="float32")
    else:
        packed = [np.stack([pack_bits(head) for head in heads]) for heads in given()]
        masks = [MaskArrays(number, bits, 24, 16, 3, False) for number, bits in enumerate(packed)]
        trace = trace_in_memory(name, masks, kind="mask")
    result = simulate(arch, trace, scope=case.scope, watchers=[over_time])
    allowed = [positions(each) for each in case.layers] or [np.ones((20, 24), np.bool_)] * 2
    if not case.layers:
        keep = list(given())
    elif arch.predictor.method == "dsa2021":
        keep = [
            np.stack([load_predictor(arch, each).select(head).keep.to_dense() for head in range(each.num_heads)])
            for each in trace
        ]
    else:
        keep = [expected_keep(arch.predictor.method, each) for each in case.layers]
    return Run(name, case, trace, result, json.loads(json.dumps(result.to_json())), over_time, keep, allowed)


def positions(arrays: LayerArrays) -> np.ndarray:
    """Allowed positions bool [L_q, L_k]: all, or up to the row's own, the last row being the last key's."""
    L_q, L_k = arrays.q.shape[1], arrays.k.shape[1]
    keys, own = np.arange(L_k)[None, :], np.arange(L_q)[:, None] + L_k - L_q
    return keys <= own if arrays.causal else np.ones((L_q, L_k), np.bool_)


def scores(arrays: LayerArrays) -> np.ndarray:
    """Scaled scores float64 [heads, L_q, L_k], -inf where nothing is allowed."""
    shared = len(arrays.q) // len(arrays.k)
    k = np.repeat(arrays.k.astype(np.float64), shared, axis=0)
    products = arrays.scale * arrays.q.astype(np.float64) @ k.transpose(0, 2, 1)
    return np.where(positions(arrays), products, -np.inf)


def expected_keep(method: str, arrays: LayerArrays) -> np.ndarray:
    """Masks bool [heads, L_q, L_k] of a method that looks at exact scores, or at none."""
    found, allowed = scores(arrays), positions(arrays)
    if method == "dense":
        return np.broadcast_to(allowed, found.shape)
    if method == "oracle_threshold":
        return found > THRESHOLD
    counts = [max(1, math.ceil(DENSITY * int(row.sum()))) for row in allowed]
    return highest(found, np.broadcast_to(counts, found.shape[:2]))


def highest(found: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The counts [heads, L_q] highest scores of each row, as a mask."""
    ranks = np.argsort(np.argsort(-found, axis=2, kind="stable"), axis=2, kind="stable")
    return ranks < counts[:, :, None]


def expected_quality(arrays: tuple[LayerArrays, ...], keeps: list[np.ndarray]) -> dict[str, float]:
    """Captured mass, recall and error of masks in float64, over all rows of all heads."""
    mass, recall, squares = list[float](), list[float](), np.zeros(2)
    for each, keep in zip(arrays, keeps, strict=True):
        exact, v = scores(each), np.repeat(each.v.astype(np.float64), len(each.q) // len(each.k), axis=0)
        counts = keep.sum(axis=2)
        found = (keep & highest(exact, counts)).sum(axis=2)
        weights = softmax(exact)
        mass += list((weights * keep).sum(axis=2).ravel())
        recall += list((found[counts > 0] / counts[counts > 0]).ravel())
        error = softmax(np.where(keep, exact, -np.inf)) @ v - weights @ v
        squares += [np.square(error).sum(), np.square(weights @ v).sum()]
    return {
        "captured_mass_ratio": float(np.mean(mass)),
        "mask_recall_ratio": float(np.mean(recall)),
        "output_rel_l2": math.sqrt(squares[0] / squares[1]),
    }


def softmax(found: np.ndarray) -> np.ndarray:
    """Softmax of each row; zero where a row has nothing."""
    top = found.max(axis=2, keepdims=True)
    powers = np.exp(found - np.where(np.isfinite(top), top, 0))
    return powers / np.maximum(powers.sum(axis=2, keepdims=True), 1e-300)
