"""A layer of attention as jobs of a dense machine's units.

A step is a tile of queries meeting a tile of keys (`designs.dense.work`); those of all tiles and kv heads are one
sequence. For step n in it

    dma_q, dma_k   bring the queries, with the tile's first step, and the keys
    pe_array       S: scores, into one of two slots of the score buffer
    softmax        P: exponentials in place; the tile's first takes a slot of the output buffer
    rescaler       multiplies the sums by the change of maximum, but in the tile's first step
    dma_v          brings the values
    pe_array       O: adds to the sums
    rescaler       divides, after the tile's last step
    dma_output     writes

and the scores of step n + 1 come before the outputs of step n, so that the array works while the softmax unit and the
rescaler do. Keys and values are fetched when a tile of queries first wants them and given up after its last use: of
each tile of queries, or of all of the kv head's if its keys fit on the chip.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dsasim.designs.dense import events
from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.room import is_resident, tile_counts
from dsasim.designs.dense.rules import Mapping, Rules
from dsasim.designs.dense.work import Group, QueryTile, Step, group_of, query_tiles, steps
from dsasim.machine.job import Events, Job, Place
from dsasim.machine.space import Releasable, Take
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import MemoryMap
from dsasim.sim.components import dma_job, place_of
from dsasim.sim.design import Demand, HeadRecord, LayerRecord
from dsasim.trace.attention import LayerTrace

ARRAY, SOFTMAX, RESCALER = "pe_array", "softmax", "rescaler"
STREAMS = ("q", "k", "v", "output")


@dataclass(eq=False)
class _KVHead:
    """Query heads of a kv head while they are compiled: their keys and values on the chip, and what is told of them."""

    number: int
    heads: tuple[int, ...]
    group: Group
    place: Place
    keys: dict[int, Token] = field(default_factory=dict)
    values: dict[int, Token] = field(default_factory=dict)
    records: list[HeadRecord] = field(default_factory=list)
    key_loads: int = 0
    steps: int = 0

    def share_out(self) -> None:
        """Loads and steps of keys are those of all heads together: each is told its share."""
        for at, record in enumerate(self.records):
            record.k_loads, record.plan_steps = (
                total // len(self.records) + (at < total % len(self.records)) for total in (self.key_loads, self.steps)
            )


@dataclass(eq=False)
class _Tile:
    """A tile of queries while it is compiled: its queries, and its sums once there are any."""

    kv_head: _KVHead
    rows: QueryTile
    place: Place
    queries: Token
    sums: Token | None = None


class DenseLayer:
    """The chosen heads of a layer, compiled under a mapping; `largest`: the most of them that share a kv head."""

    def __init__(
        self,
        config: DenseConfig,
        system: System,
        layer: LayerTrace,
        heads: Sequence[int],
        largest: Group,
        mapping: Mapping,
    ) -> None:
        self.tile_rows = largest.heads * mapping.query_rows
        self._config, self._layer, self._mapping = config, layer, mapping
        self._kv_heads = _kv_heads(layer, heads)
        self._rules = Rules(config, mapping, layer.d_head)
        self._resident = is_resident(config, largest, mapping)
        counts = tile_counts(config, largest, mapping)
        self._slots = {name: Take(system.buffer(f"{name} buffer", count)) for name, count in counts.items()}
        memory, vector = MemoryMap(config), layer.d_head * config.element_bytes
        rows = {"q": layer.L_q, "k": layer.L_k, "v": layer.L_k, "output": layer.L_q}
        number = {"q": layer.num_heads, "k": layer.num_kv_heads, "v": layer.num_kv_heads, "output": layer.num_heads}
        self._regions = {name: memory.place(number[name], rows[name], vector) for name in STREAMS}

    def jobs(self, record: LayerRecord) -> Iterator[Job]:
        """All jobs in order; `record` is told of each kv head as it is reached."""
        before: tuple[_Tile, Step, Token] | None = None
        for kv_head in self._kv_heads:
            kept = int(kv_head.group.allowed.sum())
            kv_head.records = [record.head(head, kept) for head in kv_head.heads]
            record.record.demands.append(self._demand(kv_head))
            tiles = list(query_tiles(kv_head.group, self._mapping.query_rows, self._rules.block_rows))
            tile = None
            for step in steps(tiles, self._mapping.keys, resident=self._resident):
                if tile is None or step.number == 0:
                    place = place_of(self._layer)._replace(heads=kv_head.heads, tile=step.tile.number)
                    tile = _Tile(kv_head, step.tile, place, Token("queries", place))
                weights = Token("weights", tile.place)
                yield from self._scores(tile, step, weights)
                if before is not None:
                    yield from self._outputs(*before)
                before = tile, step, weights
            kv_head.share_out()
        if before is not None:
            yield from self._outputs(*before)

    def _demand(self, kv_head: _KVHead) -> Demand:
        group, vector = kv_head.group, self._layer.d_head * self._config.element_bytes
        vectors = 2 * (group.heads * len(group.spans) + group.num_keys)
        macs = 2 * group.heads * int(group.allowed.sum()) * group.d_head
        return Demand(sparse_macs=macs, num_bytes=vectors * vector)

    def _rows(self, name: str, tile: _Tile) -> Transfer:
        """The tile's rows of all its heads, of Q or of the output."""
        region, rows = self._regions[name], tile.rows
        written = name == "output"
        parts = [region.transfer(head, rows.first, rows.count, is_write=written) for head in tile.kv_head.heads]
        return Transfer.joined(parts)

    def _fetch(self, name: str, kv_head: _KVHead, step: Step, made: Token) -> Job:
        transfer = self._regions[name].transfer(kv_head.number, step.first, step.fetched)
        return dma_job(name, kv_head.place, transfer, space=self._slots[name], makes=made)

    def _scores(self, tile: _Tile, step: Step, weights: Token) -> Iterator[Job]:
        """Queries and keys, scores, and their exponentials."""
        kv_head, rules, slots = tile.kv_head, self._rules, self._slots
        if step.number == 0:
            yield dma_job("q", tile.place, self._rows("q", tile), space=slots["q"], makes=tile.queries)
        if step.fetched:
            kv_head.keys[step.number] = Token(f"keys {step.first} .. of {kv_head.place}")
            yield self._fetch("k", kv_head, step, kv_head.keys[step.number])
        kv_head.steps += 1
        kv_head.key_loads += int(step.widths.sum())
        scores, cycles = Token("scores", tile.place), int(rules.score_cycles(step.widths).sum())
        yield Job(
            ARRAY,
            "scores",
            tile.place,
            cycles,
            cycles - int(rules.score_cycles(step.widths, conflicts=False).sum()),
            operands=(tile.queries, kv_head.keys[step.number]),
            space=slots["score"],
            makes=scores,
            frees=[*([slots["q"]] if step.last else []), *([slots["k"]] if step.gives_up else [])],
            events=events.scores(self._config, rules, kv_head.group, step),
            lag=rules.lag,
        )
        exponentials, first = kv_head.group.heads * int(rules.exp_groups(step.row_widths).sum()), step.number == 0
        yield Job(
            SOFTMAX,
            "exponentials",
            tile.place,
            max(1, rules.softmax_cycles(exponentials, step.rows, first=first)),
            operands=(scores,),
            space=slots["output"] if first else None,
            makes=weights,
            events=events.softmax(self._config, kv_head.group, step),
        )

    def _outputs(self, tile: _Tile, step: Step, weights: Token) -> Iterator[Job]:
        """Sums so far rescaled, values, and products added to the sums; after the last, quotients."""
        kv_head, rules = tile.kv_head, self._rules
        if tile.sums is not None:
            yield self._rescale(
                tile, "rescale", step.rows, (weights, tile.sums), events.rescale(self._config, rules, step)
            )
        if step.fetched:
            kv_head.values[step.number] = Token(f"values {step.first} .. of {kv_head.place}")
            yield self._fetch("v", kv_head, step, kv_head.values[step.number])
        sums, cycles = Token("sums", tile.place), int(rules.output_cycles(step.widths).sum())
        yield Job(
            ARRAY,
            "outputs",
            tile.place,
            cycles,
            cycles - int(rules.output_cycles(step.widths, conflicts=False).sum()),
            operands=(weights, kv_head.values[step.number], *(() if tile.sums is None else (tile.sums,))),
            makes=sums,
            frees=[self._slots["score"], *([self._slots["v"]] if step.gives_up else [])],
            events=events.outputs(self._config, rules, kv_head.group, step),
            lag=rules.lag,
        )
        tile.sums = sums
        if step.last:
            yield from self._quotients(tile)

    def _quotients(self, tile: _Tile) -> Iterator[Job]:
        """The tile's output, divided and written."""
        assert tile.sums is not None
        rows = tile.rows.count * tile.kv_head.group.heads
        divided = events.divide(self._config, self._rules, rows)
        yield self._rescale(tile, "divide", rows, (tile.sums,), divided)
        frees: list[Releasable] = [self._slots["output"], *tile.kv_head.records]
        yield dma_job("output", tile.place, self._rows("output", tile), (tile.sums,), frees=frees)

    def _rescale(self, tile: _Tile, does: str, rows: int, operands: Sequence[Token], counted: Events) -> Job:
        """A job on the sums of a tile's rows, which are other sums after it."""
        tile.sums = Token("sums", tile.place)
        cycles = max(1, self._rules.rescale_cycles(rows))
        return Job(RESCALER, does, tile.place, cycles, operands=operands, makes=tile.sums, events=counted)


def _kv_heads(layer: LayerTrace, heads: Sequence[int]) -> list[_KVHead]:
    """The chosen query heads by kv head, ascending."""
    by_number: dict[int, list[int]] = defaultdict(list)
    for head in sorted(heads):
        by_number[layer.kv_head(head)].append(head)
    return [
        _KVHead(
            number,
            tuple(chosen),
            group_of(layer, len(chosen)),
            place_of(layer)._replace(kv_heads=(number,)),
        )
        for number, chosen in by_number.items()
    ]
