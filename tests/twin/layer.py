"""The jobs of a layer: who does what, how long, and what each job waits for (rules "Array", "Buffers", "Events")."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

from dsasim.trace.attention import LayerTrace
from twin.array import Cycles, Speeds, Systolic, owners, port_stretch, product, walk
from twin.layout import INPUT_BITS, TERNARY_BITS, Prediction, Tensor, bursts_of, ceil_div, slots_of
from twin.machine import Job, Slots
from twin.plan import scheduler_cycles, spilled_keys
from twin.pool import Groups, Part, Pool, keys_of, parts_of
from twin.select import tile_cycles
from twin.space import Space, Tile


class LayerJobs:
    """Builds the jobs of one layer; `jobs` holds those of each unit in its order."""

    def __init__(
        self, arch: Any, layer: LayerTrace, number: int, heads: list[int], access_bytes: int, before: Job | None
    ) -> None:
        self.arch, self.number, self.access_bytes = arch, number, access_bytes
        self.space = Space(arch, layer, heads)
        self.tiles, self.work = self.space.tiles, self.space.work
        self.slots = {name: Slots(count) for name, count in self.space.slots.items()}
        self.slots |= {name: Slots(self.space.slots.get("predictor", 0)) for name in ("inputs", "weights", "predicted")}
        self.pools = {n: Pool(self.space.pool_vectors(n)) for n in ("k", "v") if self.space.pooled(n)}
        self.whole: dict[str, Job] = {}
        """The read of the current kv head's K and V, where they fit."""
        self.counts: Counter[str] = Counter()
        self.jobs: list[Job] = []
        for tile in self.tiles:
            tile.made["q"] = self._move("dma_q", self.space.q_at, tile.queries, slot=self.slots["q"])
        self.predictions = list(self._predict(self.work)) if self.work else [[] for _ in self.tiles]
        for tile in self.tiles:
            self._select(tile)
        self.sequence = list(self._attend())
        if arch.pe_array.organisation == "coupled":
            self._take_turns(before)
        for tile in self.tiles:
            needs, frees = [tile.made["output"]], [self.slots["output"]]
            tile.made["written"] = self._move(
                "dma_output", self.space.output_at, tile.queries, needs=needs, frees=frees, is_write=True
            )

    # ------------------------------------------------------------------------------------------- one job
    def _job(self, unit: str, cycles: Cycles, needs: list[Job], **others: Any) -> Job:
        self.jobs.append(Job(unit, self.number, cycles, needs, **others))
        return self.jobs[-1]

    def _move(self, unit: str, tensor: Tensor, vectors: list[tuple[int, int]], **others: Any) -> Job:
        return self._transfer(unit, tensor, lambda: vectors, **others)

    def _transfer(
        self,
        unit: str,
        tensor: Tensor,
        vectors: Callable[[], list[tuple[int, int]]],
        needs: list[Job] | None = None,
        **others: Any,
    ) -> Job:
        def bursts() -> list[int]:
            return bursts_of(tensor.runs(vectors()), self.access_bytes)

        return self._job(unit, [], needs or [], bursts=bursts, **others)

    # ---------------------------------------------------------------------------------------- prediction
    def _predict(self, work: Prediction) -> Iterator[list[Job]]:
        """XP of all X, K~ of each kv head, Q~ and S~ of each tile: the jobs up to each tile's prediction."""
        projection_at, *inputs_at, weights_at = self.space.predictor_at
        projection = self._move("dma_predictor", projection_at, [(0, 0)])
        jobs = []
        for tensor in inputs_at:
            for first in range(0, tensor.rows, self.space.input_rows):
                rows = [(0, row) for row in range(tensor.rows)][first : first + self.space.input_rows]
                x = self._move("dma_predictor", tensor, rows, slot=self.slots["inputs"])
                cycles = self._product(len(rows), work.d_model, work.k, INPUT_BITS, TERNARY_BITS)
                jobs.append(self._job("predictor", cycles, [projection, x], frees=[self.slots["inputs"]]))
        for tile in self.tiles:
            if tile.first_with_kv:
                places = [(kv_head, 0) for kv_head in tile.kv_heads]
                weights = self._move("dma_predictor", weights_at, places, slot=self.slots["weights"])
                keys = self._product(self.space.layer.L_k, work.columns, work.rank, work.bits, work.bits)
                jobs.append(self._job("predictor", keys * len(tile.kv_heads), [weights]))
            cycles = self._product(tile.rows_a_head, work.columns, work.rank, work.bits, work.bits)
            cycles += self._product(tile.rows_a_head, work.rank, tile.span, work.bits, work.bits)
            cycles *= len(tile.heads)
            frees = [self.slots["weights"]] if tile.last_with_kv else []
            tile.made["predicted"] = self._job("predictor", cycles, [], slot=self.slots["predicted"], frees=frees)
            yield [*jobs, tile.made["predicted"]]
            jobs = []
            scores = len(tile.queries) * tile.span * work.score_bytes
            tile.made["to_select"] = self._spilled("predictor", "dma_predictor", scores, tile.made["predicted"])

    def _product(self, rows: int, inner: int, columns: int, row_bits: int, column_bits: int) -> Cycles:
        """One product of the predictor: on its own array, or (coupled) on the PE array split for narrow operands."""
        config, buffer = self.arch.pe_array, self.arch.buffers.predictor
        array = Systolic(self.arch.predictor.array_rows, self.arch.predictor.array_columns)
        if config.organisation == "coupled":
            split = config.bits // max(row_bits, column_bits)
            array = Systolic(config.lanes * self.space.T * split, config.macs_per_row * split)
        bits = array.rows * row_bits + array.columns * column_bits
        stretch = port_stretch(bits, buffer.banks, buffer.port_bytes)
        return [(owner,) for owner in product(array, (rows, inner, columns), stretch)]

    # ----------------------------------------------------------------------------------------- selection
    def _select(self, tile: Tile) -> None:
        """Mask generator and scheduler; without a predictor the scheduler takes the mask slot."""
        if self.space.dense:
            return
        slot: Slots | None = self.slots["mask"]
        needs = []
        if self.work is not None:
            selectors = self.arch.mask_generator.num_selectors
            cycles = tile_cycles([row.selector_cycles for row in tile.rows], selectors)
            freed, made = [self.slots["predicted"]], [tile.made["to_select"]]
            needs = [self._job("mask_generator", [("busy",)] * cycles, made, slot=slot, frees=freed)]
            slot = None
        config = self.arch.scheduler
        work = []
        for group, steps in zip(tile.groups, tile.steps, strict=True):
            span = max(row.span for row in group)
            spills = spilled_keys([row.keys for row in group], config.order, config.id_queue_entries)
            loads = sum(len(step) for step in steps)
            work.append((ceil_div(span, config.keys_classified_per_cycle) + spills, loads + spills))
        cycles = scheduler_cycles(work, config.num_schedulers)
        tile.made["plan"] = self._job("scheduler", [("busy",)] * cycles, needs, slot=slot)

    # ----------------------------------------------------------------------------------------- attention
    def _attend(self) -> Iterator[Job]:
        """S0 S1 P0 S2 P1 ... with two score and two mask slots, else S0 P0 ...; before S_i predictions up to i + 1."""
        overlapped = self.space.slots["score"] >= 2 and self.space.slots["mask"] >= 2
        tiles, last = self.tiles, len(self.tiles) - 1
        for at, tile in enumerate(tiles):
            for earlier in range(0 if at == 0 else at + 1, min(at + 1, last) + 1):
                yield from self.predictions[earlier]
            yield from self._sddmm(tile)
            self._softmax(tile)
            if not overlapped:
                yield from self._spmm(tile)
            elif at > 0:
                yield from self._spmm(tiles[at - 1])
        if overlapped:
            yield from self._spmm(tiles[last])

    def _sddmm(self, tile: Tile) -> Iterator[Job]:
        """The end of the last part frees Q, and K after its kv head's last tile."""
        needs = [tile.made[name] for name in ("plan", "q") if name in tile.made]
        yield from self._products(tile, "k", needs, self.slots["score"], [self.slots["q"]])
        tile.made["scores"] = self.jobs[-1]

    def _softmax(self, tile: Tile) -> None:
        """depth + the sum over rows of ceil(n / exp_per_cycle) + ceil(n / div_per_cycle)."""
        config = self.arch.softmax
        cycles = config.pipeline_depth_cycles
        for row in tile.rows:
            kept = len(row.keys)
            cycles += ceil_div(kept, config.exp_per_cycle) + ceil_div(kept, config.div_per_cycle)
        scores = sum(len(row.keys) for row in tile.rows) * self.space.element
        operand = self._spilled("score", "dma_score", scores, tile.made["scores"])
        made = self._job("softmax", [("busy",)] * max(1, cycles), [operand])
        tile.made["probabilities"] = self._spilled("score", "dma_score", scores, made)

    def _spilled(self, buffer: str, engine: str, score_bytes: int, made: Job) -> Job:
        """Scores beyond their slot go to DRAM and come back; returns what their reader waits for (rule "Spill")."""
        if buffer not in self.space.held_scores:
            return made
        beyond = max(0, score_bytes - self.space.held_scores[buffer])
        runs = [(self.space.spilled_at[buffer].base, beyond)] if beyond else []
        bursts = bursts_of(runs, self.access_bytes)
        out = self._job(engine, [], [made], bursts=lambda: bursts, is_write=True)
        return self._job(engine, [], [out], bursts=lambda: bursts)

    def _spmm(self, tile: Tile) -> Iterator[Job]:
        """The end of the last part frees the scores and the plan, and V after its kv head's last tile."""
        frees = [self.slots["score"]] if self.space.dense else [self.slots["score"], self.slots["mask"]]
        yield from self._products(tile, "v", [tile.made["probabilities"]], self.slots["output"], frees)
        tile.made["output"] = self.jobs[-1]

    def _products(self, tile: Tile, name: str, needs: list[Job], slot: Slots, frees: list[Slots]) -> Iterator[Job]:
        """All parts of a tile's SDDMM (K) or SpMM (V): one where they fit, as many as the pool makes else."""
        tensor = self.space.k_at if name == "k" else self.space.v_at
        if name not in self.pools:
            if tile.first_with_kv:
                rows = [(kv_head, key) for kv_head in tile.kv_heads for key in range(self.space.layer.L_k)]
                self.whole[name] = self._move(f"dma_{name}", tensor, rows, slot=self.slots[name])
            if tile.last_with_kv:
                frees = [*frees, self.slots[name]]
            needs = [*needs, self.whole[name]]
            yield self._job("pe_array", self._array_cycles(tile, name, tile.steps), needs, slot=slot, frees=frees)
            return
        parts = list(self._parts(tile, name))
        for at, (keys, cycles) in enumerate(parts):
            L_k = self.space.layer.L_k
            part = Part({(tile.kv_heads[key // L_k], key % L_k) for key in keys})
            yield self._job(
                "pe_array",
                cycles,
                [*needs, self._fetch(tile, name, part, tensor)],
                slot=slot if at == 0 else None,
                frees=frees if at == len(parts) - 1 else [],
                at_end=part.end,
            )

    def _parts(self, tile: Tile, name: str) -> Iterator[tuple[set[int], Cycles]]:
        """Keys and cycles of each part: runs of groups or steps, or (systolic) as few even runs of keys as fit."""
        slots = slots_of(getattr(self.arch.buffers, name))
        capacity = max(self.space.T, self.pools[name].capacity // slots)  # a part has a slot's share of the pool
        if self.arch.pe_array.dataflow == "token_parallel":
            for groups in parts_of(tile.steps, capacity):
                yield keys_of(groups), self._array_cycles(tile, name, groups)
            return
        length = max(1, ceil_div(tile.span, max(1, ceil_div(tile.span, capacity))))
        for first in range(0, max(1, tile.span), length):
            keys = range(first, min(first + length, tile.span))
            yield set(keys), self._systolic(tile, name, keys)

    def _fetch(self, tile: Tile, name: str, part: Part, tensor: Tensor) -> Job:
        """The keys of a part that the pool does not hold; its operand is the plan."""
        pool = self.pools[name]
        pool.parts.append(part)
        plan = [tile.made["plan"]] if "plan" in tile.made else []
        return self._transfer(
            f"dma_{name}", tensor, lambda: pool.fetch(part), needs=plan, room=lambda: pool.has_room(part)
        )

    def _array_cycles(self, tile: Tile, name: str, groups: Groups) -> Cycles:
        """Every cycle of one array job, for every lane."""
        config, buffer = self.arch.pe_array, getattr(self.arch.buffers, name)
        if config.dataflow == "systolic":
            return self._systolic(tile, name, range(tile.span))
        speeds = Speeds(
            config.lanes,
            buffer.banks,
            ceil_div(self.space.layer.d_head, config.macs_per_row),
            ceil_div(self.space.vector_bytes, buffer.port_bytes),
        )
        cycles, reads = walk(groups, speeds, config.lane_sync)
        self.counts[f"{name}_vector_reads"] += reads
        return cycles

    def _systolic(self, tile: Tile, name: str, keys: range) -> Cycles:
        """S = Q K^T or O = P V of a tile on lanes * T rows by macs_per_row columns, up to the span of each row block.

        With outputs stationary a row block is a fold high; else it is the whole tile.
        """
        config, buffer, d_head = self.arch.pe_array, getattr(self.arch.buffers, name), self.space.layer.d_head
        array = Systolic(config.lanes * self.space.T, config.macs_per_row, config.stationary, config.pipelined_folds)
        height = array.rows if config.stationary == "output" else len(tile.rows)
        streams = []
        for first in range(0, len(tile.rows), height):
            block = tile.rows[first : first + height]
            span = max(len([key for key in keys if key < row.span]) for row in block)
            shape = (len(block), d_head, span) if name == "k" else (len(block), span, d_head)
            streams += array.streams(*shape)
            self.counts[f"{name}_vector_reads"] += array.right_reads(*shape) // d_head
        width = array.rows if config.stationary == "input" else array.columns
        stretch = port_stretch(width * config.bits, buffer.banks, buffer.port_bytes)
        busy = max(1, array.cycles(streams, array.rows))
        if config.stationary == "weight":
            cycles = array.cycles(streams, array.rows * stretch)
        else:
            cycles = array.cycles([stream * stretch for stream in streams], array.rows)
        return [(owner,) * config.lanes for owner in owners(busy, cycles)]

    def _take_turns(self, before: Job | None) -> None:
        """Coupled: one job after the other; a mode change costs switch cycles at the head of the job after it."""
        for earlier, later in pairwise([before, *self.sequence]):
            if earlier is None or later is None:
                continue
            later.turn = earlier
            if earlier.unit != later.unit:
                lanes = len(later.cycles[0])
                later.cycles[:0] = [("dependency",) * lanes] * self.arch.pe_array.switch_cycles
