"""Where tensors lie in DRAM, what a transfer moves, and how many rows a tile has (rules "Memory map", "Tiles")."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

PAGE = 4096
"""Tensors start at pages."""
INPUT_BITS = 8
TERNARY_BITS = 2


class DoesNotFitError(Exception):
    """The design cannot hold the trace."""


Runs = list[tuple[int, int]]
"""(first byte, bytes) in order."""


class Tensor(NamedTuple):
    """[heads, rows] of vectors."""

    base: int
    heads: int
    rows: int
    vector_bytes: int
    interleaved: bool

    def address(self, head: int, row: int) -> int:
        """First byte of a vector: head after head, or all heads of a row beside each other."""
        at = row * self.heads + head if self.interleaved else head * self.rows + row
        return self.base + at * self.vector_bytes

    def runs(self, vectors: Iterable[tuple[int, int]]) -> Runs:
        """The bytes of (head, row) vectors, adjacent ones in one run."""
        runs: Runs = []
        for head, row in vectors:
            start = self.address(head, row)
            if runs and sum(runs[-1]) == start:
                runs[-1] = (runs[-1][0], runs[-1][1] + self.vector_bytes)
            else:
                runs.append((start, self.vector_bytes))
        return runs


def place(arch: Any, tensors: list[tuple[int, int, int]]) -> list[Tensor]:
    """(heads, rows, vector bytes) one after the other, each at the next page."""
    placed, free = [], 0
    for heads, rows, vector_bytes in tensors:
        tensor = Tensor(free, heads, rows, vector_bytes, arch.dram.layout == "token_interleaved")
        placed.append(tensor)
        end = free + heads * rows * vector_bytes
        while free < end:
            free += PAGE
    return placed


def bursts_of(runs: Runs, access_bytes: int) -> list[int]:
    """The aligned bursts that the runs touch, in order; one repeated immediately counts once."""
    bursts: list[int] = []
    for start, size in runs:
        for burst in range(start // access_bytes, (start + size - 1) // access_bytes + 1):
            if not bursts or bursts[-1] != burst:
                bursts.append(burst)
    return bursts


@dataclass(frozen=True)
class Prediction:
    """What the predictor unit computes in a layer: Z = [XP | extra] has `columns`, `k` of them from X P."""

    d_model: int
    k: int
    columns: int
    rank: int
    bits: int
    input_rows: tuple[int, ...]
    """Rows of X: keys, and queries where those have another input."""
    sharing: int
    """Query heads of a kv head."""

    @property
    def extra_columns(self) -> int:
        """Columns of Z that do not come from X."""
        return self.columns - self.k

    @property
    def score_bytes(self) -> int:
        """Whole bytes of a sum of `rank` products of two `bits`-wide numbers."""
        growth = 0
        while 2**growth < self.rank:
            growth += 1
        return ceil_div(2 * self.bits + growth, 8)

    def tensors(self, kv_heads: int) -> list[tuple[int, int, int]]:
        """P and the extra columns; X; W~k and the W~q of each kv head."""
        extra_bits = self.extra_columns * self.bits * sum(self.input_rows)
        weight_bits = self.columns * self.rank * (1 + self.sharing) * self.bits
        return [
            (1, 1, ceil_div(self.d_model * self.k * TERNARY_BITS + extra_bits, 8)),
            *((1, rows, self.d_model * INPUT_BITS // 8) for rows in self.input_rows),
            (kv_heads, 1, ceil_div(weight_bits, 8)),
        ]


def ceil_div(whole: int, part: int) -> int:
    """Parts needed for a whole."""
    return -(-whole // part)


def mask_row_bytes(order: str, group_rows: int, keys: int, kept: int) -> int:
    """A row's mask bits, or its share of the longest plan that overwrites them: entries of key number and row set.

    T rows that keep at most `kept` keys want at most T times as many, each once.
    """
    bits = ceil_div(keys, 8)
    if order == "in_order":
        return bits
    key_bits = 1
    while 2**key_bits < keys:
        key_bits += 1
    entry_bytes = ceil_div(key_bits + group_rows, 8)
    return max(bits, ceil_div(min(keys, group_rows * kept) * entry_bytes, group_rows))


def predictor_bytes(rows: int, slots: int, keys: int, kv_heads: int, work: Prediction) -> int:
    """The predictor buffer with tiles of `rows`: P, XP, K~ and weights of `kv_heads`, and tiles of X, Q~ and S~."""
    resident = (
        work.d_model * work.k * TERNARY_BITS
        + sum(work.input_rows) * work.columns * work.bits
        + kv_heads * keys * work.rank * work.bits
        + slots * kv_heads * work.columns * work.rank * (work.sharing + 1) * work.bits
    )
    a_row = slots * (work.d_model * INPUT_BITS + 8 * keys * work.score_bytes) + work.rank * work.bits
    return ceil_div(resident, 8) + rows * ceil_div(a_row, 8)


def tile_rows(arch: Any, fits: Callable[[int], bool]) -> int:
    """The most whole groups, up to `scheduler.tile_rows`, that fit; if fewer, the same number for every lane.

    Where lanes are split over heads a tile has a group of each.
    """
    group, most = arch.scheduler.token_parallelism, arch.scheduler.tile_rows
    a_lane_each = group * arch.pe_array.lanes
    unit = a_lane_each if arch.pe_array.lane_split == "heads" else group
    if fits(most):
        return most
    fitting = [rows for rows in range(unit, most, unit) if fits(rows)]
    if not fitting:
        raise DoesNotFitError("not one group fits")
    even = [rows for rows in fitting if rows % a_lane_each == 0]
    return max(even or fitting)
