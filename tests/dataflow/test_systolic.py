"""Attention as dense products on the PE array: time, conflicts and re-reads of a small causal head, by hand.

2 x 4 PEs (2 lanes, T = 1, W = 4), d_head 8, rows that see 1 .. 6 keys, tiles of 4 rows. Filling and draining take
2 R + C - 2 = 6 cycles a product.
"""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.dataflows.systolic import key_runs, output_work, score_work

MakeArch = Callable[..., ArchConfig]
DENSE_2_BY_4 = ("scheduler.token_parallelism=1", "scheduler.tile_rows=4", "pe_array.lanes=2", "pe_array.macs_per_row=4")
SPANS = np.arange(1, 7)


def test_scores_go_as_far_as_each_row_folds_longest_span(make_arch: MakeArch) -> None:
    """Folds of rows 0-1, 2-3 | 4-5, each of 8 cycles: ceil(2/4) + ceil(4/4) = 2 | ceil(6/4) = 2, so 16 + 6 twice.

    K vectors read: 2 + 4 + 6. Q streams once a column fold, and again for the second of rows 4-5: 2 * 8 elements.
    """
    work = score_work(make_arch(*DENSE_2_BY_4), SPANS, 4, 8)
    assert work.cycles.tolist() == [22, 22]
    assert work.busy_cycles.tolist() == [[22, 22], [22, 22]]
    assert work.conflict_cycles.tolist() == [[0, 0], [0, 0]]
    assert (work.vector_reads.sum(), work.rereads.sum(), work.partial_sums.sum()) == (12, 16, 0)


def test_outputs_accumulate_over_the_span(make_arch: MakeArch) -> None:
    """ceil(8/4) = 2 column folds of 2, 4 | 6 keys: 4 + 8 and 12, and 6 each.

    P: 2 rows * (2 + 4 + 6) keys, twice = 48 elements, where 1 + 2 + ... + 6 = 21 would do.
    """
    work = output_work(make_arch(*DENSE_2_BY_4), SPANS, 4, 8)
    assert work.cycles.tolist() == [18, 18]
    assert (work.vector_reads.sum(), work.rereads.sum(), work.partial_sums.sum()) == (12, 27, 0)


def test_drained_folds_pay_the_skew_each_time(make_arch: MakeArch) -> None:
    """R + C - 2 = 4 a fold: 2 * (8 + 4) each; for outputs 2 * (2 + 4) + 2 * (4 + 4) | 2 * (6 + 4)."""
    arch = make_arch(*DENSE_2_BY_4, "pe_array.pipelined_folds=false")
    assert score_work(arch, SPANS, 4, 8).cycles.tolist() == [24, 24]
    assert output_work(arch, SPANS, 4, 8).cycles.tolist() == [28, 20]


def test_weights_stationary_whole_tiles_stream(make_arch: MakeArch) -> None:
    """K^T is held: 4 folds along d_head, 1 | 2 along 4 | 6 keys, streams of 4 | 2 rows: 16 | 16, and 6.

    K is read once a tile: 4 + 6 vectors; Q of the second tile twice; 3 of 4 folds leave 4 * 4 + 2 * 6 partial sums.
    V is held: ceil(4/2) * 2 = 4 | 3 * 2 = 6 folds: 16 | 12, and 6; P twice: 2 * (4 * 4 + 2 * 6) - 21.
    """
    arch = make_arch(*DENSE_2_BY_4, "pe_array.stationary=weight")
    work = score_work(arch, SPANS, 4, 8)
    assert work.cycles.tolist() == [22, 22]
    assert (work.vector_reads.sum(), work.rereads.sum(), work.partial_sums.sum()) == (10, 16, 3 * 28)
    work = output_work(arch, SPANS, 4, 8)
    assert work.cycles.tolist() == [22, 18]
    assert (work.vector_reads.sum(), work.rereads.sum(), work.partial_sums.sum()) == (10, 35, 8 * (4 * 1 + 2 * 2))


def test_inputs_stationary_keys_stream(make_arch: MakeArch) -> None:
    """Q is held: 4 folds along d_head, 1 along the rows, streams of 4 | 6 keys: 16 | 24, and 6. Nothing is re-read."""
    work = score_work(make_arch(*DENSE_2_BY_4, "pe_array.stationary=input"), SPANS, 4, 8)
    assert work.cycles.tolist() == [22, 30]
    assert (work.vector_reads.sum(), work.rereads.sum()) == (10, 0)


@pytest.mark.parametrize(
    ("stationary", "cycles", "conflicts"),
    [
        ("output", [38, 38], [16, 16]),  # 4 elements of 16 bits a cycle from 4 bytes: streams twice as long
        ("weight", [24, 38], [2, 16]),  # loads take 4: 4 + 3 * max(4, 4) + 4 + 4 | 4 + 7 * max(2, 4) + 2 + 4
        ("input", [22, 30], [0, 0]),  # 2 elements a cycle fit
    ],
)
def test_a_slow_buffer_shows_as_conflict(
    make_arch: MakeArch, stationary: str, cycles: list[int], conflicts: list[int]
) -> None:
    arch = make_arch(*DENSE_2_BY_4, "buffers.k.banks=1", "buffers.k.port_bytes=4", f"pe_array.stationary={stationary}")
    work = score_work(arch, SPANS, 4, 8)
    assert work.cycles.tolist() == cycles
    assert work.conflict_cycles[:, 0].tolist() == conflicts


@pytest.mark.parametrize("stationary", ["output", "weight", "input"])
def test_rows_that_may_attend_to_nothing_take_one_cycle(make_arch: MakeArch, stationary: str) -> None:
    arch = make_arch(*DENSE_2_BY_4, f"pe_array.stationary={stationary}")
    for product in (score_work, output_work):
        work = product(arch, np.zeros(2, np.int64), 4, 8)
        assert work.cycles.tolist() == [1]
        assert (work.vector_reads.sum(), work.rereads.sum(), work.partial_sums.sum()) == (0, 0, 0)


@pytest.mark.parametrize(
    ("capacity", "lengths"),
    [(4, [4, 4, 2]), (5, [5, 5]), (9, [5, 5]), (10, [10])],  # the worked example; as few runs as fit, about equal
)
def test_keys_are_cut_into_runs_that_fit_the_pool(capacity: int, lengths: list[int]) -> None:
    parts = key_runs(np.array([9, 10, 3]), 2, capacity)
    runs = [parts.keys_of(at).tolist() for at in range(len(parts)) if parts.tile[at] == 0]
    assert [len(run) for run in runs] == lengths
    assert [key for run in runs for key in run] == list(range(10))
    assert parts.keys_of(len(parts) - 1).tolist() == [0, 1, 2]
    assert parts.tile.tolist() == [0] * len(lengths) + [1]
