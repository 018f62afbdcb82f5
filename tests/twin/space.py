"""What a layer takes of every buffer and of DRAM, and the tiles it is cut into (rules "Buffers", "Tiles")."""

from dataclasses import dataclass, field
from typing import Any

from dsasim.trace.attention import LayerTrace
from twin.inputs import kept_keys, prediction_of, row_spans
from twin.layout import DoesNotFitError, Tensor, mask_row_bytes, place, predictor_bytes, tile_rows
from twin.machine import Job
from twin.plan import Step, plan

BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")


@dataclass
class Tile:
    """Consecutive query rows of one head, and the jobs whose results others wait for."""

    head: int
    kv_head: int
    first: int
    rows: list[list[int]]
    """Keys that each row keeps."""
    spans: list[int]
    """Keys from 0 that each row may attend to."""
    selector_cycles: list[int] | None
    groups: list[list[list[int]]]
    """Rows of each group."""
    steps: list[list[Step]]
    """Steps of each group."""
    first_of_kv_head: bool = False
    last_of_kv_head: bool = False
    made: dict[str, Job] = field(default_factory=dict)
    """q, predicted, mask, plan, scores, probabilities, output, written: who makes them."""


class Space:
    """A layer on a design."""

    def __init__(self, arch: Any, layer: LayerTrace, heads: list[int]) -> None:
        self.arch, self.layer = arch, layer
        self.dense = arch.predictor.method == "dense"
        self.work = prediction_of(arch, layer)
        self.element = arch.pe_array.bits // 8
        self.vector_bytes = layer.d_head * self.element
        self.T = arch.scheduler.token_parallelism
        self.slots = {name: self._slots(name) for name in BUFFERS}
        self.tile_rows = tile_rows(self.T, arch.scheduler.tile_rows, self._fits)
        self.tiles = self._tiles(sorted(heads))
        self._place()

    def pooled(self, name: str) -> bool:
        """Whether K or V goes through a pool: where a kv head does not fit, or where the design says so."""
        buffer = getattr(self.arch.buffers, name)
        fits = self.layer.L_k * self.vector_bytes <= buffer.bytes
        return not fits or getattr(buffer, "residency", "auto") == "pool"

    def pool_vectors(self, name: str) -> int:
        """Vectors that the pool holds; a step may want T of them."""
        vectors: int = getattr(self.arch.buffers, name).bytes // self.vector_bytes
        if vectors < self.T or not hasattr(self.arch.buffers.k, "residency"):
            raise DoesNotFitError(f"{name} of a kv head, and no pool")
        return vectors

    def _slots(self, name: str) -> int:
        """Slots of a buffer; those of `predictor` hold X, weights and S~ alike."""
        buffer = getattr(self.arch.buffers, name)
        if name == "mask" and self.dense:
            return 2  # a dense machine puts nothing there: enough not to hold the array back
        if buffer is None:
            return 1
        slots: int = buffer.num_slots or (2 if buffer.double_buffered else 1)
        if name not in ("k", "v"):
            return slots
        if self.pooled(name):
            return 0
        return min(slots, buffer.bytes // (self.layer.L_k * self.vector_bytes))

    def _fits(self, rows: int) -> bool:
        """Whether tiles of `rows` fit every buffer: slots times the worst case of each row."""
        keys, slots = self.layer.L_k, self.slots
        needs = {
            "q": slots["q"] * rows * self.vector_bytes,
            "output": slots["output"] * rows * self.vector_bytes,
            "score": slots["score"] * rows * keys * self.element,
        }
        if not self.dense:
            needs["mask"] = slots["mask"] * rows * mask_row_bytes(self.arch.scheduler.order, self.T, keys)
        if self.work is not None:
            needs["predictor"] = predictor_bytes(rows, slots["predictor"], keys, self.work)
        return all(size <= getattr(self.arch.buffers, name).bytes for name, size in needs.items())

    def _place(self) -> None:
        """Tensors in the order of their first use."""
        layer = self.layer
        queries = (layer.num_heads, layer.L_q, self.vector_bytes)
        keys = (layer.num_kv_heads, layer.L_k, self.vector_bytes)
        front = self.work.tensors(layer.num_kv_heads) if self.work else []
        tensors = place(self.arch, [*front, queries, keys, keys, queries])
        self.q_at, self.k_at, self.v_at, self.output_at = tensors[-4:]
        self.predictor_at: list[Tensor] = tensors[:-4]

    def _tiles(self, heads: list[int]) -> list[Tile]:
        """Tiles of all heads, those of a kv head after each other."""
        spans, kept = row_spans(self.layer), kept_keys(self.arch, self.layer, heads)
        tiles = []
        for head in heads:
            selecting = kept[head].selector_cycles
            for first in range(0, self.layer.L_q, self.tile_rows):
                here = slice(first, first + self.tile_rows)
                rows = kept[head].rows[here]
                groups = [rows[at : at + self.T] for at in range(0, len(rows), self.T)]
                steps = [plan(group, self.arch.scheduler.order) for group in groups]
                own = None if selecting is None else selecting[here]
                tiles.append(Tile(head, self.layer.kv_head(head), first, rows, spans[here], own, groups, steps))
        numbers = [tile.kv_head for tile in tiles]
        for at, tile in enumerate(tiles):
            tile.first_of_kv_head = tile.kv_head not in numbers[:at]
            tile.last_of_kv_head = tile.kv_head not in numbers[at + 1 :]
        return tiles
