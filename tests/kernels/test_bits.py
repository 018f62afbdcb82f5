"""Kept keys from booleans and from packed bits: the worked examples, and NumPy as the twin."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.bits import set_keys, true_keys


def test_true_keys_worked_example() -> None:
    indptr, indices = true_keys(np.array([[1, 0, 1], [0, 0, 0]], np.bool_))
    assert (indptr.tolist(), indices.tolist()) == ([0, 2, 2], [0, 2])


def test_set_keys_worked_example() -> None:
    indptr, indices = set_keys(np.array([[0b10100000, 0b00000001]], np.uint8))
    assert (indptr.tolist(), indices.tolist()) == ([0, 3], [0, 2, 15])


@settings(deadline=None)
@given(
    rows=st.integers(0, 4), num_bytes=st.integers(0, 4), density=st.sampled_from([0, 0.3, 1]), seed=st.integers(0, 9)
)
def test_both_find_what_numpy_finds(rows: int, num_bytes: int, density: float, seed: int) -> None:
    mask = np.random.default_rng(seed).random((rows, 8 * num_bytes)) < density
    ends = [0, *np.cumsum(mask.sum(axis=1)).tolist()]
    for indptr, indices in (true_keys(mask), set_keys(np.packbits(mask, axis=1))):
        assert indptr.tolist() == ends
        assert indices.tolist() == np.nonzero(mask)[1].tolist()
