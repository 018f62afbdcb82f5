"""Designs that run attention alone, a tile of queries at a time: they say what their units do to a tile, no more.

A layer on one sequence is one stage. For each kv head the tensors of keys are read whole, for each tile of its query
heads those of queries, and the tile's output is written; the jobs in between are the design's (`TiledDesign.tile`). All
are in the order of heads and tiles, and units overlap as far as the slots of their buffers allow.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import ClassVar, NamedTuple

from dsasim.errors import ConfigError, TraceError
from dsasim.machine.job import Events, Job, Place
from dsasim.machine.space import Take
from dsasim.machine.spec import BufferSpec
from dsasim.machine.stage import NoMore, Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.masks import KeepMask, Mask
from dsasim.model.memory_map import MemoryMap
from dsasim.sim.components import buffer_spec, dma_job, place_of
from dsasim.sim.design import Demand, Design, HeadRecord, LayerRecord, Record, Workload
from dsasim.trace.attention import LayerTrace

OUTPUT = "output"


class Tensor(NamedTuple):
    """What is read, into the buffer of its stream: `row_bytes` a query, by tiles, or a key, all of a kv head."""

    name: str
    stream: str
    row_bytes: int
    of_keys: bool = False

    def rows(self, layer: LayerTrace) -> int:
        """Rows of a head."""
        return layer.L_k if self.of_keys else layer.L_q


class Tile(NamedTuple):
    """Some query rows of a head: their mask, and what is on the chip for them by name, tensors and what is made.

    `span`: keys from 0 that any of its rows may attend to; `wanted`: what later tiles read too.
    """

    place: Place
    layer: LayerTrace
    keep: KeepMask
    span: int
    held: dict[str, Token]
    slots: Mapping[str, Take]
    wanted: Collection[str]

    @property
    def rows(self) -> int:
        """Query rows."""
        return len(self.keep.indptr) - 1

    def job(
        self, unit: str, does: str, cycles: int, reads: Sequence[str], makes: str, events: Events, conflict: int = 0
    ) -> Job:
        """A job of at least one cycle that is the last to read these, and makes something in the slot of its name."""
        operands, frees = [self.held[name] for name in reads], [self.slots[n] for n in reads if n not in self.wanted]
        made = self.held[makes] = Token(makes, self.place)
        space = self.slots[makes]
        return Job(unit, does, self.place, max(1, cycles), conflict, operands, space, made, frees, events=events)


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
        return [Tensor("q", "q", vector), *(Tensor(name, name, vector, of_keys=True) for name in ("k", "v"))]

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
            noted = record.layer(layer, self.tile_rows)
            yield Stage(_Layer(self, system, layer, workload, noted).jobs(sorted(heads)), units)


class _Layer:
    """A layer while it is compiled."""

    def __init__(
        self, design: TiledDesign, system: System, layer: LayerTrace, workload: Workload, record: LayerRecord
    ) -> None:
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
        """Slots of each buffer with room for all it holds, as many as fit, at most its own number; one of each thing.

        ConfigError by the buffer's key: there is none, not one slot fits, or it is to be a cache.
        """
        tile_rows = self._design.tile_rows
        held: dict[str, dict[str, int]] = {}
        for tensor in self._tensors:
            rows = self._layer.L_k if tensor.of_keys else tile_rows
            held.setdefault(tensor.stream, {})[tensor.name] = rows * tensor.row_bytes
        for name, row_bytes in self._design.made_bytes(self._layer).items():
            held.setdefault(name, {})[name] = tile_rows * row_bytes
        found: dict[str, Take] = {}
        for name, sizes in held.items():
            buffer, needed = getattr(self._design.arch.buffers, name, None), max(1, sum(sizes.values()))
            if buffer is None:
                raise ConfigError(f"buffers.{name}: missing; this machine keeps {', '.join(sizes)} in it")
            if buffer.residency == "pool":
                raise ConfigError(f"buffers.{name}.residency pool: this machine keeps whole tensors")
            if buffer.bytes < needed:
                raise ConfigError(f"buffers.{name}.bytes is {buffer.bytes}, but this trace needs at least {needed}")
            count = min(buffer.slots, buffer.bytes // needed)
            found |= {what: Take(system.buffer(f"{what} buffer", count)) for what in sizes}
        return found

    def jobs(self, heads: Sequence[int]) -> Iterator[Job | NoMore]:
        """All jobs of the layer; a mask is made when the first of its head's jobs is."""
        layer, kv_heads = self._layer, [self._layer.kv_head(head) for head in heads]
        for at, (head, kv_head) in enumerate(zip(heads, kv_heads, strict=True)):
            first, last = kv_head not in kv_heads[:at], kv_head not in kv_heads[at + 1 :]
            keep = self._masked(head, first)
            noted = self._record.head(head, keep.nnz)
            if first:
                place = place_of(layer)._replace(kv_heads=(kv_head,))
                yield from self._reads(place, kv_head, 0, layer.L_k, of_keys=True)
                if kv_head == kv_heads[-1]:
                    yield from (NoMore(f"dma_{stream}") for stream in self._of_keys_alone())
            rows = self._design.tile_rows
            for row in range(0, layer.L_q, rows):
                count = min(rows, layer.L_q - row)
                yield from self._tile(noted, keep, row, count, last and row + count == layer.L_q)

    def _of_keys_alone(self) -> set[str]:
        """Streams of nothing but keys' tensors, which no tile reads from."""
        of_keys, of_rows = ({t.stream for t in self._tensors if t.of_keys is keys} for keys in (True, False))
        return of_keys - of_rows

    def _masked(self, head: int, first: bool) -> Mask:
        """The mask of a head; notes what the head demands, K and V with the `first` of a kv head."""
        layer = self._layer
        keep = self._design.mask(layer, head)
        if self._workload.observe is not None:
            self._workload.observe(layer, head, keep)
        read = sum(t.rows(layer) * t.row_bytes for t in self._tensors if first or not t.of_keys)
        demand = Demand(sparse_macs=2 * keep.nnz * layer.d_head, num_bytes=read + layer.L_q * self._vector)
        self._record.record.demands.append(demand)
        return keep

    def _reads(self, place: Place, head: int, first: int, count: int, *, of_keys: bool) -> Iterator[Job]:
        for tensor in self._tensors:
            if tensor.of_keys == of_keys:
                made = self._operands[tensor.name] = Token(tensor.name, place)
                transfer = self._regions[tensor.name].transfer(head, first, count)
                yield dma_job(tensor.stream, place, transfer, makes=made, space=self._slots[tensor.name])

    def _tile(self, head: HeadRecord, keep: Mask, first: int, count: int, last: bool) -> Iterator[Job]:
        place = place_of(self._layer)._replace(heads=(head.head,), tile=first // self._design.tile_rows)
        yield from self._reads(place, head.head, first, count, of_keys=False)
        span = int(self._layer.row_spans[first : first + count].max())
        wanted = [tensor.name for tensor in self._tensors if tensor.of_keys and not last]
        tile = Tile(place, self._layer, keep.block(first, count), span, dict(self._operands), self._slots, wanted)
        yield from self._design.tile(tile)
        transfer = self._output.transfer(head.head, first, count, is_write=True)
        yield dma_job(OUTPUT, place, transfer, (tile.held[OUTPUT],), frees=(self._slots[OUTPUT], head))
        k_loads, steps = self._design.loads(tile)
        head.k_loads, head.plan_steps = head.k_loads + k_loads, head.plan_steps + steps
