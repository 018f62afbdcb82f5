"""Mask quality by hand, and its bounds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.trace.store import trace_in_memory
from dsasim.validate.mask_quality import check_mask_quality, row_balance
from dsasim.validate.run import validate
from dsasim.validate.subject import Subject


def test_row_balance_by_hand() -> None:
    assert row_balance([np.array([1, 3, 2, 2])], 2) == pytest.approx(0.8)
    assert row_balance([np.array([1, 3, 2])], 2) == pytest.approx(6 / 8)
    assert row_balance([np.array([0, 0])], 2) == 1


def test_figures_by_hand(make_arch: Callable, make_arrays: Callable) -> None:
    """One row, four keys with softmax weights 1/10 .. 4/10; the given mask keeps the second and the last."""
    arrays = replace(
        make_arrays(heads=1, kv_heads=1, L_q=1, L_k=4, d_head=1, causal=False),
        q=np.ones((1, 1, 1)),
        k=np.log(np.arange(1, 5)).reshape(1, 4, 1),
        v=np.arange(1.0, 5).reshape(1, 4, 1),
        scale=1.0,
        keep=np.array([[[False, True, False, True]]]),
        out=None,
        out_rows=None,
    )
    result = validate(make_arch("predictor.method=given"), trace_in_memory("t", [arrays], dtype="float32"))
    figures = next(check.figures for check in result.checks if check.name == "mask_quality")
    # the exact top two are keys 2 and 3
    assert figures["ours_recall"] == figures["ours_precision"] == 0.5
    assert figures["ours_iou"] == pytest.approx(1 / 3)
    assert figures["ours_mass"] == figures["ours_mass_min"] == pytest.approx(0.6, abs=1e-6)
    assert figures["oracle_mass"] == pytest.approx(0.7, abs=1e-6)
    # dense: (1 + 4 + 9 + 16) / 10 = 3; ours: (2 * 2 + 4 * 4) / 6 = 10 / 3
    assert figures["ours_error"] == pytest.approx(1 / 9, abs=1e-6)
    assert figures["ours_cosine"] == pytest.approx(1)


def test_rows_that_keep_unlike_numbers_of_keys(make_arch: Callable, make_arrays: Callable) -> None:
    """Two rows of four keys with weights 1/10 .. 4/10, of which 4 of 8 are kept: the exact top keeps keys 2 and 3.

    Row 0 keeps key 3: half of these and nothing else; row 1 keeps keys 0, 1 and 2: half of these, and two others.
    """
    arrays = replace(
        make_arrays(heads=1, kv_heads=1, L_q=2, L_k=4, d_head=1, causal=False),
        q=np.ones((1, 2, 1)),
        k=np.log(np.arange(1, 5)).reshape(1, 4, 1),
        v=np.arange(1.0, 5).reshape(1, 4, 1),
        scale=1.0,
        keep=np.array([[[False, False, False, True], [True, True, True, False]]]),
        out=None,
        out_rows=None,
    )
    trace = trace_in_memory("t", [arrays], dtype="float32")
    check, _ = check_mask_quality(Subject(make_arch("predictor.method=given"), trace, {5: (0,)}))
    figures = {name: check.figures[f"ours_{name}"] for name in ("recall", "precision", "iou", "mass")}
    assert figures == pytest.approx(
        {"recall": 0.5, "precision": (1 + 1 / 3) / 2, "iou": (1 / 2 + 1 / 4) / 2, "mass": 0.5}, abs=1e-6
    )
    assert check.figures["ours_mass_p1"] == pytest.approx(0.4 + 0.01 * 0.2, abs=1e-6)  # between .4 and .6
    assert check.figures["ours_mass_min"] == pytest.approx(0.4, abs=1e-6)
    assert check.figures["ours_balance"] == pytest.approx((1 + 3) / (2 * 3))


def test_the_bounds_are_bounds(make_arch: Callable, make_arrays: Callable) -> None:
    trace = trace_in_memory("t", [make_arrays(L_q=60, L_k=60, fitted=True)], dtype="float32")
    result = validate(make_arch("predictor.bits=8"), trace)
    figures = next(check.figures for check in result.checks if check.name == "mask_quality")
    for name in ("recall", "precision", "iou", "mass"):
        assert figures[f"random_{name}"] < figures[f"ours_{name}"] < figures[f"oracle_{name}"]
    assert figures["oracle_recall"] == figures["oracle_iou"] == 1
