"""`systolic`: attention as dense products on lanes * T rows by macs_per_row columns of PEs (`mappings.folds`).


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
from dsasim.dataflows.base import ArrayWork, Dataflow, Rows
from dsasim.dataflows.key_blocks import KeyBlocks
from dsasim.mappings.folds import operand_stretch, pe_grid

Int64 = NDArray[np.int64]
Shape = tuple[int, int, int]
"""A product's M, K and N."""


def key_runs(row_spans: Int64, tile_rows: int, capacity: int) -> KeyBlocks:
    """Each tile in as few runs of keys, about equally long, as fit a cache of `capacity` vectors.

    Worked example: a span of 10 keys in a cache of 4 is cut into runs of 4, 4 and 2 keys.
    """
    runs = []
    for at, tile in enumerate(_tiles(row_spans, tile_rows)):
        span = int(tile.max())
        length = max(1, -(-span // max(1, -(-span // capacity))))
        runs += [(at, first, min(span, first + length)) for first in range(0, max(1, span), length)]
    keys = [np.arange(first, end, dtype=np.int32) for _, first, end in runs]
    key_ptr = np.cumsum([0, *map(len, keys)], dtype=np.int64)
    tiles = np.array([at for at, _, _ in runs], dtype=np.int64)
    return KeyBlocks(tiles, np.zeros((len(runs), 4), np.int64), key_ptr, np.concatenate(keys))


def score_work(
    arch: ArchConfig, row_spans: Int64, tile_rows: int, d_head: int, blocks: KeyBlocks | None = None
) -> ArrayWork:
    """S = Q K^T of a head, a job a tile, or one for each of its key `blocks`.

    `row_spans` [L_q]: keys from 0 that a row may attend to. Q is read again for every column fold of keys but the
    first, where it is not what the PEs hold.
    """
    jobs = _jobs(row_spans, tile_rows, blocks)
    shapes = [[(rows, d_head, span) for rows, span in _together(arch, spans)] for _, spans in jobs]
    return _head_work(arch, arch.buffers.k, shapes, d_head, [first * len(spans) * d_head for first, spans in jobs])


def output_work(
    arch: ArchConfig, row_spans: Int64, tile_rows: int, d_head: int, blocks: KeyBlocks | None = None
) -> ArrayWork:
    """O = P V of a head, a job a tile, or one for each of its key `blocks`, whose sums meet in the output buffer.

    P is read again for every column fold of d_head but the first, and between a row's own span and its block's.
    """
    jobs = _jobs(row_spans, tile_rows, blocks)
    shapes = [[(rows, span, d_head) for rows, span in _together(arch, spans)] for _, spans in jobs]
    work = _head_work(arch, arch.buffers.v, shapes, d_head, [int(spans.sum()) for _, spans in jobs])
    later = np.array([(not first) * len(spans) * d_head for first, spans in jobs], dtype=np.int64)
    return work._replace(partial_sums=work.partial_sums + later)


def _jobs(row_spans: Int64, tile_rows: int, blocks: KeyBlocks | None) -> list[tuple[bool, Int64]]:
    """Whether each job is its tile's first, and the keys of the tile, or of the block, that each row may attend to."""
    tiles = _tiles(row_spans, tile_rows)
    if blocks is None:
        return [(True, tile) for tile in tiles]
    jobs = []
    for at, tile in enumerate(blocks.tile.tolist()):
        keys = blocks.keys_of(at)
        first = int(keys[0]) if len(keys) else 0
        jobs.append((not at or tile != blocks.tile[at - 1], np.clip(tiles[tile] - first, 0, len(keys))))
    return jobs


def _tiles(row_spans: Int64, tile_rows: int) -> list[Int64]:
    return [row_spans[first : first + tile_rows] for first in range(0, len(row_spans), tile_rows)]


def _together(arch: ArchConfig, spans: Int64) -> list[tuple[int, int]]:
    """(rows, span) of the rows of a job that go along the keys together."""
    grid = pe_grid(arch)
    rows = grid.rows if grid.stationary == "output" else len(spans)
    return [(len(block), int(block.max())) for block in _tiles(spans, rows)]


def _head_work(
    arch: ArchConfig, buffer: BufferConfig, jobs: list[list[Shape]], d_head: int, once: list[int]
) -> ArrayWork:
    """Time of each job's products with the ports that `buffer` has, and what they read.

    `once`: elements of Q or P that each would read at the least.
    """
    grid, lanes = pe_grid(arch), arch.pe_array.lanes
    held = grid.stationary == "weight"
    width = grid.rows if grid.stationary == "input" else grid.columns
    stretch = operand_stretch(width * arch.pe_array.bits, buffer)
    stretches = (1, stretch) if held else (stretch, 1)
    folds = [[grid.folds(*shape) for shape in shapes] for shapes in jobs]
    busy = np.array([max(1, grid.cycles(each)) for each in folds], dtype=np.int64)
    cycles = np.array([max(1, grid.cycles(each, *stretches)) for each in folds], dtype=np.int64)
    traffic = [[grid.traffic(*shape) for shape in shapes] for shapes in jobs]
    left, right, sums = (
        np.array([sum(getattr(each, side) for each in job) for job in traffic], dtype=np.int64)
        for side in ("left", "right", "partial_sums")
    )
    return ArrayWork(
        cycles,
        np.repeat(busy[:, None], lanes, axis=1),
        np.repeat((cycles - busy)[:, None], lanes, axis=1),
        vector_reads=right // d_head,
        rereads=np.maximum(0, left - np.array(once, dtype=np.int64)),
        partial_sums=sums,
    )


class Systolic(Dataflow):
    """Folds of dense products."""

    summary = "dense products, every position"
    dense_only = True
    lock_step = True

    def key_blocks(self, rows: Rows, capacity: int) -> KeyBlocks:
        """Runs of keys, about equally long."""
        return key_runs(rows.row_spans, rows.tile_rows, capacity)

    def products(
        self, arch: ArchConfig, rows: Rows, k: KeyBlocks | None, v: KeyBlocks | None
    ) -> tuple[ArrayWork, ArrayWork]:
        """S = Q K^T and O = P V."""
        return (
            score_work(arch, rows.row_spans, rows.tile_rows, rows.d_head, k),
            output_work(arch, rows.row_spans, rows.tile_rows, rows.d_head, v),
        )


DATAFLOW = Systolic
