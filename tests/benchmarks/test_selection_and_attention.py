"""Speed of the selection and attention kernels on one causal head of 512 tokens (run with -m benchmark)."""

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from dsasim.kernels.attention import masked_softmax, score_rows, tile_keys, weighted_values
from dsasim.kernels.select import threshold_rows, top_k_rows
from dsasim.trace.counts import kept_counts

pytestmark = pytest.mark.benchmark(timer=time.process_time)
L, D_HEAD = 512, 64
ALLOWED = np.tri(L, dtype=np.bool_)
COUNTS = kept_counts(ALLOWED.sum(axis=1), Decimal("0.1"))


def scores(dtype: type) -> np.ndarray:
    return (50 * np.random.default_rng(0).normal(size=(L, L))).astype(dtype)


def timed(benchmark: Any, kernel: Callable[..., Any], *arguments: Any, elements: int) -> None:
    """Compile, then time; elements per second go into the report."""
    kernel(*arguments)
    benchmark(kernel, *arguments)
    benchmark.extra_info["elements_per_second"] = round(elements / benchmark.stats.stats.median)


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_quick_select(benchmark: Any, dtype: type) -> None:
    timed(benchmark, top_k_rows, scores(dtype), ALLOWED, COUNTS, 16, elements=int(COUNTS.sum()))


def test_threshold(benchmark: Any) -> None:
    table = scores(np.int32)
    kept = len(threshold_rows(table, ALLOWED, 60.0, 1.0, 16)[1])
    timed(benchmark, threshold_rows, table, ALLOWED, 60.0, 1.0, 16, elements=kept)


def test_score_rows(benchmark: Any) -> None:
    q, k = np.random.default_rng(0).normal(size=(2, L, D_HEAD)).astype(np.float32)
    timed(benchmark, score_rows, q, tile_keys(k), L, 0.125, elements=L * L)


def test_masked_softmax(benchmark: Any) -> None:
    table = scores(np.float32)
    indptr, indices, _, _ = top_k_rows(table, ALLOWED, COUNTS, 16)
    timed(benchmark, masked_softmax, table, indptr, indices, elements=len(indices))


def test_weighted_values(benchmark: Any) -> None:
    table = scores(np.float32)
    indptr, indices, _, _ = top_k_rows(table, ALLOWED, COUNTS, 16)
    weights, v = masked_softmax(table, indptr, indices), np.ones((L, D_HEAD))
    timed(benchmark, weighted_values, weights, indptr, indices, v, elements=len(indices))
