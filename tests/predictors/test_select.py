"""Quick-select and threshold: worked examples, and slow twins written for obviousness."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsasim.kernels.select import threshold_rows, top_k_rows

# the first call may compile the kernel
UNTIMED = settings(deadline=None)


def quick_select_twin(row: list[tuple[float, int]], wanted: int, comparators: int) -> tuple[list[int], int, int]:
    """Keys kept, cycles and comparisons of one row of (score, key), as `kernels.select` words it."""
    kept: list[int] = []
    cycles = comparisons = 0
    while wanted:
        pivot = row[len(row) // 2][0]
        cycles += math.ceil(len(row) / comparators) + 3
        comparisons += len(row)
        greater = [item for item in row if item[0] > pivot]
        equal = [item for item in row if item[0] == pivot]
        if wanted <= len(greater):
            row = greater
        elif wanted <= len(greater) + len(equal):
            kept += [key for _, key in greater + equal[: wanted - len(greater)]]
            wanted = 0
        else:
            kept += [key for _, key in greater + equal]
            wanted -= len(greater) + len(equal)
            row = [item for item in row if item[0] < pivot]
    return sorted(kept), cycles, comparisons


def best_keys(scores: np.ndarray, allowed: np.ndarray, wanted: int) -> list[int]:
    """The wanted best keys by a stable sort: highest score, then lowest key."""
    keys = [j for j in range(len(scores)) if allowed[j]]
    return sorted(sorted(keys, key=lambda j: -float(scores[j]))[:wanted])


@st.composite
def tiles(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Scores with many ties, allowed positions, wanted counts and comparators."""
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 24)))
    dtype = draw(st.sampled_from([np.int32, np.float32]))
    scores = draw(arrays(np.int32, shape, elements=st.integers(-4, 4))).astype(dtype)
    if dtype is np.float32:
        scores *= np.float32(0.37)
    elif draw(st.booleans()):
        scores *= np.int32(2**29 - 1)
    allowed = draw(arrays(np.bool_, shape))
    counts = np.array([draw(st.integers(0, int(n))) for n in allowed.sum(axis=1)], dtype=np.int64)
    return scores, allowed, counts, draw(st.integers(1, 9))


@UNTIMED
@given(tiles())
def test_top_k_equals_its_twin_in_function_and_time(tile: tuple[np.ndarray, np.ndarray, np.ndarray, int]) -> None:
    scores, allowed, counts, comparators = tile
    indptr, indices, row_cycles, comparisons = top_k_rows(scores, allowed, counts, comparators)
    expected_comparisons = []
    for i, wanted in enumerate(counts):
        row = [(scores[i, j].item(), j) for j in range(scores.shape[1]) if allowed[i, j]]
        kept, cycles, compared = quick_select_twin(row, int(wanted), comparators)
        assert indices[indptr[i] : indptr[i + 1]].tolist() == kept == best_keys(scores[i], allowed[i], int(wanted))
        assert row_cycles[i] == cycles
        expected_comparisons.append(compared)
    assert comparisons.tolist() == expected_comparisons


@UNTIMED
@given(tiles(), st.floats(-3, 3), st.sampled_from([0.25, 1.0]))
def test_threshold_equals_its_twin(
    tile: tuple[np.ndarray, np.ndarray, np.ndarray, int], threshold: float, factor: float
) -> None:
    scores, allowed, _, comparators = tile
    indptr, indices, row_cycles, comparisons = threshold_rows(scores, allowed, threshold, factor, comparators)
    for i, row in enumerate(scores):
        kept = [j for j in range(len(row)) if allowed[i, j] and float(row[j]) * factor > threshold]
        assert indices[indptr[i] : indptr[i + 1]].tolist() == kept
        assert row_cycles[i] == math.ceil(int(allowed[i].sum()) / comparators)
    assert comparisons.tolist() == allowed.sum(axis=1).tolist()


@pytest.mark.parametrize(
    ("wanted", "keys", "cycles", "comparisons"), [(2, [2, 3], 6, 5), (3, [0, 2, 3], 19, 11), (0, [], 0, 0)]
)
def test_top_k_worked_example(wanted: int, keys: list[int], cycles: int, comparisons: int) -> None:
    scores = np.array([[5, 1, 7, 7, 3]], dtype=np.int32)
    indptr, indices, row_cycles, compared = top_k_rows(scores, scores > 0, np.array([wanted]), 2)
    assert (indptr.tolist(), indices.tolist(), row_cycles.tolist(), compared) == (
        [0, wanted],
        keys,
        [cycles],
        comparisons,
    )


def test_threshold_worked_example() -> None:
    scores = np.array([[5, 1, 7, 7, 3]], dtype=np.int32)
    indptr, indices, row_cycles, compared = threshold_rows(scores, scores > 0, 1.5, 0.5, 2)
    assert (indptr.tolist(), indices.tolist(), row_cycles.tolist(), compared) == ([0, 3], [0, 2, 3], [3], 5)


def test_equal_scores_keep_the_lowest_keys_in_one_pass() -> None:
    scores = np.zeros((1, 40), dtype=np.int32)
    _, indices, row_cycles, comparisons = top_k_rows(scores, scores == 0, np.array([7]), 16)
    assert indices.tolist() == list(range(7))
    assert row_cycles.tolist() == [3 + 3]
    assert comparisons == 40


def test_one_more_comparator_saves_a_cycle_only_at_the_edge() -> None:
    scores = np.zeros((1, 32), dtype=np.int32)
    cycles = [int(top_k_rows(scores, scores == 0, np.array([1]), p)[2][0]) for p in (15, 16, 17, 31, 32, 33)]
    assert cycles == [6, 5, 5, 5, 4, 4]
