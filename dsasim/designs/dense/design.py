"""The dense machine: its units and buffers, and a workload as stages."""

from collections.abc import Iterator, Sequence
from typing import Any

from dsasim.designs.dense import silicon
from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.mapping import layer_mapping
from dsasim.designs.dense.rules import Mapping
from dsasim.designs.dense.stream import ARRAY, RESCALER, SOFTMAX, STREAMS, DenseLayer
from dsasim.designs.dense.work import Group
from dsasim.errors import TraceError
from dsasim.machine.spec import BufferSpec, UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.methods.dense import AllowedMask
from dsasim.sim.components import buffer_spec, dma_engines
from dsasim.sim.design import Design, Macs, Record, Workload
from dsasim.trace.attention import LayerTrace


class DenseMachine(Design):
    """PE array, softmax unit, rescaler and four DMA engines; attention alone."""

    summary = "every allowed position, with online softmax: tiles of queries by tiles of keys"
    Settings = DenseConfig
    whatever_masks = True
    arch: DenseConfig

    def macs(self) -> Macs:
        """All are the array's."""
        return Macs(self.arch.macs, self.arch.array.bits)

    def mask(self, layer: LayerTrace, head: int) -> AllowedMask:
        """All allowed positions, the same for all heads."""
        del head
        return AllowedMask(layer)

    def units(self) -> Sequence[UnitSpec]:
        """In the order of the data's path."""
        return [
            UnitSpec(ARRAY, silicon=silicon.array(self.arch), rate=silicon.array_rate(self.arch)),
            UnitSpec(SOFTMAX, silicon=silicon.softmax(self.arch)),
            UnitSpec(RESCALER, silicon=silicon.rescaler(self.arch)),
            *dma_engines(self.arch, STREAMS),
        ]

    def buffers(self) -> Sequence[BufferSpec]:
        """In the order of the configuration."""
        return [buffer_spec(self.arch, name, buffer) for name, buffer in self.arch.buffers]

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """A layer a stage, of one sequence; layers alike are mapped alike, and searched once."""
        units = [unit.name for unit in self.units()]
        found: dict[tuple[Any, ...], tuple[Group, Mapping]] = {}
        for layer, heads in workload.layers:
            if not layer.row_spans.any():
                raise TraceError(f"layer {layer.label} of the trace allows no query to attend to any key")
            if workload.observe is not None:
                mask = AllowedMask(layer)
                for head in sorted(heads):
                    workload.observe(layer, head, mask)
            shape = layer.num_heads, layer.num_kv_heads, tuple(heads), layer.d_head, layer.row_spans.tobytes()
            if shape not in found:
                found[shape] = layer_mapping(self.arch, layer, heads)
            run = DenseLayer(self.arch, system, layer, heads, *found[shape])
            yield Stage(run.jobs(record.layer(layer, run.tile_rows)), units)
