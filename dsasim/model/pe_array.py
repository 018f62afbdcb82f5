"""Sparse PE array: SDDMM and SpMM of each tile, lanes in lock-step, one job at a time in a fixed order.

How long a job takes is the dataflow's (`dataflow.token_parallel`, `dataflow.systolic`). The order within a layer is
S0, S1, P0, S2, P1, ... (S = SDDMM, P = SpMM), so that the softmax of one tile runs beside the SDDMM of the next; that
needs two score slots and two mask slots (a tile's plan stays in its mask slot until its SpMM), else S0, P0, S1, P1, ...

The end of the last reader frees each slot: Q by its SDDMM, plan and scores by its SpMM, K and V by the last SDDMM and
SpMM of the kv head.
"""

from collections.abc import Iterator
from itertools import chain

from simpy import Environment

from dsasim.model.flow import KVHead, Layer, Tile
from dsasim.model.unit import Process, Unit
from dsasim.model.work import ArrayJob


def array_order(num_tiles: int, overlapped: bool) -> Iterator[tuple[str, int]]:
    """The array's jobs: ("S", tile) and ("P", tile).

    Worked example, three tiles overlapped: S0 S1 P0 S2 P1 P2.
    """
    for tile in range(num_tiles):
        yield "S", tile
        if not overlapped:
            yield "P", tile
        elif tile > 0:
            yield "P", tile - 1
    if overlapped and num_tiles:
        yield "P", num_tiles - 1


class Lane(Unit):
    """The books of one lane; the lanes move together, so only the array itself waits for events."""


class PEArray(Unit):
    """All lanes; idle cycles are each lane's, time inside a job is split by the dataflow."""

    def __init__(self, env: Environment, num_lanes: int) -> None:
        super().__init__(env, "pe_array")
        self.lanes = [Lane(env, f"lane_{lane}") for lane in range(num_lanes)]

    def run(self, layer: Layer) -> Process:
        """Do the layer's SDDMMs and SpMMs in array order."""
        tiles = list(chain.from_iterable(((kv, tile) for tile in kv.tiles) for kv in layer.kv_heads))
        overlapped = layer.slots.score.count >= 2 and layer.slots.mask.count >= 2
        for product, at in array_order(len(tiles), overlapped):
            kv_head, tile = tiles[at]
            yield from (self._sddmm if product == "S" else self._spmm)(layer, kv_head, tile)

    def _sddmm(self, layer: Layer, kv_head: KVHead, tile: Tile) -> Process:
        plan = [] if tile.work.scheduling is None else [tile.plan]
        yield from self.wait([*plan, tile.q, kv_head.k], layer.slots.score)
        yield from self._compute(tile.work.sddmm)
        layer.slots.q.release()
        if tile is kv_head.tiles[-1]:
            layer.slots.k.release()
        tile.scores.set()

    def _spmm(self, layer: Layer, kv_head: KVHead, tile: Tile) -> Process:
        yield from self.wait([tile.probabilities, kv_head.v], layer.slots.output)
        yield from self._compute(tile.work.spmm)
        layer.slots.score.release()
        if tile.work.scheduling is not None:
            layer.slots.mask.release()
        if tile is kv_head.tiles[-1]:
            layer.slots.v.release()
        tile.output.set()

    def _compute(self, job: ArrayJob) -> Process:
        yield self.env.timeout(job.cycles)
        self.idle_since = int(self.env.now)
        for lane, busy, conflict in zip(self.lanes, job.lane_busy, job.lane_conflict, strict=True):
            lane.busy_cycles += busy
            lane.stall_cycles["bank_conflict"] += conflict
            lane.stall_cycles["imbalance"] += job.cycles - busy - conflict

    def book_idle(self, reasons: dict[str, int]) -> None:
        """Every lane is idle for the same reasons."""
        for lane in self.lanes:
            lane.stall_cycles.update(reasons)
