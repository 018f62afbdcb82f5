"""Dense products on the systolic array: the worked example, and a PE grid that is stepped cycle by cycle."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.systolic import fold_cycles, operand_stretch, output_work, score_work, skew_cycles

MakeArch = Callable[..., ArchConfig]
DENSE_2_BY_4 = ("scheduler.token_parallelism=1", "scheduler.tile_rows=4", "pe_array.lanes=2", "pe_array.macs_per_row=4")


def test_worked_example() -> None:
    assert fold_cycles(64, 64, 64, 16, 16) + skew_cycles(16, 16) == 1054


def stepped(rows: int, inner: int, columns: int, array_rows: int, array_columns: int) -> int:
    """Cycles until every PE has done all its multiplications, operands moving one PE a cycle, folds without a gap."""
    folds = -(-rows // array_rows) * -(-columns // array_columns)
    last = 0
    for row in range(array_rows):
        for column in range(array_columns):
            arrives = row + column
            last = max(last, arrives + folds * inner)
    return last


@given(*(st.integers(1, 9) for _ in range(5)))
def test_cycles_are_those_of_a_stepped_grid(rows: int, inner: int, columns: int, height: int, width: int) -> None:
    assert fold_cycles(rows, inner, columns, height, width) + skew_cycles(height, width) == stepped(
        rows, inner, columns, height, width
    )


@pytest.mark.parametrize(
    ("bits", "banks", "port_bytes", "stretch"), [(128, 2, 8, 1), (129, 2, 8, 2), (256, 2, 8, 2), (1, 1, 1, 1)]
)
def test_operands_stretch_when_a_bit_is_missing(bits: int, banks: int, port_bytes: int, stretch: int) -> None:
    assert operand_stretch(bits, banks, port_bytes) == stretch


def test_scores_compute_each_row_fold_up_to_its_longest_span(make_arch: MakeArch) -> None:
    """2 x 4 PEs, causal spans 1 .. 6, d_head 8, tiles of 4 rows: folds of rows 0-1, 2-3 | 4-5.

    Tile 0: ceil(2/4) * 8 + ceil(4/4) * 8 = 16, skew 4. Tile 1: ceil(6/4) * 8 = 16, skew 4. K read: 2 + 4 + 6 vectors.
    """
    work = score_work(make_arch(*DENSE_2_BY_4), np.arange(1, 7), 4, 8)
    assert work.cycles.tolist() == [20, 20]
    assert work.busy_cycles.tolist() == [[20, 20], [20, 20]]
    assert work.conflict_cycles.tolist() == [[0, 0], [0, 0]]
    assert work.vector_reads == 12


def test_outputs_accumulate_over_the_span(make_arch: MakeArch) -> None:
    """As above: ceil(8/4) = 2 column folds of 2, 4 | 6 keys: 4 + 8 = 12 and 12, skew 4."""
    work = output_work(make_arch(*DENSE_2_BY_4), np.arange(1, 7), 4, 8)
    assert work.cycles.tolist() == [16, 16]


def test_a_slow_buffer_shows_as_conflict(make_arch: MakeArch) -> None:
    """4 elements of 16 bits a cycle from one bank of 4 bytes: streaming takes twice as long."""
    arch = make_arch(*DENSE_2_BY_4, "buffers.k.banks=1", "buffers.k.port_bytes=4")
    work = score_work(arch, np.arange(1, 7), 4, 8)
    assert work.cycles.tolist() == [36, 36]
    assert work.conflict_cycles.tolist() == [[16, 16], [16, 16]]


def test_rows_that_may_attend_to_nothing_still_pass_the_array(make_arch: MakeArch) -> None:
    assert score_work(make_arch(*DENSE_2_BY_4), np.zeros(2, np.int64), 4, 8).cycles.tolist() == [4]
