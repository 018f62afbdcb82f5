"""The masks to compare with keep the asked number of keys, and only allowed ones."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsasim.quality.references import oracle_mask, random_mask, sink_window_mask

# the first call may compile the kernel
UNTIMED = settings(deadline=None)


@st.composite
def budgets(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Allowed positions and a number of keys for each row."""
    allowed = draw(arrays(np.bool_, draw(st.tuples(st.integers(1, 6), st.integers(1, 20)))))
    return allowed, np.array([draw(st.integers(0, int(n))) for n in allowed.sum(axis=1)], dtype=np.int64)


def sink_window_twin(allowed: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The rule of the docstring, key by key."""
    keep = np.zeros_like(allowed)
    for i, count in enumerate(counts):
        keys = [int(j) for j in np.flatnonzero(allowed[i])]
        own = i + allowed.shape[1] - allowed.shape[0]
        sinks = keys[: min(4, count // 2)]
        others = sorted((j for j in keys if j not in sinks), key=lambda j, own=own: (abs(j - own), j))
        keep[i, sinks + others[: count - len(sinks)]] = True
    return keep


@UNTIMED
@given(budgets())
def test_sink_window_equals_its_twin(budget: tuple[np.ndarray, np.ndarray]) -> None:
    allowed, counts = budget
    first = allowed.shape[1] - allowed.shape[0]
    assert np.array_equal(sink_window_mask(allowed, counts, first).to_dense(), sink_window_twin(allowed, counts))


@UNTIMED
@given(budgets(), st.integers(0, 5))
def test_every_reference_keeps_the_asked_number_of_allowed_keys(
    budget: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    allowed, counts = budget
    scores = np.random.default_rng(seed).normal(size=allowed.shape).astype(np.float32)
    masks = [
        oracle_mask(scores, allowed, counts),
        random_mask(allowed, counts, (seed,)),
        sink_window_mask(allowed, counts, allowed.shape[1] - allowed.shape[0]),
    ]
    for mask in masks:
        assert mask.row_counts.tolist() == counts.tolist()
        assert not (mask.to_dense() & ~allowed).any()


def test_sink_window_worked_example() -> None:
    keep = sink_window_mask(np.tri(8, dtype=np.bool_), np.minimum(np.arange(1, 9), 3), 0).to_dense()
    assert np.flatnonzero(keep[6]).tolist() == [0, 5, 6]
    assert np.flatnonzero(keep[2]).tolist() == [0, 1, 2]


def test_a_single_key_is_the_rows_own() -> None:
    keep = sink_window_mask(np.tri(5, dtype=np.bool_), np.ones(5, np.int64), 0).to_dense()
    assert np.array_equal(keep, np.eye(5, dtype=np.bool_))


def test_random_masks_follow_their_seed_and_are_uniform() -> None:
    allowed, counts = np.ones((2000, 10), np.bool_), np.full(2000, 3)
    first, again, other = (random_mask(allowed, counts, seed) for seed in ((1, 2), (1, 2), (2, 1)))
    assert np.array_equal(first.indices, again.indices)
    assert not np.array_equal(first.indices, other.indices)
    assert first.to_dense().mean(axis=0) == pytest.approx(np.full(10, 0.3), abs=0.05)
    pairs = first.to_dense().T.astype(int) @ first.to_dense()
    assert pairs[~np.eye(10, dtype=np.bool_)] / 2000 == pytest.approx(np.full(90, 3 / 10 * 2 / 9), abs=0.03)


def test_a_row_s_random_keys_do_not_depend_on_its_block() -> None:
    allowed, counts = np.tri(40, dtype=np.bool_), np.arange(40) // 3
    whole = random_mask(allowed, counts, (5, 1))
    blocks = [(at, slice(at, at + 8)) for at in range(0, 40, 8)]
    parts = [random_mask(allowed[rows, : rows.stop], counts[rows], (5, 1), at) for at, rows in blocks]
    assert np.array_equal(np.concatenate([part.indices for part in parts]), whole.indices)
