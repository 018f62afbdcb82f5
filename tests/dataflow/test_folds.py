"""Folds of dense products: worked examples, SCALE-Sim's and STONNE's cycles, and a PE grid stepped cycle by cycle."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dsasim.config.schema import BufferConfig
from dsasim.mappings.folds import Folds, Stationary, SystolicArray, Traffic, operand_stretch

GOLDEN = Path(__file__).parents[1] / "golden"
STATIONARY: dict[str, Stationary] = {"os": "output", "ws": "weight", "is": "input"}


def product_cycles(array: SystolicArray, rows: int, inner: int, columns: int) -> int:
    return array.cycles([array.folds(rows, inner, columns)])


@pytest.mark.parametrize(("pipelined", "cycles"), [(True, 1070), (False, 1504)])
def test_worked_example(pipelined: bool, cycles: int) -> None:
    assert product_cycles(SystolicArray(16, 16, "output", pipelined), 64, 64, 64) == cycles


def test_results_leave_no_faster_than_their_port() -> None:
    """R = 4: folds of 4 follow every 4 cycles, folds of 3 too, folds of 5 every 5; 2 R + C - 2 = 12 at the end."""
    array = SystolicArray(4, 6)
    assert [array.cycles([Folds(3, stream)]) for stream in (3, 4, 5)] == [8 + 3 + 12, 8 + 4 + 12, 10 + 5 + 12]


def test_folds_of_different_lengths_follow_each_other() -> None:
    assert SystolicArray(4, 4).cycles([Folds(1, 8), Folds(1, 2)]) == 22
    assert SystolicArray(4, 4).cycles([Folds(0, 9), Folds(1, 8), Folds(2, 0), Folds(1, 2)]) == 22
    assert SystolicArray(4, 4).cycles([Folds(0, 9)]) == 0


def test_slow_ports_stretch_streams_or_what_is_held() -> None:
    """3 folds of 5 on 4 x 6: twice as long streams, or twice as long loads; drained loads are paid in every fold."""
    assert SystolicArray(4, 6, "weight").cycles([Folds(3, 5)], 2, 1) == 2 * 10 + 10 + 12
    assert SystolicArray(4, 6, "weight").cycles([Folds(3, 5)], 1, 2) == 2 * 8 + 5 + 8 + 8
    assert SystolicArray(4, 6, "weight", pipelined=False).cycles([Folds(3, 5)], 1, 2) == 3 * (8 + 5 + 8)
    assert SystolicArray(4, 6, "output").cycles([Folds(3, 3)], 1, 2) == 2 * 4 + 3 + 12


@pytest.mark.parametrize(
    ("bits", "banks", "port_bytes", "stretch"), [(128, 2, 8, 1), (129, 2, 8, 2), (256, 2, 8, 2), (1, 1, 1, 1)]
)
def test_operands_stretch_when_a_bit_is_missing(bits: int, banks: int, port_bytes: int, stretch: int) -> None:
    buffer = BufferConfig(bytes=1024, banks=banks, port_bytes=port_bytes, double_buffered=False)
    assert operand_stretch(bits, buffer) == stretch


def golden_rows(path: str) -> list[dict[str, str]]:
    with (GOLDEN / path).open() as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


@pytest.mark.parametrize("row", golden_rows("scalesim/cycles_32x32.csv"), ids=lambda row: "-".join(row.values()))
def test_drained_folds_are_those_of_scale_sim(row: dict[str, str]) -> None:
    """SCALE-Sim prints the number of its last cycle, counted from 0, and adds what memory stalls."""
    array = SystolicArray(32, 32, STATIONARY[row["dataflow"]], pipelined=False)
    cycles = product_cycles(array, *(int(row[size]) for size in "MKN"))
    assert cycles - 1 == int(row["compute_cycles"]) - int(row["stall"])


def test_all_of_scale_sims_runs_are_on_file() -> None:
    rows = golden_rows("scalesim/cycles_32x32.csv")
    assert len(rows) == 24
    assert {row["dataflow"] for row in rows} == STATIONARY.keys()


@pytest.mark.parametrize("row", golden_rows("pe/stonne_dense.csv"), ids=lambda row: "-".join(row.values()))
def test_stonne_drains_too_but_lets_small_tiles_end_early(row: dict[str, str]) -> None:
    """STONNE's output-stationary mesh takes K + r + c + 3 cycles for each tile of r x c outputs.

    That is our drained fold and 5 cycles more (its pipeline), with the tile's own size instead of the array's.
    """
    rows, inner, columns, height, width = (int(row[key]) for key in ("M", "K", "N", "rows", "cols"))
    tiles = [
        (min(height, rows - r), min(width, columns - c))
        for r in range(0, rows, height)
        for c in range(0, columns, width)
    ]
    assert sum(inner + r + c + 3 for r, c in tiles) == int(row["cycles"])
    ours = sum(product_cycles(SystolicArray(r, c, "output", pipelined=False), r, inner, c) for r, c in tiles)
    assert ours + 5 * len(tiles) == int(row["cycles"])


@pytest.mark.parametrize(
    ("stationary", "traffic"),
    [("output", Traffic(90, 126, 0)), ("weight", Traffic(90, 42, 70)), ("input", Traffic(30, 84, 70))],
)
def test_what_crosses_the_edges(stationary: Stationary, traffic: Traffic) -> None:
    """5 x 6 by 6 x 7 on 2 x 3: the result has 3 row folds and 3 column folds, K has 3; 5 rows in columns of 3 are 2."""
    assert SystolicArray(2, 3, stationary).traffic(5, 6, 7) == traffic


# --- the twin: operands that really move ---

Matrix = NDArray[np.int64]


@dataclass
class Fold:
    """What one fold multiplies; its first operand enters the PE at the upper left in cycle `start`."""

    left: Matrix
    right: Matrix
    start: int
    result: Matrix
    last: int = -1
    """The cycle in which the last element of the result left."""

    def leave(self, cycle: int, where: tuple[int, int], value: int) -> None:
        self.result[where] = value
        self.last = cycle


def new_fold(left: Matrix, right: Matrix, start: int) -> Fold:
    return Fold(left, right, start, np.zeros((left.shape[0], right.shape[1]), np.int64))


def step_output_stationary(folds: Sequence[Fold], rows: int, columns: int, ports: bool) -> None:
    """PEs accumulate. `left` [rows, K] enters at the left, row r delayed by r; `right` [K, columns] at the top.

    A finished sum moves to the PE's result register. With `ports`, a column moves all its results into a chain once its
    lowest PE has finished, and the chain gives one a cycle to the port at the bottom; without, sums leave at once.
    AssertionError if two operands, two results or two sums need one register.
    """
    sums = np.zeros((rows, columns), np.int64)
    done: list[list[tuple[Fold, int] | None]] = [[None] * columns for _ in range(rows)]
    chain: list[list[tuple[Fold, tuple[int, int], int]]] = [[] for _ in range(columns)]
    moving_right: dict[tuple[int, int], tuple[Fold, int, int]] = {}
    moving_down: dict[tuple[int, int], tuple[Fold, int, int]] = {}
    end = max(fold.start + fold.left.shape[1] for fold in folds) + rows
    cycle = 0
    while cycle < end or moving_right or any(chain) or any(any(row) for row in done):
        for column in range(columns):
            if ports and done[rows - 1][column] is not None:
                assert not chain[column], "the last fold's results are still leaving"
                for row in reversed(range(rows)):
                    result = done[row][column]
                    assert result is not None
                    chain[column].append((result[0], (row, column), result[1]))
                    done[row][column] = None
        for fold in folds:
            length = fold.left.shape[1]
            for row in range(rows):
                if 0 <= (step := cycle - fold.start - row) < length:
                    assert (row, 0) not in moving_right, "two operands want a PE"
                    moving_right[row, 0] = (fold, step, int(fold.left[row, step]))
            for column in range(columns):
                if 0 <= (step := cycle - fold.start - column) < length:
                    assert (0, column) not in moving_down, "two operands want a PE"
                    moving_down[0, column] = (fold, step, int(fold.right[step, column]))
        assert moving_right.keys() == moving_down.keys()
        for (row, column), (fold, step, value) in moving_right.items():
            other, other_step, factor = moving_down[row, column]
            assert other is fold and other_step == step, "operands that do not belong together meet"
            sums[row, column] = (0 if step == 0 else sums[row, column]) + value * factor
            if step == fold.left.shape[1] - 1:
                if ports:
                    assert done[row][column] is None, "the last sum has not left the PE"
                    done[row][column] = fold, int(sums[row, column])
                else:
                    fold.leave(cycle, (row, column), int(sums[row, column]))
        for column in range(columns):
            if chain[column]:
                fold, where, value = chain[column].pop(0)
                fold.leave(cycle, where, value)
        moving_right = {(row, column + 1): o for (row, column), o in moving_right.items() if column + 1 < columns}
        moving_down = {(row + 1, column): o for (row, column), o in moving_down.items() if row + 1 < rows}
        cycle += 1


def step_weight_stationary(folds: Sequence[Fold], rows: int, columns: int) -> None:
    """PEs hold `right` [rows, columns]; `left` [M, rows] enters at the left, its column r in row r delayed by r.

    Weights move down a column's spare registers, that of the lowest PE first, so that all stand when the fold's first
    operand comes by; column c begins c cycles after column 0. A weight becomes active with the fold's first operand.
    Sums move down and leave below the lowest PE.
    AssertionError if a spare register is overwritten before its weight was used, or two operands want a PE.
    """
    spare: list[list[tuple[Fold, int, int] | None]] = [[None] * columns for _ in range(rows)]  # fold, row, weight
    active = np.zeros((rows, columns), np.int64)
    moving_right: dict[tuple[int, int], tuple[Fold, int, int]] = {}
    sums: dict[tuple[int, int], int] = {}
    end = max(fold.start + len(fold.left) for fold in folds) + rows
    cycle = 0
    while cycle < end or moving_right:
        for fold in folds:
            for row in range(rows):
                if 0 <= (step := cycle - fold.start - row) < len(fold.left):
                    assert (row, 0) not in moving_right, "two operands want a PE"
                    moving_right[row, 0] = (fold, step, int(fold.left[step, row]))
        below: dict[tuple[int, int], int] = {}
        for (row, column), (fold, step, value) in moving_right.items():
            if step == 0:
                held = spare[row][column]
                assert held is not None, "its weight has not come"
                assert held[0] is fold, "its weight has not come"
                assert held[1] == row, "its weight has not come"
                active[row, column], spare[row][column] = held[2], None
            total = sums.get((row, column), 0) + value * int(active[row, column])
            if row < rows - 1:
                below[row + 1, column] = total
            else:
                fold.leave(cycle, (step, column), total)
        for column in range(columns):  # at the end of the cycle each spare register takes what is above it
            for fold in folds:
                entered = cycle - (fold.start - rows + column)
                if 0 <= entered < rows:
                    for row in reversed(range(entered + 1)):
                        kept = spare[row][column]
                        assert kept is None or kept[0] is fold, "a weight is overwritten unused"
                        wanted = rows - 1 - entered
                        new = (fold, wanted, int(fold.right[wanted, column]))
                        spare[row][column] = spare[row - 1][column] if row else new
        moving_right = {(row, column + 1): o for (row, column), o in moving_right.items() if column + 1 < columns}
        sums = below
        cycle += 1


def blocks(matrix: Matrix, rows: int, columns: int) -> list[list[Matrix]]:
    """A matrix in blocks, the last ones filled up with zeros."""
    filled = np.pad(matrix, ((0, -matrix.shape[0] % rows), (0, -matrix.shape[1] % columns)))
    return [np.split(strip, filled.shape[1] // columns, axis=1) for strip in np.split(filled, filled.shape[0] // rows)]


def stepped(array: SystolicArray, left: Matrix, right: Matrix, interval: int) -> tuple[Matrix, int]:
    """Step a product with a fold every `interval` cycles: the product, and the cycle in which its last result left."""
    if array.stationary == "input":  # the transposed product with the operands' roles exchanged
        mirrored = SystolicArray(array.rows, array.columns, "weight", array.pipelined)
        product, last = stepped(mirrored, right.T, left.T, interval)
        return product.T, last
    if array.stationary == "output":
        lefts, rights = blocks(left, array.rows, left.shape[1]), blocks(right, right.shape[0], array.columns)
        pairs = [(strip, block) for (strip,) in lefts for block in rights[0]]
        folds = [new_fold(*pair, at * interval) for at, pair in enumerate(pairs)]
        step_output_stationary(folds, array.rows, array.columns, ports=array.pipelined)
        results = np.array([fold.result for fold in folds]).reshape(len(lefts), -1, array.rows, array.columns)
        product = results.swapaxes(1, 2).reshape(len(lefts) * array.rows, -1)
    else:
        lefts, rights = blocks(left, left.shape[0], array.rows), blocks(right, array.rows, array.columns)
        pairs = [(strip, block) for strip, row in zip(lefts[0], rights, strict=True) for block in row]
        folds = [new_fold(*pair, array.rows + at * interval) for at, pair in enumerate(pairs)]
        step_weight_stationary(folds, array.rows, array.columns)
        results = np.array([fold.result for fold in folds]).reshape(len(rights), -1, left.shape[0], array.columns)
        product = results.sum(axis=0).swapaxes(0, 1).reshape(left.shape[0], -1)
    return product[: left.shape[0], : right.shape[1]], max(fold.last for fold in folds)


def interval_of(array: SystolicArray, stream: int) -> int:
    """Cycles from fold to fold."""
    return array.cycles([Folds(2, stream)]) - array.cycles([Folds(1, stream)])


SIZES = st.integers(1, 9)
ARRAYS = st.builds(
    SystolicArray, st.integers(1, 5), st.integers(1, 5), st.sampled_from(["output", "weight", "input"]), st.booleans()
)


@given(ARRAYS, SIZES, SIZES, SIZES, st.integers(0, 1000))
def test_the_grid_computes_the_product_and_ends_with_the_last_result(
    array: SystolicArray, rows: int, inner: int, columns: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    left, right = random.integers(-9, 9, (rows, inner)), random.integers(-9, 9, (inner, columns))
    folds = array.folds(rows, inner, columns)
    product, last = stepped(array, left, right, interval_of(array, folds.stream))
    assert (product == left @ right).all()
    assert last + 1 == array.cycles([folds])


@given(ARRAYS, SIZES, SIZES, SIZES)
def test_folds_can_follow_no_faster(array: SystolicArray, rows: int, inner: int, columns: int) -> None:
    """One cycle sooner, and two things want one register; but drained folds only wait because they are told to."""
    folds = array.folds(rows, inner, columns)
    if array.pipelined and folds.count > 1:
        left, right = np.ones((rows, inner), np.int64), np.ones((inner, columns), np.int64)
        with pytest.raises(AssertionError):
            stepped(array, left, right, interval_of(array, folds.stream) - 1)


@given(st.integers(1, 5), st.integers(1, 5), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_uneven_folds_follow_as_soon_as_their_results_can_leave(rows: int, columns: int, streams: list[int]) -> None:
    """Fold i + 1 ends max(its stream, R) cycles after fold i; any two a cycle closer collide."""
    ends = np.cumsum([streams[0], *(max(stream, rows) for stream in streams[1:])])
    starts = [int(end) - stream for end, stream in zip(ends, streams, strict=True)]

    def last(starts: Sequence[int]) -> int:
        shapes = zip(starts, streams, strict=True)
        folds = [new_fold(np.ones((rows, k), np.int64), np.ones((k, columns), np.int64), at) for at, k in shapes]
        step_output_stationary(folds, rows, columns, ports=True)
        assert all((fold.result == stream).all() for fold, stream in zip(folds, streams, strict=True))
        return max(fold.last for fold in folds)

    assert last(starts) + 1 == SystolicArray(rows, columns).cycles([Folds(1, stream) for stream in streams])
    for late in range(1, len(starts)):
        with pytest.raises(AssertionError):
            last([start - (at >= late) for at, start in enumerate(starts)])
