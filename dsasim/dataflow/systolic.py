"""Attention as dense products on the PE array: lanes * T rows by macs_per_row columns of PEs (`dataflow.folds`).

S = Q K^T of a tile has M = its rows, K = d_head and N = its keys; O = P V has K = its keys and N = d_head. With outputs
stationary a fold holds R query rows, and each row fold goes only as far along the keys as its longest row may attend;
otherwise all rows of the tile meet every key up to the tile's longest span.

What K and V (in turn the second operand) ask of their buffer's ports: outputs stationary, C elements a cycle while
streaming; weights stationary, C a cycle while they enter the PEs; inputs stationary, R a cycle while streaming. Ports
that are slower stretch that phase, and the excess is bank conflict.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import ArchConfig, BufferConfig
from dsasim.dataflow.folds import SystolicArray, operand_stretch
from dsasim.dataflow.work import ArrayWork

Shape = tuple[int, int, int]
"""A product's M, K and N."""


def pe_grid(arch: ArchConfig) -> SystolicArray:
    """The PE array of a design as a systolic array."""
    config = arch.pe_array
    rows = config.lanes * arch.scheduler.token_parallelism
    return SystolicArray(rows, config.macs_per_row, config.stationary, config.pipelined_folds)


def score_work(arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int) -> ArrayWork:
    """S = Q K^T of a head. `row_spans` [L_q]: keys from 0 that a row may attend to.

    Q is read again for every column fold of keys but the first, where it is not what the PEs hold.
    """
    tiles = [_blocks(arch, tile) for tile in _tiles(row_spans, tile_rows)]
    shapes = [[(rows, d_head, span) for rows, span in blocks] for blocks in tiles]
    return _head_work(arch, arch.buffers.k, shapes, d_head, len(row_spans) * d_head)


def output_work(arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int) -> ArrayWork:
    """O = P V of a head.

    P is read again for every column fold of d_head but the first, and between a row's own span and its block's.
    """
    tiles = [_blocks(arch, tile) for tile in _tiles(row_spans, tile_rows)]
    shapes = [[(rows, span, d_head) for rows, span in blocks] for blocks in tiles]
    return _head_work(arch, arch.buffers.v, shapes, d_head, int(row_spans.sum()))


def _tiles(row_spans: NDArray[np.int64], tile_rows: int) -> list[NDArray[np.int64]]:
    return [row_spans[first : first + tile_rows] for first in range(0, len(row_spans), tile_rows)]


def _blocks(arch: ArchConfig, tile: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(rows, span) of the parts of a tile that go along the keys together."""
    grid = pe_grid(arch)
    rows = grid.rows if grid.stationary == "output" else len(tile)
    return [(len(block), int(block.max())) for block in _tiles(tile, rows)]


def _head_work(
    arch: ArchConfig, buffer: BufferConfig, tiles: list[list[Shape]], d_head: int, least_reads: int
) -> ArrayWork:
    """Time of each tile's products, and what all of them read; `least_reads` elements of Q or P would do."""
    grid, lanes = pe_grid(arch), arch.pe_array.lanes
    cycles = np.array([max(1, _cycles(arch, buffer, shapes)) for shapes in tiles], dtype=np.int64)
    busy = np.array([max(1, grid.cycles([grid.folds(*shape) for shape in shapes])) for shapes in tiles], dtype=np.int64)
    traffic = [grid.traffic(*shape) for shapes in tiles for shape in shapes]
    return ArrayWork(
        cycles,
        np.repeat(busy[:, None], lanes, axis=1),
        np.repeat((cycles - busy)[:, None], lanes, axis=1),
        vector_reads=sum(each.right for each in traffic) // d_head,
        rereads=max(0, sum(each.left for each in traffic) - least_reads),
        partial_sums=sum(each.partial_sums for each in traffic),
    )


def _cycles(arch: ArchConfig, buffer: BufferConfig, shapes: list[Shape]) -> int:
    """Time of a tile's products with the ports that `buffer` has."""
    grid = pe_grid(arch)
    width = grid.rows if grid.stationary == "input" else grid.columns
    stretch = operand_stretch(width * arch.pe_array.bits, buffer.banks, buffer.port_bytes)
    held = grid.stationary == "weight"
    return grid.cycles([grid.folds(*shape) for shape in shapes], 1 if held else stretch, stretch if held else 1)
