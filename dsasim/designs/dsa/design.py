"""The design `dsa`: what the chip holds, and a workload as stages."""

from collections.abc import Iterator, Sequence

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import buffers, mask_generator, pe_array, predictor, scheduler, softmax_unit
from dsasim.designs.dsa.dense_phase import phases_after, phases_before
from dsasim.designs.dsa.dense_products import dense_stage
from dsasim.designs.dsa.dense_work import DenseWork
from dsasim.designs.dsa.layer import build_layer
from dsasim.designs.dsa.stream import (
    ARRAY,
    MASK_GENERATOR,
    PREDICTOR,
    SCHEDULER,
    SOFTMAX,
    STREAMS,
    AttentionLayer,
)
from dsasim.designs.dsa.work import LayerWork
from dsasim.machine.spec import BufferSpec, UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.predictors import NO_STATE, State, load_predictor, method_of
from dsasim.predictors.base import Mask
from dsasim.sim.design import Demand, Design, Macs, Record, Workload
from dsasim.sim.parts import dma_engines
from dsasim.sim.result import HeadReport, LayerReport
from dsasim.trace.attention import LayerTrace


class Dsa(Design):
    """Predictor unit, mask generator, token-parallel scheduler, sparse PE array, softmax unit, six DMA engines."""

    summary = "Liu et al. 2021: low-rank prediction, token-parallel sparse attention"
    Settings = ArchConfig
    scopes = ("attention", "layer", "model")
    arch: ArchConfig

    @property
    def free(self) -> bool:
        """Masks are there from the start: an oracle's, or given; a dense machine has no use for any."""
        return self.arch.predictor.free and self.arch.predictor.method != "dense"

    def macs(self) -> Macs:
        """A coupled design predicts on its PE array, so that is all it has."""
        predictor, array = self.arch.predictor, self.arch.pe_array
        own = not predictor.free and array.organisation == "decoupled"
        count = (predictor.array_rows or 0) * (predictor.array_columns or 0) if own else 0
        return Macs(self.arch.macs, array.bits, count, predictor.bits if count else None)

    def rival(self) -> ArchConfig:
        """The same machine, used densely."""
        return self.arch

    def note_on(self, layer: LayerTrace) -> str | None:
        """Of a predictor that saw its own input."""
        return method_of(self.arch).note(self.arch, layer)

    def mask(self, layer: LayerTrace, head: int) -> Mask:
        """Predicted and selected anew."""
        return load_predictor(self.arch, layer).select(head).keep

    def units(self) -> Sequence[UnitSpec]:
        """In the order of the data's path."""
        arch = self.arch
        coupled = arch.pe_array.organisation == "coupled"
        shared, cost = ("composable array", arch.pe_array.switch_cycles) if coupled else (None, 0)
        lanes = tuple(f"lane_{lane}" for lane in range(arch.pe_array.lanes))
        return [
            UnitSpec(PREDICTOR, (), shared, cost, silicon=predictor.silicon(arch), rate=predictor.rate(arch)),
            UnitSpec(MASK_GENERATOR, silicon=mask_generator.silicon(arch)),
            UnitSpec(SCHEDULER, silicon=scheduler.silicon(arch)),
            UnitSpec(ARRAY, lanes, shared, cost, silicon=pe_array.silicon(arch), rate=pe_array.rate(arch)),
            UnitSpec(SOFTMAX, silicon=softmax_unit.silicon(arch)),
            *dma_engines(arch, STREAMS),
        ]

    def buffers(self) -> Sequence[BufferSpec]:
        """In the order of the data's path."""
        return buffers.buffer_specs(self.arch)

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """Each layer of attention, sequence after sequence, and the dense products of all sequences around it."""
        states: dict[int, State] = {}
        for number, heads in sorted(workload.selection.items()):
            batch = workload.trace.batch(number)
            yield from self._phases(system, phases_before(self.arch, batch, workload.scope), record)
            for layer in batch:
                state = states.get(layer.sequence, NO_STATE)
                work, states[layer.sequence] = build_layer(self.arch, layer, heads, workload.observe, state)
                record.compiled(len(heads), _demand(work, layer, self.arch.pe_array.bits // 8))
                compiled, report = AttentionLayer(system, work), _report(work)
                yield compiled.stage()
                record.layer(report, list(compiled.head_ends()))
            yield from self._phases(system, phases_after(self.arch, batch, workload.scope), record)

    def _phases(self, system: System, phases: Sequence[DenseWork], record: Record) -> Iterator[Stage]:
        for phase in phases:
            record.compiled(0, _dense_demand(phase))
            yield dense_stage(system, phase)
            record.phase(phase.layer, phase.phase, int(system.env.now))


def _report(work: LayerWork) -> LayerReport:
    """What is known of a layer before it runs."""
    heads = [HeadReport(h.head, 0, h.nnz, h.nnz / h.allowed, h.k_loads, h.plan_steps) for h in work.heads]
    allowed, place = work.heads[0].allowed, work.place
    assert place.layer is not None
    return LayerReport(place.layer, 0, work.tile_rows, tuple(heads), allowed=allowed, sequence=place.sequence)


def _demand(work: LayerWork, layer: LayerTrace, element_bytes: int) -> Demand:
    """SDDMM and SpMM of the kept positions; Q and output, and K and V where they are kept whole."""
    first, heads = work.kv_heads[0], [head.head for head in work.heads]
    whole = (first.k_read is not None) + (first.v_read is not None)
    kv_heads = {layer.kv_head(head) for head in heads}
    vectors = 2 * len(heads) * layer.L_q + whole * len(kv_heads) * layer.L_k
    kept = sum(head.nnz for head in work.heads)
    return Demand(sparse_macs=2 * layer.d_head * kept, num_bytes=vectors * layer.d_head * element_bytes)


def _dense_demand(work: DenseWork) -> Demand:
    """All products, and their blocks, which are all compulsory."""
    return Demand(
        dense_macs=sum(placed.product.macs for placed in work.products),
        num_bytes=sum(transfer.num_bytes for transfer in work.transfers()),
    )
