"""The design `dsa`: what the chip holds, and a workload as stages."""

from collections.abc import Iterator, Sequence

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import mask_generator, pe_array, predictor, scheduler, softmax_unit
from dsasim.designs.dsa.context import ARRAY, MASK_GENERATOR, PREDICTOR, SCHEDULER, SOFTMAX, STREAMS
from dsasim.designs.dsa.dense_phase import phases_after, phases_before
from dsasim.designs.dsa.dense_products import DensePhase
from dsasim.designs.dsa.layer import AttentionLayer
from dsasim.designs.dsa.shape import BUFFERS
from dsasim.machine.spec import BufferSpec, UnitSpec, absent
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.masks import Mask
from dsasim.methods.base import NO_STATE, State
from dsasim.prediction import load_predictor, method_of
from dsasim.sim.components import buffer_events, buffer_spec, dma_engines
from dsasim.sim.design import Design, Macs, Record, Workload
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
        return self.arch.predictor.free and not self.arch.predictor.keeps_all

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
        """In the order of the data's path; one without a use is absent, like the units that would fill it.

        The predictor's is for methods that predict, the mask's for all but dense.
        """
        arch = self.arch
        unused = {"predictor": arch.predictor.free, "mask": arch.predictor.keeps_all}
        return [
            BufferSpec(name, absent(*buffer_events(name)))
            if unused.get(name) or getattr(arch.buffers, name) is None
            else buffer_spec(arch, name, getattr(arch.buffers, name))
            for name in BUFFERS
        ]

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """Each layer of attention, sequence after sequence, and the dense products of all sequences around it."""
        states: dict[int, State] = {}
        for number, heads in sorted(workload.selection.items()):
            batch = workload.trace.batch(number)
            yield from self._phases(system, phases_before(self.arch, batch, workload.scope), record)
            for layer in batch:
                state = states.get(layer.sequence, NO_STATE)
                attention = AttentionLayer(self.arch, layer, heads, system, record, workload.observe, state)
                yield attention.stage
                record.demands.append(attention.demand)
                states[layer.sequence] = attention.predictor.after()
            yield from self._phases(system, phases_after(self.arch, batch, workload.scope), record)

    def _phases(self, system: System, phases: Sequence[DensePhase], record: Record) -> Iterator[Stage]:
        for phase in phases:
            yield phase.stage(system)
            record.phase(phase.layer, phase.name, phase.demand)
