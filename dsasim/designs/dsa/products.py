"""SDDMM and SpMM of a head group's rows on the array: one job a tile, or one a key block of a cache."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.dataflows.base import ArrayWork, Rows, dataflow_of
from dsasim.dataflows.key_blocks import KeyBlocks
from dsasim.dataflows.plan import Plan
from dsasim.designs.dsa.context import Context
from dsasim.designs.dsa.events import tile_sums
from dsasim.designs.dsa.shape import LayerShape
from dsasim.designs.dsa.tile import Block
from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Events, LaneCycles
from dsasim.mappings.dense_blocks import sum_bytes


class SparseProduct(NamedTuple):
    """A product by the buffers it uses: its vectors, what they are multiplied with, and where results go."""

    does: str
    vectors: str
    left: str
    results: str

    def events(
        self,
        sizes: tuple[int, int, int],
        row_bytes: int,
        plan_bytes: int,
        served: int,
        vectors: int,
        rereads: int,
        sums: int,
    ) -> Events:
        """What a job counts; `sizes`: d_head, bytes of an element and of an unfinished sum.

        The plan is read, and K (V) vectors are fetched. SDDMM reads Q and writes kept scores, SpMM reads these and
        writes the output's rows (`row_bytes` of either). A systolic array reads the left operand again for each column
        fold (`rereads`), and its partial sums, as wide as the accumulators, leave and come back through the results'
        buffer.
        """
        d_head, element, sum_size = sizes
        once, made = row_bytes, served * element
        if self.left == "score":
            once, made = made, once
        return {
            f"macs_{self.does.lower()}": served * d_head,
            f"{self.vectors}_vector_reads": vectors,
            f"{self.vectors}_buffer_read_bytes": vectors * d_head * element,
            f"{self.left}_buffer_read_bytes": once + rereads * element,
            f"{self.results}_buffer_write_bytes": made + sums * sum_size,
            f"{self.results}_buffer_read_bytes": sums * sum_size,
            "mask_buffer_read_bytes": plan_bytes,
        }


SDDMM, SPMM = SparseProduct("SDDMM", "k", "q", "score"), SparseProduct("SpMM", "v", "score", "output")


def products(
    context: Context,
    shape: LayerShape,
    kv_heads: Sequence[int],
    num_heads: int,
    plan: Plan,
    plan_bytes: Sequence[int],
) -> tuple[list[list[Block]], list[list[Block]]]:
    """Both products of a run of tiles, by the design's dataflow; their fetches change the caches.

    `plan_bytes`: of each tile, which either product reads.
    """
    arch, d_head = context.arch, context.layer.d_head
    dataflow = dataflow_of(arch)
    rows = Rows(plan, shape.row_spans, shape.tile_rows, shape.groups_per_tile, d_head)
    blocks = []
    for product in (SDDMM, SPMM):
        capacity = context.vectors[product.vectors].block_vectors
        blocks.append(None if capacity is None else dataflow.key_blocks(rows, capacity))
    row_bytes = [num_heads * count * d_head * arch.pe_array.bits // 8 for _, count, _ in shape.tiles]
    once = list(zip(row_bytes, plan_bytes, strict=True))
    sddmm, spmm = (
        _blocks(context, shape, product, work, plan, cut, kv_heads, once)
        for product, work, cut in zip((SDDMM, SPMM), dataflow.products(arch, rows, *blocks), blocks, strict=True)
    )
    return sddmm, spmm


def _blocks(
    context: Context,
    shape: LayerShape,
    product: SparseProduct,
    work: ArrayWork,
    plan: Plan,
    blocks: KeyBlocks | None,
    kv_heads: Sequence[int],
    once: Sequence[tuple[int, int]],
) -> list[list[Block]]:
    """The blocks of each tile; `once`: bytes of a tile's rows of Q (or output) and of its plan, read once."""
    bits = context.arch.pe_array.bits
    sizes = context.layer.d_head, bits // 8, sum_bytes(context.arch)
    tile_of = list(range(len(shape.tiles))) if blocks is None else blocks.tile.tolist()
    fetches = [None] * len(tile_of) if blocks is None else context.vectors[product.vectors].fetches(kv_heads, blocks)
    cycles, busy, conflict, *counted = (each.tolist() for each in work)
    tiles: list[list[Block]] = [[] for _ in shape.tiles]
    served = _served(plan, shape.groups_per_tile, blocks).tolist()
    for at, (tile, fetch, *counts) in enumerate(zip(tile_of, fetches, served, *counted, strict=True)):
        events = product.events(sizes, *((0, 0) if tiles[tile] else once[tile]), *counts)
        lanes = LaneCycles(busy[at], conflict[at])
        tiles[tile].append((Work(cycles[at], 0, events, product.does, lanes), fetch))
    return tiles


def _served(plan: Plan, groups_per_tile: int, blocks: KeyBlocks | None) -> NDArray[np.int64]:
    """Kept positions of each job: those that its loads serve; a systolic key block's are those of its keys."""
    if blocks is None:
        return np.array(tile_sums(plan.group_served(), groups_per_tile))
    if blocks.bounds[:, 1].all():
        served: NDArray[np.int64] = np.diff(plan.served()[plan.load_ptr[blocks.bounds[:, 2:]]], axis=1)[:, 0]
        return served
    ends = plan.load_ptr[plan.step_ptr[np.append(np.arange(0, len(plan.step_ptr) - 1, groups_per_tile), -1)]]
    rows = np.bitwise_count(plan.load_rows)
    found = []
    for block, tile in enumerate(blocks.tile.tolist()):
        loads = slice(ends[tile], ends[tile + 1])
        wanted = np.isin(plan.load_key[loads], blocks.keys_of(block))
        found.append(int(rows[loads][wanted].sum(dtype=np.int64)))
    return np.array(found, dtype=np.int64)
