"""Bounds of a dense run by hand."""

import numpy as np
import pytest
from shapes import zeros

from dsasim.config.loader import load_arch
from dsasim.sim.efficiency import dense_efficiency_ratio

SMALL = ("array.rows=4", "array.columns=4")


@pytest.mark.parametrize(("cycles", "ratio"), [(100, 0.64), (64, 1.0)])
def test_the_docstring_s_example(cycles: int, ratio: float) -> None:
    arch, trace = load_arch("dense-flash", SMALL), zeros(2, 1, 8, 8, 4)
    assert dense_efficiency_ratio(arch, trace, {0: [0, 1]}, cycles) == ratio


def test_memory_bounds_one_query_row() -> None:
    """Two rows are 2 x 8 x 8 / 16 = 8 cycles of MACs; (2 x 2 + 2 x 8) vectors of 8 bytes, 160, 3.125 of 51.2 bytes."""
    trace = zeros(2, 1, 1, 8, 4)
    assert dense_efficiency_ratio(load_arch("dense-flash", SMALL), trace, {0: [0, 1]}, 16) == 0.5
    assert dense_efficiency_ratio(load_arch("dense-flash"), trace, {0: [0, 1]}, 25) == 0.125


def test_chosen_heads_and_layers_count_and_kv_heads_once() -> None:
    """One head of each of two layers: 2 x 64 x 8 MACs, as both heads of one."""
    arch, trace = load_arch("dense-flash", SMALL), zeros(2, 1, 8, 8, 4, layers=2)
    assert dense_efficiency_ratio(arch, trace, {0: [0], 1: [1]}, 128) == 0.5
    assert dense_efficiency_ratio(arch, trace, {0: [0, 1], 1: [0, 1]}, 128) == 1.0


def test_only_allowed_positions_and_keys_that_any_row_may_see() -> None:
    allowed = np.zeros((8, 8), np.bool_)
    allowed[:, 2] = True
    arch, trace = load_arch("dense-flash", SMALL), zeros(1, 1, 8, 8, 4, allowed=allowed)
    assert dense_efficiency_ratio(arch, trace, {0: [0]}, 8) == 0.5  # 8 x 8 / 16 = 4; 2 x (8 + 3) x 8 / 51.2 = 3.4


def test_of_the_machine_dsa_as_well() -> None:
    assert dense_efficiency_ratio(load_arch("dense-16x16"), zeros(2, 1, 8, 8, 4), {0: [0, 1]}, 15) == 0.5
