"""Figures of a difference, by hand, and what a gate makes of them."""

import math

import numpy as np
import pytest

from dsasim.validate.compare import HeadError, compared


def test_figures_by_hand() -> None:
    error = HeadError.of(3, 1, np.array([[3.0, 4.1], [0.0, 1.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    assert error.max_abs == pytest.approx(0.1)
    assert error.max_rel == pytest.approx(0.025)
    assert error.rel_l2 == pytest.approx(0.1 / math.sqrt(26))
    assert (error.worst_row, error.worst_row_rel_l2) == (0, pytest.approx(0.02))
    assert error.cosine == pytest.approx((25.4 + 1) / math.sqrt((9 + 4.1**2 + 1) * 26))


def test_rows_keep_their_own_numbers() -> None:
    error = HeadError.of(0, 0, np.array([[1.0], [2.0]]), np.array([[1.0], [1.0]]), np.array([4, 17]))
    assert error.worst_row == 17


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("side", ["found", "reference"])
def test_nan_and_inf_never_pass(bad: float, side: str) -> None:
    arrays = {"found": np.ones((3, 2)), "reference": np.ones((3, 2))}
    arrays[side][2, 1] = bad
    check = compared("x", "x", [HeadError.of(5, 2, **arrays)], gate=1e9)
    assert check.status == "failed"
    assert check.detail == "layer 5 head 2 row 2: NaN or Inf"
    assert check.figures["rel_l2"] is None


def test_the_gate_at_and_above() -> None:
    reference = np.full((1, 4), 1.0)
    at = HeadError.of(0, 0, reference * 1.25, reference)
    assert compared("x", "x", [at], 0.25).status == "passed"
    assert compared("x", "x", [at], 0.2499).status == "failed"


def test_one_bad_row_fails_unless_heads_alone_are_gated() -> None:
    reference = np.ones((100, 4))
    found = reference.copy()
    found[42] *= 1.05
    error = HeadError.of(1, 0, found, reference)
    assert error.rel_l2 == pytest.approx(0.005)
    failed = compared("x", "x", [error], 0.01)
    assert (failed.status, failed.detail.split(":")[0]) == ("failed", "layer 1 head 0 row 42")
    assert compared("x", "x", [error], 0.01, rows=False).status == "passed"


def test_zeros_for_zeros_are_exact_and_anything_else_is_not() -> None:
    zeros = np.zeros((2, 2))
    assert HeadError.of(0, 0, zeros, zeros).rel_l2 == 0
    assert HeadError.of(0, 0, zeros + 1e-30, zeros).rel_l2 == math.inf
