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
from dsasim.dataflow.residency import Parts
from dsasim.dataflow.work import ArrayWork

Shape = tuple[int, int, int]
"""A product's M, K and N."""


def pe_grid(arch: ArchConfig) -> SystolicArray:
    """The PE array of a design as a systolic array."""
    config = arch.pe_array
    rows = config.lanes * arch.scheduler.token_parallelism
    return SystolicArray(rows, config.macs_per_row, config.stationary, config.pipelined_folds)


def key_parts(row_spans: NDArray[np.int64], tile_rows: int, capacity: int) -> Parts:
    """Each tile in as few runs of keys, about equally long, as fit a pool of `capacity` vectors.

    Worked example: a span of 10 keys in a pool of 4 is cut into runs of 4, 4 and 2 keys.
    """
    runs = []
    for at, tile in enumerate(_tiles(row_spans, tile_rows)):
        span = int(tile.max())
        length = max(1, -(-span // max(1, -(-span // capacity))))
        runs += [(at, first, min(span, first + length)) for first in range(0, max(1, span), length)]
    unions = [np.arange(first, end, dtype=np.int32) for _, first, end in runs]
    union_ptr = np.concatenate([[0], np.cumsum([len(union) for union in unions])]).astype(np.int64)
    tiles = np.array([at for at, _, _ in runs], dtype=np.int64)
    return Parts(tiles, np.zeros((len(runs), 4), np.int64), union_ptr, np.concatenate(unions))


def score_work(
    arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int, parts: Parts | None = None
) -> ArrayWork:
    """S = Q K^T of a head, a job a tile, or one for each of `parts`.

    `row_spans` [L_q]: keys from 0 that a row may attend to. Q is read again for every column fold of keys but the
    first, where it is not what the PEs hold.
    """
    jobs = _jobs(row_spans, tile_rows, parts)
    shapes = [[(rows, d_head, span) for rows, span in _blocks(arch, spans)] for spans in jobs]
    once = [len(spans) * d_head if first else 0 for spans, first in zip(jobs, _first_of_tile(jobs, parts), strict=True)]
    return _head_work(arch, arch.buffers.k, shapes, d_head, once)


def output_work(
    arch: ArchConfig, row_spans: NDArray[np.int64], tile_rows: int, d_head: int, parts: Parts | None = None
) -> ArrayWork:
    """O = P V of a head, a job a tile, or one for each of `parts`, whose sums meet in the output buffer.

    P is read again for every column fold of d_head but the first, and between a row's own span and its block's.
    """
    jobs = _jobs(row_spans, tile_rows, parts)
    shapes = [[(rows, span, d_head) for rows, span in _blocks(arch, spans)] for spans in jobs]
    work = _head_work(arch, arch.buffers.v, shapes, d_head, [int(spans.sum()) for spans in jobs])
    later = [0 if first else len(spans) for spans, first in zip(jobs, _first_of_tile(jobs, parts), strict=True)]
    return work._replace(partial_sums=work.partial_sums + d_head * np.array(later, dtype=np.int64))


def _first_of_tile(jobs: list[NDArray[np.int64]], parts: Parts | None) -> list[bool]:
    """Whether each job is its tile's first."""
    if parts is None:
        return [True] * len(jobs)
    first: list[bool] = (np.diff(parts.tile, prepend=-1) != 0).tolist()
    return first


def _jobs(row_spans: NDArray[np.int64], tile_rows: int, parts: Parts | None) -> list[NDArray[np.int64]]:
    """The spans of the rows of each job: keys of the tile, or of the part, that each row may attend to."""
    tiles = _tiles(row_spans, tile_rows)
    if parts is None:
        return tiles
    jobs = []
    for at, tile in enumerate(parts.tile.tolist()):
        keys = parts.union(at)
        first = int(keys[0]) if len(keys) else 0
        jobs.append(np.clip(tiles[tile] - first, 0, len(keys)))
    return jobs


def _tiles(row_spans: NDArray[np.int64], tile_rows: int) -> list[NDArray[np.int64]]:
    return [row_spans[first : first + tile_rows] for first in range(0, len(row_spans), tile_rows)]


def _blocks(arch: ArchConfig, spans: NDArray[np.int64]) -> list[tuple[int, int]]:
    """(rows, span) of the rows of a job that go along the keys together."""
    grid = pe_grid(arch)
    rows = grid.rows if grid.stationary == "output" else len(spans)
    return [(len(block), int(block.max())) for block in _tiles(spans, rows)]


def _head_work(
    arch: ArchConfig,
    buffer: BufferConfig,
    tiles: list[list[Shape]],
    d_head: int,
    once: list[int],
) -> ArrayWork:
    """Time of each job's products, and what they read; `once`: elements of Q or P that each would read at the least."""
    grid, lanes = pe_grid(arch), arch.pe_array.lanes
    cycles = np.array([max(1, _cycles(arch, buffer, shapes)) for shapes in tiles], dtype=np.int64)
    busy = np.array([max(1, grid.cycles([grid.folds(*shape) for shape in shapes])) for shapes in tiles], dtype=np.int64)
    traffic = [[grid.traffic(*shape) for shape in shapes] for shapes in tiles]
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


def _cycles(arch: ArchConfig, buffer: BufferConfig, shapes: list[Shape]) -> int:
    """Time of a tile's products with the ports that `buffer` has."""
    grid = pe_grid(arch)
    width = grid.rows if grid.stationary == "input" else grid.columns
    stretch = operand_stretch(width * arch.pe_array.bits, buffer)
    held = grid.stationary == "weight"
    return grid.cycles([grid.folds(*shape) for shape in shapes], 1 if held else stretch, stretch if held else 1)
