"""Dense products on a systolic array, output-stationary: each PE accumulates one output while operands stream past.

An array of R x C PEs works through the outputs in folds of R rows by C columns. A fold needs `inner` cycles; the next
fold's operands follow without a gap, and the skew of the wave front is paid once:

    cycles = ceil(rows / R) * ceil(columns / C) * inner + R + C - 2

Worked example: 64 x 64 x 64 on 16 x 16 PEs: 4 * 4 * 64 + 30 = 1054 cycles. Arrays that drain between folds pay the skew
in each fold (SCALE-Sim 3 counts ceil(rows / R) * ceil(columns / C) * (inner + R + C - 2) - 1 = 1503).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.dataflow.work import ArrayWork


def fold_cycles(rows: int, inner: int, columns: int, array_rows: int, array_columns: int) -> int:
    """Cycles in which the folds of a rows x inner x columns product stream, without the skew."""
    return -(-rows // array_rows) * -(-columns // array_columns) * inner


def skew_cycles(array_rows: int, array_columns: int) -> int:
    """Fill and drain of the wave front, once a product."""
    return array_rows + array_columns - 2


def operand_stretch(bits_per_cycle: int, banks: int, port_bytes: int) -> int:
    """Cycles the buffer needs to deliver what the array consumes in one; 1 if its ports keep up."""
    return max(1, -(-bits_per_cycle // (8 * banks * port_bytes)))


def score_work(arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int) -> ArrayWork:
    """S = Q K^T of a head: folds of lanes * T rows by macs_per_row keys, each d_head cycles.

    `row_spans` [L_q]: keys from 0 that a row may attend to; a row fold computes up to its longest span.
    """
    width = arch.pe_array.macs_per_row
    return _head_work(arch, arch.buffers.k, row_spans, tile_rows, lambda span: fold_cycles(1, d_head, span, 1, width))


def output_work(arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int) -> ArrayWork:
    """O = P V of a head: folds of lanes * T rows by macs_per_row output columns, each as long as its span."""
    width = arch.pe_array.macs_per_row
    return _head_work(arch, arch.buffers.v, row_spans, tile_rows, lambda span: fold_cycles(1, span, d_head, 1, width))


def _head_work(
    arch: ArchConfig,
    buffer: BufferConfig,
    row_spans: NDArray[np.int64],
    tile_rows: int,
    row_fold_cycles: Callable[[int], int],
) -> ArrayWork:
    """Sum the row folds of each tile; K or V is read once per row fold, `macs_per_row` elements a cycle."""
    lanes, width = arch.pe_array.lanes, arch.pe_array.macs_per_row
    array_rows = lanes * arch.scheduler.token_parallelism
    stretch = operand_stretch(width * arch.pe_array.bits, buffer.banks, buffer.port_bytes)
    busy, conflict, reads = [], [], 0
    for first in range(0, len(row_spans), tile_rows):
        tile = row_spans[first : first + tile_rows]
        spans = [int(tile[row : row + array_rows].max()) for row in range(0, len(tile), array_rows)]
        streaming = sum(map(row_fold_cycles, spans))
        busy.append(max(1, streaming + skew_cycles(array_rows, width)))
        conflict.append(streaming * (stretch - 1))
        reads += sum(spans)
    return ArrayWork(
        np.add(busy, conflict),
        np.repeat(np.array(busy)[:, None], lanes, axis=1),
        np.repeat(np.array(conflict)[:, None], lanes, axis=1),
        reads,
    )
