"""Where tensors lie in DRAM, what a transfer moves, and how many rows a tile has (rules "Memory map", "Tiles")."""

from collections.abc import Iterable
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


class Need(NamedTuple):
    """What a buffer must hold: `resident` bytes always, and in each slot so much a row, of which scores may spill."""

    buffer: str
    size: int
    slots: int
    row_bytes: int
    score_bytes: int = 0
    resident: int = 0

    @property
    def room(self) -> int:
        """Bytes of a slot."""
        return max(0, self.size - self.resident) // self.slots

    def holds(self, rows: int) -> bool:
        """Whether a slot holds so many rows with their scores."""
        return rows * (self.row_bytes + self.score_bytes) <= self.room

    def held_scores(self, rows: int) -> int:
        """Bytes of scores that a slot holds beside all else of so many rows; without it the design is refused."""
        held = self.room - rows * self.row_bytes
        if held < 0 or not self.score_bytes:
            raise DoesNotFitError(self.buffer)
        return held


def slots_for(wanted: int, room: int, least: int) -> int:
    """As many slots as wanted if each holds the smallest tile; as many as do else, and one at least."""
    while wanted > 1 and wanted * least > room:
        wanted -= 1
    return wanted


def predictor_need(buffer: Any, least_rows: int, keys: int, kv_heads: int, work: Prediction) -> Need:
    """P, XP, K~ and slots of weights of `kv_heads` always; X, Q~ and S~ in slots of tiles."""
    slots = slots_of(buffer)
    bits = (
        work.d_model * work.k * TERNARY_BITS
        + sum(work.input_rows) * work.columns * work.bits
        + kv_heads * keys * work.rank * work.bits
        + slots * kv_heads * work.columns * work.rank * (work.sharing + 1) * work.bits
    )
    resident = ceil_div(bits, 8)
    row = work.d_model * INPUT_BITS // 8 + ceil_div(work.rank * work.bits, 8)
    scores = keys * work.score_bytes
    slots = slots_for(slots, buffer.bytes - resident, least_rows * (row + scores))
    return Need("predictor", buffer.bytes, slots, row, scores, resident)


def slots_of(buffer: Any) -> int:
    """Slots that a buffer is said to have."""
    slots: int = buffer.num_slots or (2 if buffer.double_buffered else 1)
    return slots


def smallest_tile(arch: Any) -> int:
    """One group, or one of every head side by side."""
    group: int = arch.scheduler.token_parallelism
    return group * arch.pe_array.lanes if arch.pe_array.lane_split == "heads" else group


def input_rows(arch: Any, need: Need | None) -> int:
    """Rows of a tile of X: whole groups, as many as the predictor's buffer alone holds, up to `scheduler.tile_rows`."""
    unit, most = smallest_tile(arch), arch.scheduler.tile_rows
    if need is None or need.holds(most):
        return most
    return max([rows for rows in range(unit, most, unit) if need.holds(rows)], default=unit)


def tile_rows(arch: Any, needs: list[Need]) -> int:
    """The most whole groups, up to `scheduler.tile_rows`, that fit; if fewer, the same number for every lane.

    Where a buffer does not hold the smallest tile's scores, that tile it is, and they spill.
    """
    unit, most = smallest_tile(arch), arch.scheduler.tile_rows
    if all(need.holds(most) for need in needs):
        return most
    fitting = [rows for rows in range(unit, most, unit) if all(need.holds(rows) for need in needs)] or [unit]
    even = [rows for rows in fitting if rows % (arch.scheduler.token_parallelism * arch.pe_array.lanes) == 0]
    return max(even or fitting)
