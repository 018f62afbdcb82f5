"""The machine of DSA: its units, and an attention layer as a stream of jobs.

              X, W~            S~                 mask             plan
    DRAM ─► predictor unit ─► mask generator ─► scheduler ─► PE array ─► output ─► DRAM
     ▲                                             Q, K, V ─►   ▲ │
     └──── six DMA engines                        scores ─► softmax unit

The stream: XP of the layer's inputs, then for each kv head K~, and for each tile of its query heads S~, mask and plan,
one tile ahead of the array. The array's own order is S0, S1, P0, S2, P1, ... (S = SDDMM, P = SpMM), so that the softmax
of one tile runs beside the SDDMM of the next; that needs two score slots and two mask slots (a tile's plan stays in its
mask slot until its SpMM), else S0, P0, S1, P1, ... In a coupled design predictor and PE array are one composable array,
which takes their jobs in the order of the stream.

Worked example: one kv head, two tiles of X and three of queries, one part a tile: XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2
(A = prediction), so with a switch cost of 5 the jobs S0, A2 and S1 pay it: 15 cycles.

A tile whose keys do not fit the K (V) buffer together is computed in parts (`dataflow.residency`), consecutive jobs.
A method that waits for a head's scores (`head_barrier`) has all its predictions before the first mask of the head.
The end of the last reader frees each slot: X by XP, weights by the kv head's last prediction, query rows that the
method reads by their prediction, S~ by the mask generator,
Q by its SDDMM, plan and scores by its SpMM, K and V by the last SDDMM and SpMM of the kv head, output by its write.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from dsasim.designs.dsa.jobs import unit_job
from dsasim.designs.dsa.tile import KVHead, Slots, Tile
from dsasim.designs.dsa.work import LayerWork, Part
from dsasim.machine.job import Job, LaneCycles
from dsasim.machine.space import After, Releasable, Space, Take
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.sim.parts import dma_job

PREDICTOR, MASK_GENERATOR, SCHEDULER = "predictor", "mask_generator", "scheduler"
ARRAY, SOFTMAX = "pe_array", "softmax"
STREAMS = ("predictor", "q", "k", "v", "score", "output")
"""DMA streams, in the order in which the memory controller takes simultaneous posts."""


class AttentionLayer:
    """One layer of attention, compiled for the machine; its jobs are made while they are wanted."""

    def __init__(self, system: System, work: LayerWork) -> None:
        self._work = work
        self._slots = Slots.of(system, work.slots)
        self._kv_heads = [KVHead(kv_head) for kv_head in work.kv_heads]
        self._part_ends: dict[str, list[Token]] = {"k": [], "v": []}
        """Ends of the parts of SDDMMs and SpMMs so far: what a later fetch into the pool waits for."""

    def stage(self) -> Stage:
        """The layer as one stage."""
        return Stage(self._jobs(), _units(self._work))

    def head_ends(self) -> Iterator[int]:
        """When the last output of each query head reached the memory; known once the stage has ended."""
        for kv_head in self._kv_heads:
            tiles = iter(kv_head.tiles)
            for bundle in kv_head.work.bundles:
                ends = [next(tiles).written.at for _ in bundle.tiles]
                yield from [max(end for end in ends if end is not None)] * len(bundle.heads)

    def _jobs(self) -> Iterator[Job]:
        yield from self._projections()
        heads_ahead = self._whole_heads()
        tiles = [tile for kv_head in self._kv_heads for tile in kv_head.tiles]
        yield from self._front(tiles[0], heads_ahead)
        waiting: list[Tile] = []
        for tile, following in pairwise(chain(tiles, [None])):
            assert tile is not None
            if following is not None:
                yield from self._front(following, heads_ahead)
            yield from self._scores(tile)
            waiting.append(tile)
            if len(waiting) > self._work.slots.overlapped:
                yield from self._output(waiting.pop(0))
        for tile in waiting:
            yield from self._output(tile)

    def _projections(self) -> Iterator[Job]:
        """What the method does once a layer (XP), a tile of X at a time."""
        work, slot = self._work, Take(self._slots.inputs)
        constant: tuple[Token, ...] = ()
        if work.projection_read is not None:
            constant = (Token(f"projection P of {work.place}"),)
            yield dma_job("predictor", work.place, work.projection_read, makes=constant[0])
        for at, (read, job) in enumerate(zip(work.input_reads, work.projections, strict=True)):
            inputs, place = Token(f"X tile {at} of {work.place}"), work.place._replace(tile=at)
            yield dma_job("predictor", place, read, makes=inputs, space=slot)
            operands = (*constant, inputs)
            yield unit_job(PREDICTOR, job.does, place, job, operands=operands, frees=(slot,))

    def _whole_heads(self) -> Iterator[Iterator[Job]]:
        """K and V of each kv head, whole, ahead of it by as many heads as can be on the way while it is read."""
        reads = [list(self._whole_head(kv_head)) for kv_head in self._kv_heads]
        ahead = max(self._work.slots.k, self._work.slots.v)
        yield chain.from_iterable(reads[: ahead + 1])
        for read in (*reads[ahead + 1 :], *([[]] * ahead)):
            yield iter(read)

    def _whole_head(self, kv_head: KVHead) -> Iterator[Job]:
        for name, read, slots, arrived in (
            ("k", kv_head.work.k_read, self._slots.k, kv_head.k),
            ("v", kv_head.work.v_read, self._slots.v, kv_head.v),
        ):
            if read is not None:
                yield dma_job(name, kv_head.work.place, read, makes=arrived, space=Take(slots))

    def _front(self, tile: Tile, heads_ahead: Iterator[Iterator[Job]]) -> Iterator[Job]:
        """All that comes before the array: Q; and S~, mask and plan where the design makes them."""
        work, slots = tile.work, self._slots
        if tile is tile.kv_head.tiles[0]:
            yield from next(heads_ahead)
            yield from self._keys(tile.kv_head)
        yield dma_job("q", work.place, work.q_read, makes=tile.q, space=Take(slots.q))
        scored = tile.bundle if self._work.head_barrier else (tile,)
        if tile is scored[0]:
            for each in scored:
                yield from self._prediction(each)
        if work.mask_generation is not None:
            yield unit_job(
                MASK_GENERATOR,
                "select",
                work.place,
                work.mask_generation,
                operands=tuple(each.to_select for each in scored),
                space=Take(slots.mask),
                makes=tile.mask,
                frees=(Take(slots.predicted),),
            )
        if work.scheduling is not None:
            made = work.mask_generation is not None
            operands, space = ((tile.mask,), None) if made else ((), Take(slots.mask))
            planning = work.scheduling
            yield unit_job(SCHEDULER, "plan", work.place, planning, operands=operands, space=space, makes=tile.plan)

    def _keys(self, kv_head: KVHead) -> Iterator[Job]:
        """What the method reads (W~) and makes (K~) of a kv head."""
        work = kv_head.work
        operands: tuple[Token, ...] = ()
        if work.weights_read is not None:
            space, operands = Take(self._slots.weights), (kv_head.weights,)
            yield dma_job("predictor", work.place, work.weights_read, makes=kv_head.weights, space=space)
        if work.key_prediction is not None:
            yield unit_job(PREDICTOR, work.key_prediction.does, work.place, work.key_prediction, operands=operands)

    def _prediction(self, tile: Tile) -> Iterator[Job]:
        """S~ of a tile; what its slot cannot hold goes out and comes back before its mask is made."""
        job, place, spill, head = tile.work.prediction, tile.work.place, tile.work.predicted_spill, tile.kv_head
        if job is None:
            return
        operands, frees = [], []
        if head.work.weights_read is not None:
            operands += [head.weights] if head.work.key_prediction is None else []
            frees += [Take(self._slots.weights)] if tile is head.tiles[-1] else []
        if tile.work.rows_read is not None:
            rows = Take(self._slots.rows)
            yield dma_job("predictor", place, tile.work.rows_read, makes=tile.rows, space=rows)
            operands.append(tile.rows)
            frees.append(rows)
        space = Take(self._slots.predicted)
        yield unit_job(PREDICTOR, job.does, place, job, operands, space, makes=tile.predicted, frees=frees)
        if spill is not None:
            yield dma_job("predictor", place, spill.write, operands=(tile.predicted,), makes=tile.predicted_out)
            yield dma_job("predictor", place, spill.read, operands=(tile.predicted_out,), makes=tile.to_select)

    def _scores(self, tile: Tile) -> Iterator[Job]:
        """SDDMM and softmax of a tile; spilled scores go out and come back before and after the softmax."""
        work, slots, spill = tile.work, self._slots, tile.work.score_spill
        last_of_head = tile is tile.kv_head.tiles[-1] and tile.kv_head.work.k_read is not None
        frees = (Take(slots.q), Take(slots.k)) if last_of_head else (Take(slots.q),)
        operands, space = (*tile.planned, tile.q), Take(slots.score)
        yield from self._product("k", "SDDMM", tile, work.sddmm, tile.kv_head.k, operands, space, tile.scores, frees)
        if spill is not None:
            yield dma_job("score", work.place, spill.write, operands=(tile.scores,), makes=tile.scores_out)
            yield dma_job("score", work.place, spill.read, operands=(tile.scores_out,), makes=tile.to_normalise)
        operand, made = (tile.to_normalise,), tile.probabilities
        yield unit_job(SOFTMAX, "softmax", work.place, work.softmax, operands=operand, makes=made)
        if spill is not None:
            out, back = tile.probabilities_out, tile.to_multiply
            yield dma_job("score", work.place, spill.write, operands=(tile.probabilities,), makes=out)
            yield dma_job("score", work.place, spill.read, operands=(out,), makes=back)

    def _output(self, tile: Tile) -> Iterator[Job]:
        """SpMM of a tile, and its way to the memory."""
        work, slots = tile.work, self._slots
        frees = [Take(slots.score)]
        if work.scheduling is not None:
            frees.append(Take(slots.mask))
        if tile is tile.kv_head.tiles[-1] and tile.kv_head.work.v_read is not None:
            frees.append(Take(slots.v))
        operands, space = (tile.to_multiply,), Take(slots.output)
        yield from self._product("v", "SpMM", tile, work.spmm, tile.kv_head.v, operands, space, tile.output, frees)
        out = Take(slots.output)
        yield dma_job(
            "output", work.place, work.output_write, operands=(tile.output,), makes=tile.written, frees=(out,)
        )

    def _product(
        self,
        reads: str,
        does: str,
        tile: Tile,
        parts: Sequence[Part],
        resident: Token,
        operands: Sequence[Token],
        space: Space,
        makes: Token,
        frees: Sequence[Releasable],
    ) -> Iterator[Job]:
        """A product part by part: the first needs the tile's operands and space, the last makes and frees."""
        place, ends = tile.work.place, self._part_ends[reads]
        for at, part in enumerate(parts):
            first, last = at == 0, at == len(parts) - 1
            vectors, ended = resident, makes if last else Token(f"the end of the {does} of {place}")
            if part.fetch is not None:
                vectors = Token(f"vectors for the {does} of {place}")
                room = None if part.fetch.after < 0 else After(ends[part.fetch.after], f"the {reads} buffer")
                yield dma_job(reads, place, part.fetch.transfer, makes=vectors, space=room, operands=tile.planned)
                ends.append(ended)
            yield Job(
                ARRAY,
                does,
                place,
                part.job.cycles,
                operands=(*operands, vectors) if first else (vectors,),
                space=space if first else None,
                makes=ended,
                frees=frees if last else (),
                lanes=LaneCycles(part.job.lane_busy, part.job.lane_conflict),
                events=part.job.events,
            )


def _units(work: LayerWork) -> list[str]:
    """The units that have something to do in a layer."""
    tiles = work.tiles
    parts_k, parts_v = (part for tile in tiles for part in tile.sddmm), (part for tile in tiles for part in tile.spmm)
    takes_part = {
        PREDICTOR: any(tile.prediction for tile in tiles),
        MASK_GENERATOR: any(tile.mask_generation for tile in tiles),
        SCHEDULER: any(tile.scheduling for tile in tiles),
        "dma_predictor": _method_reads(work),
        "dma_k": any(kv.k_read for kv in work.kv_heads) or any(part.fetch for part in parts_k),
        "dma_v": any(kv.v_read for kv in work.kv_heads) or any(part.fetch for part in parts_v),
        "dma_score": any(tile.score_spill for tile in tiles),
    }
    return [*(unit for unit, does in takes_part.items() if does), ARRAY, SOFTMAX, "dma_q", "dma_output"]


def _method_reads(work: LayerWork) -> bool:
    """Whether predicting a layer moves anything."""
    once = work.projection_read is not None or bool(work.input_reads)
    heads = any(kv_head.weights_read is not None for kv_head in work.kv_heads)
    return once or heads or any(tile.rows_read is not None or tile.predicted_spill for tile in work.tiles)
