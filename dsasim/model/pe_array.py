"""Sparse PE array: SDDMM and SpMM of each tile, one job at a time in a fixed order.

How long a job takes and how its lanes wait for each other is the dataflow's (`dataflow.token_parallel`,
`dataflow.systolic`). The order within a layer is S0, S1, P0, S2, P1, ... (S = SDDMM, P = SpMM), so that the softmax of
one tile runs beside the SDDMM of the next; that needs two score slots and two mask slots (a tile's plan stays in its
mask slot until its SpMM), else S0, P0, S1, P1, ...

A tile whose keys do not fit the K (V) buffer together is computed in parts (`dataflow.residency`), consecutive jobs of
the same tile: the first waits for the tile's operands and reserves its room, the last announces the tile's result.

The end of the last reader frees each slot: Q by its SDDMM, plan and scores by its SpMM, K and V by the last SDDMM and
SpMM of the kv head.
"""

from collections.abc import Iterator, Sequence

from simpy import Environment

from dsasim.model.flow import KVHead, Layer, PartInFlight, Tile
from dsasim.model.operands import Ready, Room
from dsasim.model.probe import Name
from dsasim.model.turns import ARRAY, array_order
from dsasim.model.unit import Process, Unit
from dsasim.model.waits import Wait
from dsasim.model.work import ArrayJob


class Lane(Unit):
    """The books of one lane; the array does one job at a time, so only the array itself waits for events."""


class PEArray(Unit):
    """All lanes; idle cycles are each lane's, time inside a job is split by the dataflow."""

    def __init__(self, env: Environment, num_lanes: int) -> None:
        super().__init__(env, ARRAY)
        self.lanes = [Lane(env, f"lane_{lane}") for lane in range(num_lanes)]

    def run(self, layer: Layer) -> Process:
        """Do the layer's SDDMMs and SpMMs in array order."""
        tiles = list(_with_kv_head(layer))
        for product, at in array_order(len(tiles), layer.work.slots.overlapped):
            kv_head, tile = tiles[at]
            yield from (self._sddmm if product == "S" else self._spmm)(layer, kv_head, tile)

    def _sddmm(self, layer: Layer, kv_head: KVHead, tile: Tile) -> Process:
        name = Name("SDDMM", tile.work.name)
        yield from self._parts(name, tile.sddmm, [*tile.planned, tile.q], layer.slots.score)
        layer.slots.q.release()
        if tile is kv_head.tiles[-1] and kv_head.work.k_read is not None:
            layer.slots.k.release()
        tile.scores.set()

    def _spmm(self, layer: Layer, kv_head: KVHead, tile: Tile) -> Process:
        yield from self._parts(Name("SpMM", tile.work.name), tile.spmm, [tile.to_multiply], layer.slots.output)
        layer.slots.score.release()
        if tile.work.scheduling is not None:
            layer.slots.mask.release()
        if tile is kv_head.tiles[-1] and kv_head.work.v_read is not None:
            layer.slots.v.release()
        tile.output.set()

    def _parts(self, name: Name, parts: Sequence[PartInFlight], operands: list[Ready], output: Room) -> Process:
        """Compute a product part by part; tile operands and room are the first part's affair."""
        for at, part in enumerate(parts):
            yield from self.wait([*operands, part.operand] if at == 0 else [part.operand], None if at else output)
            yield from self.compute(name, part.work.job)
            part.ended.set()

    def compute(self, name: Name, job: ArrayJob) -> Process:
        """Work on a job and keep each lane's books."""
        yield from self.spend(job.cycles)
        start = self.idle_since - job.cycles
        for lane, busy, conflict in zip(self.lanes, job.lane_busy, job.lane_conflict, strict=True):
            lane.book_job(name, start, busy, conflict, job.cycles - busy - conflict)

    def book_idle(self, waits: Sequence[Wait]) -> None:
        """Every lane is idle for the same reasons."""
        for lane in self.lanes:
            lane.book_idle(waits)


def _with_kv_head(layer: Layer) -> Iterator[tuple[KVHead, Tile]]:
    for kv_head in layer.kv_heads:
        for tile in kv_head.tiles:
            yield kv_head, tile
