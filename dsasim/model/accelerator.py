"""The machine: the only place where units are wired to each other.

              X, W~            S~                 mask             plan
    DRAM ─► predictor unit ─► mask generator ─► scheduler ─► PE array ─► output ─► DRAM
     ▲                                             Q, K, V ─►   ▲ │
     └──── six DMA engines                        scores ─► softmax unit

A layer starts when every job of the layer before it has ended, and so does a phase of dense products before or after a
layer's attention (`model.dense_phase`). Within a layer all units run at once, each through its own fixed list of jobs;
what couples them is operands, buffer slots and the memory, and in a coupled design the turns that predictor and PE
array take on one composable array.
"""

from collections.abc import Iterable, Iterator, Sequence

from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.errors import DeadlockError
from dsasim.model.dense_phase import DensePhase, DenseWork
from dsasim.model.dma import DmaEngine, DmaJob
from dsasim.model.dram import Transfer
from dsasim.model.flow import Layer, PartInFlight, Tile
from dsasim.model.mask_generator import MaskGenerator
from dsasim.model.operands import After, Ready, Slots
from dsasim.model.pe_array import PEArray
from dsasim.model.predictor import PredictorUnit
from dsasim.model.probe import NO_PROBE, Probe
from dsasim.model.scheduler import Scheduler
from dsasim.model.softmax_unit import SoftmaxUnit
from dsasim.model.spill import predicted_score_jobs, score_jobs
from dsasim.model.turns import ARRAY, shared_order, take_turns
from dsasim.model.unit import Process, Unit
from dsasim.model.work import LayerWork

STREAMS = ("predictor", "q", "k", "v", "score", "output")
"""DMA streams, in the order in which the memory controller takes simultaneous posts."""


class Accelerator:
    """All units of a design, ready to run layers."""

    def __init__(self, env: Environment, arch: ArchConfig, probe: Probe = NO_PROBE) -> None:
        self.env = env
        self.arch = arch
        self.probe = probe
        self.dram = probe.dram(env, arch, len(STREAMS))
        self.predictor = PredictorUnit(env)
        self.mask_generator = MaskGenerator(env)
        self.scheduler = Scheduler(env)
        self.pe_array = PEArray(env, arch.pe_array.lanes)
        self.softmax = SoftmaxUnit(env)
        self.dma = {
            name: DmaEngine(env, f"dma_{name}", stream, self.dram, arch.dma.open_transfers)
            for stream, name in enumerate(STREAMS)
        }
        self.ends: list[list[int]] = []
        """Per attention layer: when the last output of each query head reached DRAM; per dense phase: its end."""
        self._last_turn: str | None = None
        for unit in (*self.units, *self.pe_array.lanes):
            unit.probe = probe

    @property
    def units(self) -> list[Unit]:
        """All units with an order of jobs, the DRAM apart."""
        front = [self.predictor, self.mask_generator, self.scheduler, self.pe_array, self.softmax]
        return [*front, *self.dma.values()]

    def run(self, works: Iterable[LayerWork | DenseWork]) -> int:
        """Run all layers and phases; return the total cycles. Raises DeadlockError if no unit can proceed."""
        whole = self.env.process(self._run_all(works))
        self.env.run()
        if whole.is_alive:
            waits = "; ".join(f"{u.name} waits for {u.waiting_for}" for u in self.units if u.waiting_for != "nothing")
            raise DeadlockError(f"no unit can proceed at cycle {self.env.now}: {waits}")
        total = int(self.env.now)
        for unit in self.units:
            unit.finish(total)
        return total

    def _run_all(self, works: Iterable[LayerWork | DenseWork]) -> Process:
        for work in works:
            for unit in self.units:
                unit.layer_began = int(self.env.now)
            yield from self._dense(work) if isinstance(work, DenseWork) else self._attention(work)

    def _attention(self, work: LayerWork) -> Process:
        layer = Layer(self.env, work, self.probe)
        if self.arch.pe_array.organisation == "coupled" and work.projections:
            self._couple(work)
        yield self.env.all_of([self.env.process(process) for process in self._processes(layer)])
        self.ends.append(list(_head_ends(layer)))

    def _dense(self, work: DenseWork) -> Process:
        phase = DensePhase(self.env, work, self.probe)
        processes = [
            phase.multiply(self.pe_array),
            self.dma["q"].run(phase.activation_reads()),
            self.dma["k"].run(phase.weight_reads()),
            self.dma["output"].run(phase.result_writes()),
        ]
        yield self.env.all_of([self.env.process(process) for process in processes])
        self.ends.append([int(self.env.now)])
        self._last_turn = ARRAY

    def _couple(self, work: LayerWork) -> None:
        """Let predictor and PE array take turns."""
        order = list(shared_order(work))
        turns = take_turns(self.env, order, self.arch.pe_array.switch_cycles, self._last_turn)
        self.predictor.turns, self.pe_array.turns = turns[self.predictor.name], turns[self.pe_array.name]
        self._last_turn = order[-1]

    def _processes(self, layer: Layer) -> Iterator[Process]:
        """What every unit does in this layer; a unit whose work is absent has nothing to do."""
        tiles = layer.tiles
        if any(tile.work.prediction for tile in tiles):
            yield self.predictor.run(layer)
        if any(tile.work.mask_generation for tile in tiles):
            yield self.mask_generator.run(layer)
        if any(tile.work.scheduling for tile in tiles):
            yield self.scheduler.run(layer)
        yield self.pe_array.run(layer)
        yield self.softmax.run(layer)
        yield self.dma["predictor"].run(_predictor_jobs(layer))
        yield self.dma["q"].run(DmaJob(t.work.q_read, reserve=layer.slots.q, arrived=t.q) for t in tiles)
        k_parts = [(tile, part) for tile in tiles for part in tile.sddmm]
        v_parts = [(tile, part) for tile in tiles for part in tile.spmm]
        yield self.dma["k"].run(
            _whole_or_fetched([(kv.work.k_read, kv.k) for kv in layer.kv_heads], layer.slots.k, k_parts)
        )
        yield self.dma["v"].run(
            _whole_or_fetched([(kv.work.v_read, kv.v) for kv in layer.kv_heads], layer.slots.v, v_parts)
        )
        yield self.dma["score"].run(score_jobs(tiles))
        yield self.dma["output"].run(
            DmaJob(t.work.output_write, operand=t.output, arrived=t.written, release=layer.slots.output) for t in tiles
        )


def _predictor_jobs(layer: Layer) -> Iterator[DmaJob]:
    """P and X of the layer, then for each kv head its weights and the scores of its tiles that are spilled."""
    if layer.work.projection_read is not None:
        yield DmaJob(layer.work.projection_read, arrived=layer.projection)
    for transfer, arrived in zip(layer.work.input_reads, layer.inputs, strict=True):
        yield DmaJob(transfer, reserve=layer.slots.inputs, arrived=arrived)
    for kv_head in layer.kv_heads:
        if kv_head.work.weights_read is not None:
            yield DmaJob(kv_head.work.weights_read, reserve=layer.slots.weights, arrived=kv_head.weights)
        for tile in kv_head.tiles:
            yield from predicted_score_jobs(tile)


def _whole_or_fetched(
    whole: Sequence[tuple[Transfer | None, Ready]], slots: Slots, parts: Sequence[tuple[Tile, PartInFlight]]
) -> Iterator[DmaJob]:
    """K (or V) of each kv head whole into its slot, or of each part into the pool, once its plan is known."""
    for transfer, arrived in whole:
        if transfer is not None:
            yield DmaJob(transfer, reserve=slots, arrived=arrived)
    for tile, part in parts:
        fetch = part.work.fetch
        if fetch is not None:
            room = None if fetch.after < 0 else After(parts[fetch.after][1].ended, slots.name)
            operand = tile.plan if tile.planned else None
            yield DmaJob(fetch.transfer, operand=operand, reserve=room, arrived=part.operand)


def _head_ends(layer: Layer) -> Iterator[int]:
    """When the last tile of each query head was written."""
    for kv_head in layer.kv_heads:
        tiles = iter(kv_head.tiles)
        for bundle in kv_head.work.bundles:
            ends = [tile.written.at for tile in (next(tiles) for _ in bundle.tiles)]
            assert ends[-1] is not None
            yield from [max(end for end in ends if end is not None)] * len(bundle.heads)
