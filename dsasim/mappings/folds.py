"""Dense products on a systolic array of R x C PEs, cut into folds: how many, and how long they take.

A product of M x K by K x N keeps one operand in the PEs while the others move one PE a cycle, left to right and top to
bottom. One fold is what the PEs hold at a time:

    stationary   a PE holds                  folds                      a fold streams
    output       a sum of the result         ceil(M / R) * ceil(N / C)  K
    weight       an element of the K x N     ceil(K / R) * ceil(N / C)  M
    input        an element of the M x K     ceil(K / R) * ceil(M / C)  N

R + C - 2 cycles of skew lie between the first and the last PE. Each column has one port, so what the PEs hold enters
or leaves a column one element a cycle, R cycles a fold: weights and inputs from the top before a fold, finished sums
through the bottom after it (where more than one fold lies along K, partial sums meet in accumulators at the bottom).

Pipelined: each PE has a second register, so that this happens while the next or last fold streams, and folds follow
each other every max(stream, R) cycles. Until the last result has left the array,

    cycles = (folds - 1) * max(stream, R) + stream + 2 R + C - 2

whatever is stationary. Worked example: 64 x 64 x 64 on 16 x 16, outputs stationary: 15 * 64 + 64 + 46 = 1070 cycles.

Drained: a fold begins when the one before has ended, as SCALE-Sim 3 counts it (github.com/scalesim-project/SCALE-Sim):

    cycles = folds * (stream + R + C - 2)          outputs stationary: sums stay in the PEs, leaving is free of charge
    cycles = folds * (stream + 2 R + C - 2)        weights or inputs stationary

The same example: 16 * (64 + 30) = 1504. SCALE-Sim prints the number of the last cycle, counted from 0: 1503.
Folds at the edges of a product take as long as full ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dsasim.config.schema import ArchConfig, SramConfig

Stationary = Literal["output", "weight", "input"]


@dataclass(frozen=True)
class Folds:
    """`count` folds, each streaming for `stream` cycles."""

    count: int
    stream: int


@dataclass(frozen=True)
class Traffic:
    """Elements that cross the array's edges in one product of M x K by K x N."""

    left: int
    """Of the M x K operand: once if it is held, else once for each column fold of the result."""
    right: int
    """Of the K x N operand: once if it is held, else once for each fold of the result's rows."""
    partial_sums: int
    """Sums that leave unfinished and are added to later, because more than one fold lies along K."""


@dataclass(frozen=True)
class SystolicArray:
    """R x C PEs, what stays in them, and whether folds overlap."""

    rows: int
    columns: int
    stationary: Stationary = "output"
    pipelined: bool = True

    def folds(self, rows: int, inner: int, columns: int) -> Folds:
        """The folds of a product of rows x inner (M x K) by inner x columns (K x N)."""
        down, across, stream = {
            "output": (rows, columns, inner),
            "weight": (inner, columns, rows),
            "input": (inner, rows, columns),
        }[self.stationary]
        return Folds(-(-down // self.rows) * -(-across // self.columns), stream)

    def traffic(self, rows: int, inner: int, columns: int) -> Traffic:
        """What a product reads and hands on.

        Worked example: 5 x 6 x 7 on 2 x 3, weights stationary: 30 * ceil(7 / 3) = 90 left, 42 right, and two of the
        three folds along K leave 35 partial sums each.
        """
        left, right = rows * inner, inner * columns
        if self.stationary == "output":
            return Traffic(left * -(-columns // self.columns), right * -(-rows // self.rows), 0)
        partial_sums = rows * columns * max(0, -(-inner // self.rows) - 1)
        if self.stationary == "weight":
            return Traffic(left * -(-columns // self.columns), right, partial_sums)
        return Traffic(left, right * -(-rows // self.columns), partial_sums)

    def cycles(self, parts: Sequence[Folds], stream_stretch: int = 1, hold_stretch: int = 1) -> int:
        """Cycles of folds that follow each other without a gap between parts; 0 if there are none.

        Where buffer ports are too slow, a streamed element takes `stream_stretch` cycles.
        One that a PE will hold takes `hold_stretch`.
        Parts of different lengths (only outputs come in such) follow the module's rule fold by fold.

        Worked example: outputs of lengths 8 and 2 on 4 x 4 take 8 + max(2, 4) and then 2 * 4 + 2, 22 cycles.
        """
        streams = [(part.count, part.stream * stream_stretch) for part in parts if part.count and part.stream]
        if not streams:
            return 0
        port = self.rows * (1 if self.stationary == "output" else hold_stretch)
        skew = self.rows + self.columns - 2
        if not self.pipelined:
            filling = 0 if self.stationary == "output" else port
            return sum(count * (stream + filling + skew) for count, stream in streams)
        first = streams[0][1]
        return sum(count * max(stream, port) for count, stream in streams) - max(0, port - first) + port + skew


def operand_stretch(bits_per_cycle: int, buffer: SramConfig) -> int:
    """Cycles a buffer needs to deliver what the array takes in one; 1 if its ports keep up.

    Worked example: two banks with ports of 8 bytes deliver 128 bits in a cycle, and 129 in two.
    """
    return max(1, -(-bits_per_cycle // (8 * buffer.banks * buffer.port_bytes)))


def pe_grid(arch: ArchConfig) -> SystolicArray:
    """The PE array of a design as a systolic array."""
    config = arch.pe_array
    rows = config.lanes * arch.scheduler.token_parallelism
    return SystolicArray(rows, config.macs_per_row, config.stationary, config.pipelined_folds)
