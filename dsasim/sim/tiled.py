"""Designs that run attention alone, a tile of queries at a time: they say what their units do to a tile, no more.

A layer on one sequence is one stage. For each kv head the tensors of keys are read whole, for each tile of its query
heads those of queries, and the tile's output is written; the jobs in between are the design's (`TiledDesign.tile`). All
are in the order of heads and tiles, and units overlap as far as the slots of their buffers allow.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dsasim.errors import TraceError
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Take
from dsasim.machine.spec import BufferSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.model.memory_map import MemoryMap
from dsasim.predictors.base import Mask
from dsasim.sim.design import Demand, Design, Record, Workload
from dsasim.sim.parts import buffer_spec, dma_job, place_of, slots_of
from dsasim.sim.result import HeadReport, LayerReport
from dsasim.sim.tile import Tensor, Tile
from dsasim.trace.attention import LayerTrace

OUTPUT = "output"


class TiledDesign(Design):
    """Base of such designs; their configuration has a section `buffers`, with a buffer of each name they use."""

    element_bytes: ClassVar[int] = 2

    @property
    def tile_rows(self) -> int:
        """Query rows of a tile."""
        raise NotImplementedError

    def mask(self, layer: LayerTrace, head: int) -> Mask:
        """The mask of a query head."""
        raise NotImplementedError

    def tensors(self, layer: LayerTrace) -> Sequence[Tensor]:
        """What is read from the memory: Q, K and V."""
        vector = layer.d_head * self.element_bytes
        return [
            Tensor("q", "q", vector),
            Tensor("k", "k", vector, of_keys=True),
            Tensor("v", "v", vector, of_keys=True),
        ]

    def made_bytes(self, layer: LayerTrace) -> Mapping[str, int]:
        """Bytes of a query row, by buffer, of what is made on the chip: the output."""
        return {OUTPUT: layer.d_head * self.element_bytes}

    def tile(self, tile: Tile) -> Iterator[Job]:
        """What the units do to a tile, from the tensors that are read to its `output`."""
        raise NotImplementedError

    def loads(self, tile: Tile) -> tuple[int, int]:
        """Vectors of K that the array loads for a tile, and its steps, for reports."""
        raise NotImplementedError

    def buffers(self) -> Sequence[BufferSpec]:
        """All that the configuration has."""
        return [buffer_spec(self.arch, name, buffer) for name, buffer in self.arch.buffers if buffer is not None]

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """A layer a stage, of one sequence."""
        units = [unit.name for unit in self.units()]
        for layer, heads in workload.layers:
            if not layer.row_spans.any():
                raise TraceError(f"layer {layer.label} of the trace allows no query to attend to any key")
            run = _Layer(self, system, layer, workload, record)
            yield Stage(run.jobs(sorted(heads)), units)
            allowed = int(layer.allowed_counts.sum())
            reports = tuple(HeadReport(h.head, 0, h.nnz, h.nnz / allowed, h.k_loads, h.steps) for h in run.heads)
            ends = [head.end for head in run.heads]
            report = LayerReport(layer.number, 0, self.tile_rows, reports, allowed=allowed, sequence=layer.batch_index)
            record.layer(report, ends)


@dataclass
class _Head:
    """What is known of a head that has been compiled."""

    head: int
    nnz: int
    k_loads: int = 0
    steps: int = 0
    written: list[Token] = field(default_factory=list)

    @property
    def end(self) -> int:
        """When its last output reached the memory."""
        return max(token.at for token in self.written if token.at is not None)


class _Layer:
    """A layer while it is compiled."""

    def __init__(
        self, design: TiledDesign, system: System, layer: LayerTrace, workload: Workload, record: Record
    ) -> None:
        self.heads: list[_Head] = []
        self._design, self._layer, self._workload, self._record = design, layer, workload, record
        self._tensors = design.tensors(layer)
        self._vector = layer.d_head * design.element_bytes
        memory = MemoryMap(design.arch)
        counts = {True: layer.num_kv_heads, False: layer.num_heads}
        self._regions = {t.name: memory.place(counts[t.of_keys], t.rows(layer), t.row_bytes) for t in self._tensors}
        self._output = memory.place(layer.num_heads, layer.L_q, self._vector)
        self._slots = self._slots_of(system)
        self._operands: dict[str, Token] = {}

    def _slots_of(self, system: System) -> dict[str, Take]:
        """A slot for each tensor and each thing that is made, several of them in one of a buffer."""
        tile_rows = self._design.tile_rows
        parts: dict[str, dict[str, int]] = {}
        for tensor in self._tensors:
            rows = self._layer.L_k if tensor.of_keys else tile_rows
            parts.setdefault(tensor.stream, {})[tensor.name] = rows * tensor.row_bytes
        for name, row_bytes in self._design.made_bytes(self._layer).items():
            parts.setdefault(name, {})[name] = tile_rows * row_bytes
        found: dict[str, Take] = {}
        for buffer, sizes in parts.items():
            found |= slots_of(system, f"buffers.{buffer}", getattr(self._design.arch.buffers, buffer, None), sizes)
        return found

    def jobs(self, heads: Sequence[int]) -> Iterator[Job]:
        """All jobs of the layer; a mask is made when the first of its head's jobs is."""
        kv_heads = [self._layer.kv_head(head) for head in heads]
        for at, (head, kv_head) in enumerate(zip(heads, kv_heads, strict=True)):
            first, last = kv_head not in kv_heads[:at], kv_head not in kv_heads[at + 1 :]
            keep = self._masked(head, first)
            if first:
                place = place_of(self._layer)._replace(kv_heads=(kv_head,))
                yield from self._reads(place, kv_head, 0, self._layer.L_k, of_keys=True)
            rows = self._design.tile_rows
            for row in range(0, self._layer.L_q, rows):
                count = min(rows, self._layer.L_q - row)
                yield from self._tile(head, keep, row, count, last and row + count == self._layer.L_q)

    def _masked(self, head: int, first: bool) -> Mask:
        """The mask of a head; notes what the head demands, K and V with the `first` of a kv head."""
        layer = self._layer
        keep = self._design.mask(layer, head)
        if self._workload.observe is not None:
            self._workload.observe(layer, head, keep)
        read = sum(t.rows(layer) * t.row_bytes for t in self._tensors if first or not t.of_keys)
        demand = Demand(sparse_macs=2 * keep.nnz * layer.d_head, num_bytes=read + layer.L_q * self._vector)
        self._record.compiled(1, demand)
        self.heads.append(_Head(head, keep.nnz))
        return keep

    def _reads(self, place: Place, head: int, first: int, count: int, *, of_keys: bool) -> Iterator[Job]:
        for tensor in self._tensors:
            if tensor.of_keys == of_keys:
                made = self._operands[tensor.name] = Token(f"{tensor.name} of {place}")
                transfer = self._regions[tensor.name].transfer(head, first, count)
                yield dma_job(tensor.stream, place, transfer, makes=made, space=self._slots[tensor.name])

    def _tile(self, head: int, keep: Mask, first: int, count: int, last: bool) -> Iterator[Job]:
        place = place_of(self._layer)._replace(heads=(head,), tile=first // self._design.tile_rows)
        yield from self._reads(place, head, first, count, of_keys=False)
        span = int(self._layer.row_spans[first : first + count].max())
        tensors = {tensor.name: (tensor, self._operands[tensor.name]) for tensor in self._tensors}
        tile = Tile(place, self._layer, keep.block(first, count), span, last, tensors, self._slots)
        yield from self._design.tile(tile)
        transfer, output = self._output.transfer(head, first, count, is_write=True), tile.operand(OUTPUT)
        yield dma_job(OUTPUT, place, transfer, (output,), makes=tile.written, frees=(self._slots[OUTPUT],))
        report, (k_loads, steps) = self.heads[-1], self._design.loads(tile)
        report.k_loads, report.steps = report.k_loads + k_loads, report.steps + steps
        report.written.append(tile.written)
