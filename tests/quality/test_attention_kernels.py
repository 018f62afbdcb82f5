"""Scores, masked softmax and SpMM against twins in Python's own floats."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsasim.kernels.attention import masked_softmax, score_rows, tile_keys, weighted_values
from dsasim.masks import KeepMask

# the first call may compile the kernel
UNTIMED = settings(deadline=None)

FLOATS = st.floats(-8, 8, width=32)


def twin_row(scores: list[float], values: list[list[float]]) -> tuple[list[float], list[float]]:
    """Softmax weights and output of one row's kept scores and value vectors, each rounded where the kernel rounds."""
    exponentials = [float(np.float32(np.exp(score - max(scores)))) for score in scores]
    weights = [float(np.float32(value / sum(exponentials))) for value in exponentials]
    width = len(values[0]) if values else 0
    output = [sum(weight * value[d] for weight, value in zip(weights, values, strict=True)) for d in range(width)]
    return weights, output


@st.composite
def heads(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """q, k, v and a keep mask, some rows of it empty."""
    L_q, L_k, d = draw(st.tuples(st.integers(1, 6), st.integers(1, 9), st.integers(1, 5)))
    q, k, v = (draw(arrays(np.float32, (length, d), elements=FLOATS)) for length in (L_q, L_k, L_k))
    return q, k, v, draw(arrays(np.bool_, (L_q, L_k)))


@UNTIMED
@given(heads(), st.sampled_from([1.0, 0.25, 0.3]))
def test_scores_equal_their_twin(head: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray], scale: float) -> None:
    q, k, _, _ = head
    for i, row in enumerate(score_rows(q, tile_keys(k), len(k), scale)):
        for j, score in enumerate(row):
            total = 0.0
            for a, b in zip(q[i], k[j], strict=True):
                total += float(a) * float(b)
            assert score == np.float32(total * scale)


@UNTIMED
@given(heads())
def test_attention_on_kept_positions_equals_its_twin(
    head: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
) -> None:
    q, k, v, keep = head
    scores, mask = score_rows(q, tile_keys(k), len(k), 0.5), KeepMask.from_dense(keep)
    weights = masked_softmax(scores, mask.indptr, mask.indices)
    output = weighted_values(weights, mask.indptr, mask.indices, v.astype(np.float64))
    for i in range(len(q)):
        kept = np.flatnonzero(keep[i])
        expected, row = twin_row(scores[i, kept].tolist(), v[kept].tolist())
        assert weights[mask.indptr[i] : mask.indptr[i + 1]] == pytest.approx(expected, rel=1e-6)
        assert output[i] == pytest.approx(row or [0.0] * v.shape[1], rel=1e-6, abs=1e-6)


def test_softmax_worked_example() -> None:
    scores = np.array([[0.0, math.log(3), 50.0]], dtype=np.float32)
    weights = masked_softmax(scores, np.array([0, 2]), np.array([0, 1], dtype=np.int32))
    assert weights == pytest.approx([0.25, 0.75])


def test_rows_of_weights_sum_to_one() -> None:
    scores = np.random.default_rng(0).normal(size=(30, 40)).astype(np.float32) * 20
    keep = np.random.default_rng(1).random((30, 40)) < 0.3
    mask = KeepMask.from_dense(keep)
    weights = masked_softmax(scores, mask.indptr, mask.indices)
    assert np.add.reduceat(weights, mask.indptr[:-1]) == pytest.approx(np.ones(30), abs=1e-6)


def test_a_fully_masked_row_gives_zeros() -> None:
    output = weighted_values(np.zeros(0, np.float32), np.zeros(3, np.int64), np.zeros(0, np.int32), np.ones((4, 2)))
    assert output.tolist() == [[0.0, 0.0], [0.0, 0.0]]
