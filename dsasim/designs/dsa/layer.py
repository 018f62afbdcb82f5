"""An attention layer as a stream of jobs, compiled a head group at a time while it is consumed.

              X, W~            S~                 mask             plan
    DRAM ─► predictor unit ─► mask generator ─► scheduler ─► PE array ─► output ─► DRAM
     ▲                                             Q, K, V ─►   ▲ │
     └──── six DMA engines                        scores ─► softmax unit

The stream: XP of the layer's inputs, then for each kv head K~, and for each tile of its query heads S~, mask and plan,
one tile ahead of the array. The array's own order is S0, S1, P0, S2, P1, ... (S = SDDMM, P = SpMM), so that the softmax
of one tile runs beside the SDDMM of the next; that needs two score slots and two mask slots (a tile's plan stays in its
mask slot until its SpMM), else S0, P0, S1, P1, ... In a coupled design predictor and PE array are one composable array,
which takes their jobs in the order of the stream.

Worked example: one kv head, two tiles of X and three of queries, whole keys: XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2
(A = prediction), so with a switch cost of 5 the jobs S0, A2 and S1 pay it: 15 cycles.

A method that waits for a head's scores (barrier: head) has all its predictions before the first mask of the head.
One head group's tensors, masks and plan are alive at a time, and the jobs that are under way.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Iterator, Sequence
from functools import cache, partial
from itertools import chain, islice, pairwise

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.context import ARRAY, MASK_GENERATOR, PREDICTOR, SCHEDULER, SOFTMAX, Context, KVHeads
from dsasim.designs.dsa.head_group import head_group_tiles
from dsasim.designs.dsa.placement import place_layer
from dsasim.designs.dsa.predictor import operations_work
from dsasim.designs.dsa.shape import LayerShape, layer_shape
from dsasim.designs.dsa.tile import Tile
from dsasim.designs.dsa.vectors import Vectors
from dsasim.designs.dsa.work import Work
from dsasim.errors import ConfigError, TraceError
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Take
from dsasim.machine.stage import NoMore, Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.methods.base import NO_STATE, State
from dsasim.methods.operation import Per, Prediction
from dsasim.prediction import load_predictor
from dsasim.sim.components import dma_job, place_of
from dsasim.sim.design import Demand, Observer, Record
from dsasim.trace.attention import LayerTrace

Sharing = tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]
"""kv heads that are on chip together, and the head groups of query heads that use them."""


class AttentionLayer:
    """One layer; ConfigError if the design cannot hold it, TraceError if nothing may be attended to."""

    def __init__(
        self,
        arch: ArchConfig,
        layer: LayerTrace,
        heads: Sequence[int],
        system: System,
        record: Record,
        observe: Observer | None = None,
        state: State = NO_STATE,
    ) -> None:
        self._sharing = list(share_out(arch, layer, heads))
        self.predictor = load_predictor(arch, layer, state)
        self._work = work = self.predictor.work
        if not layer.row_spans.any():
            raise TraceError(f"layer {layer.label} of the trace allows no query to attend to any key")
        self.shape = shape = layer_shape(arch, layer, work, max(len(kv_heads) for kv_heads, _ in self._sharing))
        if work is not None:
            _check_barrier(arch, work, shape)
        placement = place_layer(arch, layer, work, shape.slots, shape.tiling)
        vectors = {"k": Vectors("k", placement.k, shape.k), "v": Vectors("v", placement.v, shape.v)}
        slots = _slots(system, shape)
        self._record = record.layer(layer, shape.tile_rows)
        self._observe = observe
        predicting = cache(partial(_prediction, arch, work))
        self._context = Context(arch, layer, self.predictor, shape, placement, slots, vectors, predicting)

    @property
    def demand(self) -> Demand:
        """Of a layer that has run: SDDMM and SpMM of kept positions; Q and output, and K and V if kept whole."""
        context, layer, heads = self._context, self._context.layer, self._record.heads
        whole = sum(each.block_vectors is None for each in context.vectors.values())
        kv_heads = {layer.kv_head(head.head) for head in heads}
        vectors = 2 * len(heads) * layer.L_q + whole * len(kv_heads) * layer.L_k
        kept = sum(head.nnz for head in heads)
        num_bytes = vectors * layer.d_head * context.arch.pe_array.bits // 8
        return Demand(sparse_macs=2 * layer.d_head * kept, num_bytes=num_bytes)

    @property
    def stage(self) -> Stage:
        """The layer as one stage; its heads are recorded, and their masks observed, as they are compiled."""
        return Stage(self._jobs(), self._units)

    @property
    def _units(self) -> Collection[str]:
        """The units that have something to do in the layer."""
        arch, work, placement = self._context.arch, self._work, self._context.placement.predictor
        units = [ARRAY, SOFTMAX, "dma_q", "dma_k", "dma_v", "dma_output"]
        if not arch.predictor.keeps_all:
            units.append(SCHEDULER)
        if work is not None and placement is not None:
            units += [PREDICTOR] if arch.mask_generator is None else [PREDICTOR, MASK_GENERATOR]
            if self._method_reads is not None:
                units.append("dma_predictor")
        return units + (["dma_score"] if "score" in self.shape.tiling.spilled else [])

    @property
    def _method_reads(self) -> Per | None:
        """How often, at the most, predicting moves anything; None if it never does."""
        place = self._context.placement.predictor
        if place is None:
            return None
        if place.query_rows is not None or "predictor" in self.shape.tiling.spilled:
            return "query_tile"
        if place.weights is not None:
            return "kv_head"
        return "layer" if place.inputs or place.constant is not None else None

    def _jobs(self) -> Iterator[Job | NoMore]:
        layer = place_of(self._context.layer)
        kv_heads = [KVHeads(layer, numbers, self._work) for numbers, _ in self._sharing]
        heads_ahead = self._whole_heads(kv_heads)
        yield from self._projections(layer)
        if self._method_reads == "layer":
            yield NoMore("dma_predictor")
        waiting: deque[Tile] = deque()
        for tile, following in pairwise(chain([None], self._tiles(kv_heads), [None])):
            if following is not None:
                if following.first:
                    yield from next(heads_ahead)
                    yield from self._keys(following.kv)
                    if following.kv is kv_heads[-1] and self._method_reads == "kv_head":
                        yield NoMore("dma_predictor")
                yield from _front(following)
            if tile is not None:
                yield from tile.attend()
                waiting.append(tile)
                if len(waiting) > self.shape.tiles_ahead:
                    yield from waiting.popleft().output()
        for tile in waiting:
            yield from tile.output()

    def _tiles(self, kv_heads: Sequence[KVHeads]) -> Iterator[Tile]:
        """All tiles in order, a head group's when the first of them is asked for."""
        for kv, (_, groups) in zip(kv_heads, self._sharing, strict=True):
            for group in groups:
                yield from self._group_tiles(kv, group, groups)

    def _group_tiles(self, kv: KVHeads, group: Sequence[int], groups: Sequence[Sequence[int]]) -> Iterator[Tile]:
        """The tiles of a head group; those of a method that waits for all its scores know each other."""
        masks = [self.predictor.select(head) for head in group]
        if self._observe is not None:
            for head, mask in zip(group, masks, strict=True):
                self._observe(self._context.layer, head, mask.keep)
        heads = [self._record.head(head, mask.keep.nnz) for head, mask in zip(group, masks, strict=True)]
        last = len(self.shape.tiles) - 1
        together: list[Tile] = []
        for tile in head_group_tiles(self._context, kv, heads, masks):
            tile.first = group is groups[0] and tile.place.tile == 0
            tile.last = group is groups[-1] and tile.place.tile == last
            if self._work is not None and self._work.barrier == "head":
                tile.scored = together
                together.append(tile)
            else:
                yield tile
        yield from together

    def _projections(self, layer: Place) -> Iterator[Job]:
        """What the method does once a layer (XP), a tile of X at a time, as large as the predictor's buffer holds."""
        place, work, slot = self._context.placement.predictor, self._work, self._context.slots["X"]
        if place is None or work is None:
            return
        operands: tuple[Token, ...] = ()
        if place.constant is not None:
            operands = (Token("projection P", layer),)
            yield dma_job("predictor", layer, place.constant.transfer(0, 0, 1), makes=operands[0])
        step = self.shape.tiling.input_rows
        reads = ((region, first) for region in place.inputs for first in range(0, region.rows, step))
        for at, (region, first) in enumerate(reads):
            rows = min(step, region.rows - first)
            inputs, tile = Token(f"X tile {at}", layer), layer._replace(tile=at)
            yield dma_job("predictor", tile, region.transfer(0, first, rows), makes=inputs, space=slot)
            job = operations_work(self._context.arch, work.of("layer"), rows)
            yield job.job(PREDICTOR, tile, (*operands, inputs), frees=(slot,))

    def _whole_heads(self, kv_heads: Sequence[KVHeads]) -> Iterator[Iterator[Job | NoMore]]:
        """K and V of each kv head, whole, ahead of it by as many heads as can be on the way while it is read."""
        reads = (self._whole_head(kv, kv is kv_heads[-1]) for kv in kv_heads)
        slots = self.shape.slots
        yield chain.from_iterable(islice(reads, max(slots["k"], slots["v"]) + 1))
        while True:
            yield next(reads, iter(()))

    def _whole_head(self, kv: KVHeads, last: bool) -> Iterator[Job | NoMore]:
        for name, vectors in self._context.vectors.items():
            if vectors.block_vectors is None:
                read, slot = vectors.whole(kv.numbers), self._context.slots[name]
                yield dma_job(name, kv.place, read, makes=kv.vectors[name], space=slot)
                if last:
                    yield NoMore(f"dma_{name}")

    def _keys(self, kv: KVHeads) -> Iterator[Job]:
        """What the method reads (W~) and makes (K~) of kv heads that are on chip together, one after the other."""
        place, operands = self._context.placement.predictor, () if kv.weights is None else (kv.weights,)
        if place is not None and place.weights is not None:
            read = Transfer.joined([place.weights.transfer(number, 0, 1) for number in kv.numbers])
            yield dma_job("predictor", kv.place, read, makes=kv.weights, space=self._context.slots["weights"])
        if kv.predicted:
            keys = operations_work(self._context.arch, kv.predicted).times(len(kv.numbers))
            yield keys.job(PREDICTOR, kv.place, operands)


def _prediction(arch: ArchConfig, work: Prediction | None, rows: int, span: int, heads: int) -> Work | None:
    """The predictor's work for a tile; many are alike."""
    return None if work is None else operations_work(arch, work.of("query_tile"), rows, span).times(heads)


def _front(tile: Tile) -> Iterator[Job]:
    """All that comes before the array: Q; and S~, mask and plan where the design makes them."""
    yield from tile.fetch()
    scored = tile.scored or (tile,)
    if tile is scored[0]:
        for each in scored:
            yield from each.predict()
    yield from tile.select([each.predicted for each in scored])


def _slots(system: System, shape: LayerShape) -> dict[str, Take]:
    """A slot of each buffer; the predictor's has some of each thing that it holds."""
    slots = {}
    for name, count in shape.slots.items():
        for part in ("X", "weights", "query rows", "S~") if name == "predictor" else ("",):
            slots[part or name] = Take(system.buffer(f"{name} buffer{part and f' ({part})'}", count))
    return slots


def _check_barrier(arch: ArchConfig, work: Prediction, shape: LayerShape) -> None:
    """ConfigError where a mask waits for more scores than the predictor's buffer has slots for, a tile each."""
    method = f"predictor.method {arch.predictor.method}"
    if not work.of("query_tile"):
        raise ConfigError(f"{method}: has no operation a tile of queries, and the machine dsa scores tile by tile")
    if work.barrier in ("layer", "step"):
        raise ConfigError(
            f"{method}: masks wait for the scores of a whole {work.barrier}; the machine dsa makes those"
            " of a head when it has the head's scores at the latest"
        )
    tiles, slots = len(shape.tiles), shape.slots["predictor"]
    if work.barrier == "head" and tiles > slots:
        raise ConfigError(
            f"buffers.predictor: {method} makes no mask of a head before all its scores are there, {tiles} tiles of"
            f" {shape.tile_rows} rows, and the buffer has {slots} slots for them (see its num_slots and bytes)"
        )


def share_out(arch: ArchConfig, layer: LayerTrace, heads: Sequence[int]) -> Iterator[Sharing]:
    """Each kv head with its query heads one by one; or head groups of as many heads as there are lanes.

    Worked example: heads 0 .. 3 of which each two share a kv head are ((0,), ((0,), (1,))) and ((1,), ((2,), (3,)));
    with three lanes split over heads they are ((0, 1), ((0, 1, 2),)) and ((1,), ((3,),)).
    """
    ascending = sorted(heads)
    if arch.pe_array.lane_split == "heads":
        for first in range(0, len(ascending), arch.pe_array.lanes):
            group = tuple(ascending[first : first + arch.pe_array.lanes])
            yield tuple(sorted({layer.kv_head(head) for head in group})), (group,)
        return
    by_kv_head: dict[int, list[tuple[int, ...]]] = defaultdict(list)
    for head in ascending:
        by_kv_head[layer.kv_head(head)].append((head,))
    for kv_head, groups in by_kv_head.items():
        yield (kv_head,), tuple(groups)
