"""Figures of a difference, by hand, and what a gate makes of them."""

import math

import numpy as np
import pytest

from dsasim.validate.compare import HeadError, compared


def test_figures_by_hand() -> None:
    error = HeadError.of(3, 1, np.array([[3.0, 4.1], [0.0, 1.0]]), np.array([[3.0, 4.0], [0.0, 1.0]]))
    assert error.max_abs == pytest.approx(0.1)
    assert error.max_rel == pytest.approx(0.025)
    assert error.rmse == pytest.approx(0.05)
    assert error.rel_l1 == pytest.approx(0.1 / 8)
    assert error.rel_l2 == pytest.approx(0.1 / math.sqrt(26))
    assert error.values_off == 1
    assert str(error.worst_value) == "row 0 column 1 is 4.1, reference 4"
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
    there = {"found": f"{bad}, reference 1", "reference": f"1, reference {bad}"}[side]
    assert check.detail == f"layer 5 head 2 row 2: NaN or Inf: row 2 column 1 is {there}"
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
    failed = compared("x", "x", [error], 0.011)
    assert (failed.status, failed.detail.split(":")[0]) == ("failed", "layer 1 head 0 row 42")
    assert compared("x", "x", [error], 0.011, rows=False).status == "passed"


@pytest.mark.parametrize(
    ("value", "reference", "off"),
    [(0.0101, 0.0, 1), (0.0099, 0.0, 0), (10.2, 10.0, 1), (10.09, 10.0, 0), (0.105, 0.1, 0), (1.015, 1.0, 1)],
    ids=["abs above", "abs below", "both above", "rel below", "abs below, rel above", "above the larger, not the sum"],
)
def test_one_value_off_by_both_fails_a_16_bit_gate_only(value: float, reference: float, off: int) -> None:
    """Beside values of 100, none of these moves the rel. L2 beyond 1e-2."""
    sound = np.full((8, 8), 100.0)
    sound[3, 5] = reference
    found = sound.copy()
    found[3, 5] = value
    error = HeadError.of(1, 2, found, sound)
    assert error.values_off == off
    check = compared("x", "x", [error], 1e-2)
    assert check.status == ("failed" if off else "passed")
    if off:
        assert check.detail.startswith(f"layer 1 head 2 row 3 column 5 is {value:g}, reference {reference:g}: 1 value")
    assert compared("x", "x", [error], 0.9e-2).status == "passed"


def test_zeros_for_zeros_are_exact_and_anything_else_is_not() -> None:
    zeros = np.zeros((2, 2))
    assert HeadError.of(0, 0, zeros, zeros).rel_l2 == 0
    assert HeadError.of(0, 0, zeros + 1e-30, zeros).rel_l2 == math.inf


def test_the_figures_of_a_check_are_those_of_its_worst_head() -> None:
    """One head is exact, one is off by 10 % in one of two equal values, and the third by 1 %."""
    reference = np.full((1, 2), 5.0)
    found = [reference, np.array([[5.5, 5.0]]), np.array([[5.05, 5.0]])]
    check = compared("x", "x", [HeadError.of(2, head, of, reference) for head, of in enumerate(found)], 0.01)
    worst = HeadError.of(2, 1, found[1], reference)
    assert {name: check.figures[name] for name in ("max_abs", "max_rel", "rmse", "rel_l1", "rel_l2", "cosine")} == {
        "max_abs": pytest.approx(0.5),
        "max_rel": pytest.approx(0.1),
        "rmse": pytest.approx(0.5 / math.sqrt(2)),
        "rel_l1": pytest.approx(0.05),
        "rel_l2": pytest.approx(0.1 / math.sqrt(2)),
        "cosine": pytest.approx((5.5 + 5) / math.sqrt((5.5**2 + 25) * 2)),
    }
    assert check.detail.startswith(f"layer 2 head 1 row 0: rel. L2 {worst.rel_l2:.3g}, gate 0.01")


def test_a_relative_error_is_over_the_value_itself_if_it_is_not_near_zero() -> None:
    """0.02 of 0.1 is a fifth, beside values of 10 too; of 0.001 it counts over a thousandth of 10."""
    reference = np.array([[10.0, 0.1, 0.001]])
    for column, expected in ((1, 0.2), (2, 2.0)):
        found = reference.copy()
        found[0, column] += 0.02
        assert HeadError.of(0, 0, found, reference).max_rel == pytest.approx(expected)
