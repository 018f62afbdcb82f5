"""What a layer takes of buffers and of DRAM, and the tiles it is cut into (rules "Buffers", "Tiles", "Bundles")."""

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dsasim.trace.attention import LayerTrace
from twin.inputs import kept_keys, most_kept, prediction_of, row_spans
from twin.layout import (
    DoesNotFitError,
    Need,
    Tensor,
    input_rows,
    mask_row_bytes,
    place,
    predictor_need,
    slots_for,
    slots_of,
    smallest_tile,
    tile_rows,
)
from twin.machine import Job
from twin.plan import Step, plan


class Row(NamedTuple):
    """A query row of a tile, or one that wants nothing."""

    place: tuple[int, int] | None
    """(head, row of the head)."""
    keys: list[int]
    """Kept keys; those of the j-th kv head on chip are numbered from j * L_k."""
    span: int
    selector_cycles: int


@dataclass
class Tile:
    """Rows on their way through the machine, and the jobs whose results others wait for."""

    heads: list[int]
    """Query heads side by side: one, or a lane each."""
    kv_heads: list[int]
    """kv heads on chip together."""
    rows: list[Row]
    groups: list[list[Row]]
    steps: list[list[Step]]
    """Steps of each group."""
    first_with_kv: bool = False
    last_with_kv: bool = False
    made: dict[str, Job] = field(default_factory=dict)
    """q, predicted, plan, scores, probabilities, output, written: who makes them."""

    @property
    def queries(self) -> list[tuple[int, int]]:
        """(head, row) of its real rows, head after head."""
        return sorted(row.place for row in self.rows if row.place is not None)

    @property
    def rows_a_head(self) -> int:
        """Real rows of each of its heads."""
        return len(self.queries) // len(self.heads)

    @property
    def span(self) -> int:
        """Keys from 0 that any of its rows may attend to."""
        return max(row.span for row in self.rows)


class Space:
    """A layer on a design."""

    def __init__(self, arch: Any, layer: LayerTrace, heads: list[int]) -> None:
        self.arch, self.layer = arch, layer
        self.dense = arch.predictor.method == "dense"
        self.work = prediction_of(arch, layer)
        self.element = arch.pe_array.bits // 8
        self.vector_bytes = layer.d_head * self.element
        self.T = arch.scheduler.token_parallelism
        self.bundles = self._bundles(sorted(heads))
        self.kv_together = max(len(kv_heads) for kv_heads, _ in self.bundles)
        self.needs = {need.buffer: need for need in self._needs()}
        self.slots = {need.buffer: need.slots for need in self.needs.values()}
        self.slots |= {name: self._whole_slots(name) for name in ("k", "v")}
        if self.dense:
            self.slots["mask"] = 2  # a dense machine puts nothing there: enough not to hold the array back
        self.tile_rows = tile_rows(arch, list(self.needs.values()))
        self.input_rows = input_rows(arch, self.needs.get("predictor"))
        self.held_scores = {
            name: need.held_scores(smallest_tile(arch))
            for name, need in self.needs.items()
            if not need.holds(smallest_tile(arch))
        }
        """Bytes of scores that a slot holds, of the buffers that do not hold the smallest tile's."""
        self.tiles = self._tiles(heads)
        self._place()

    def _bundles(self, heads: list[int]) -> list[tuple[list[int], list[list[int]]]]:
        """kv heads on chip together, and the bundles of query heads that use them: one head, or as many as lanes."""
        kv_head = self.layer.kv_head
        if self.arch.pe_array.lane_split == "heads":
            lanes = self.arch.pe_array.lanes
            bundles = [heads[at : at + lanes] for at in range(0, len(heads), lanes)]
            return [(sorted({kv_head(head) for head in bundle}), [bundle]) for bundle in bundles]
        kv_heads = sorted({kv_head(head) for head in heads})
        return [([kv], [[head] for head in heads if kv_head(head) == kv]) for kv in kv_heads]

    def pooled(self, name: str) -> bool:
        """Whether K or V goes through a pool: where it does not fit, or where the design says so."""
        buffer = getattr(self.arch.buffers, name)
        fits = self.kv_together * self.layer.L_k * self.vector_bytes <= buffer.bytes
        return not fits or buffer.residency == "pool"

    def pool_vectors(self, name: str) -> int:
        """Vectors that the pool holds; a step may want T of them."""
        vectors: int = getattr(self.arch.buffers, name).bytes // self.vector_bytes
        if vectors < self.T:
            raise DoesNotFitError(f"{name} of a step")
        return vectors

    def _whole_slots(self, name: str) -> int:
        """Slots of whole kv heads; a pool has none."""
        buffer = getattr(self.arch.buffers, name)
        if self.pooled(name):
            return 0
        return min(slots_of(buffer), buffer.bytes // (self.kv_together * self.layer.L_k * self.vector_bytes))

    def _needs(self) -> list[Need]:
        """What every buffer must hold: slots times the worst case of each row."""
        buffers, keys, kept = self.arch.buffers, self.layer.L_k, most_kept(self.arch, self.layer)
        least, score = smallest_tile(self.arch), kept * self.element
        score_slots = slots_for(slots_of(buffers.score), buffers.score.bytes, least * score)
        needs = [
            Need("q", buffers.q.bytes, slots_of(buffers.q), self.vector_bytes),
            Need("score", buffers.score.bytes, score_slots, 0, score),
            Need("output", buffers.output.bytes, slots_of(buffers.output), self.vector_bytes),
        ]
        if not self.dense:
            row_bytes = mask_row_bytes(self.arch.scheduler.order, self.T, keys, kept)
            needs.append(Need("mask", buffers.mask.bytes, slots_of(buffers.mask), row_bytes))
        if self.work is not None:
            needs.append(predictor_need(buffers.predictor, least, keys, self.kv_together, self.work))
        return needs

    def _place(self) -> None:
        """Tensors in the order of their first use."""
        layer = self.layer
        queries = (layer.num_heads, layer.L_q, self.vector_bytes)
        keys = (layer.num_kv_heads, layer.L_k, self.vector_bytes)
        front = self.work.tensors(layer.num_kv_heads) if self.work else []
        least, spilled = smallest_tile(self.arch), []
        for name in self.held_scores:
            need = self.needs[name]
            spilled.append((need.slots, 1, least * need.score_bytes - need.room))
        tensors = place(self.arch, [*front, queries, keys, keys, queries, *spilled])
        self.predictor_at: list[Tensor] = tensors[: len(front)]
        self.q_at, self.k_at, self.v_at, self.output_at, *rest = tensors[len(front) :]
        self.spilled_at = dict(zip(self.held_scores, rest, strict=True))

    def _tiles(self, heads: list[int]) -> list[Tile]:
        """Tiles of all bundles, those that use the same kv heads after each other."""
        spans, kept = row_spans(self.layer), kept_keys(self.arch, self.layer, heads)
        tiles: list[Tile] = []
        for kv_heads, bundles in self.bundles:
            here = []
            for bundle in bundles:
                rows = self._rows(bundle, kv_heads, kept, spans)
                starts = range(0, len(rows), self.tile_rows)
                here += [self._tile(bundle, kv_heads, rows[at : at + self.tile_rows]) for at in starts]
            here[0].first_with_kv = here[-1].last_with_kv = True
            tiles += here
        return tiles

    def _rows(self, bundle: list[int], kv_heads: list[int], kept: Any, spans: list[int]) -> list[Row]:
        """A head's rows as they are; or a group of each head in turn, filled up to whole groups and lanes."""
        of_head = []
        for head in bundle:
            first_key = kv_heads.index(self.layer.kv_head(head)) * self.layer.L_k
            selecting = kept[head].selector_cycles or [0] * self.layer.L_q
            of_head.append(
                [
                    Row((head, row), [first_key + key for key in keys], spans[row], selecting[row])
                    for row, keys in enumerate(kept[head].rows)
                ]
            )
        width = self.arch.pe_array.lanes if self.arch.pe_array.lane_split == "heads" else 1
        if width == 1:
            return of_head[0]
        nothing = Row(None, [], 0, 0)
        of_head += [[]] * (width - len(of_head))
        rows = []
        for first in range(0, self.layer.L_q, self.T):
            for own in of_head:
                group = own[first : first + self.T]
                rows += group + [nothing] * (self.T - len(group))
        return rows

    def _tile(self, bundle: list[int], kv_heads: list[int], rows: list[Row]) -> Tile:
        groups = [rows[at : at + self.T] for at in range(0, len(rows), self.T)]
        steps = [plan([row.keys for row in group], self.arch.scheduler.order) for group in groups]
        return Tile(bundle, kv_heads, rows, groups, steps)
