"""A tile of query rows on its way through the machine: its jobs, unit after unit.

The end of the last reader frees each slot: query rows that the method reads by their prediction, S~ by the mask
generator, Q by its SDDMM, plan and scores by its SpMM, K, V and weights by the last SDDMM, SpMM and prediction of the
kv head, output by its write. A tile whose keys do not fit the K (V) buffer together is computed in key blocks
(`dataflows.key_blocks`), consecutive jobs of the array.

Scores that do not fit their slot are spilled (`designs.dsa.tiling`): a slot holds the first bytes of a tile's scores,
the others pass through it. S~ goes out when the tile is predicted and comes back before its mask is made, on the
predictor's DMA engine. S goes out after the tile's SDDMM, comes back for the softmax, goes out as probabilities and
comes back for the SpMM, on an engine of its own (`score`). Each way is one transfer, which starts when the one before
it has ended. A spilled tile that fits after all transfers nothing, which takes a cycle each way.

Worked example: slots of 1000 bytes and tiles of 1500 and 800 bytes: the first tile's scores cross the memory bus four
times, 500 bytes each; the second's move nothing.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dsasim.designs.dsa.context import ARRAY, MASK_GENERATOR, PREDICTOR, SCHEDULER, SOFTMAX, Context, KVHeads
from dsasim.designs.dsa.vectors import Fetch
from dsasim.designs.dsa.work import Work
from dsasim.machine.job import Job
from dsasim.machine.space import Releasable, Take
from dsasim.machine.token import Token
from dsasim.machine.transfer import Transfer
from dsasim.model.memory_map import Region
from dsasim.sim.components import dma_job, place_of
from dsasim.sim.design import HeadRecord

Block: TypeAlias = tuple[Work, Fetch | None]
"""SDDMM or SpMM of a tile, or of a key block of it with the fetch of its keys."""


def spill(region: Region, slot: int, score_bytes: int, held_bytes: int) -> tuple[Transfer, Transfer]:
    """What of `score_bytes` a slot of `held_bytes` cannot hold, to DRAM and back; `region` has space for each slot."""
    beyond, start = max(0, score_bytes - held_bytes), region.base + slot * region.vector_bytes
    return Transfer.run(True, start, beyond), Transfer.run(False, start, beyond)


@dataclass(eq=False)
class Tile:
    """Some query rows of the heads of a group, and what units have to do for them; None where one has no part in it.

    `rows`: the first, how many, and the keys that they see; `kept` scores of all heads. `blocks`: of K and V, SDDMM and
    SpMM, in one piece or with the fetch of each key block. `first`, `last`: of all tiles that share the kv heads.
    `scored`: tiles whose scores its mask waits for, where it is not its own alone.
    """

    context: Context
    kv: KVHeads
    heads: Sequence[HeadRecord]
    number: int
    rows: tuple[int, int, int]
    kept: int
    selection: Work | None
    planning: Work | None
    blocks: Mapping[str, Sequence[Block]]
    softmax: Work
    first: bool = False
    last: bool = False
    scored: Sequence["Tile"] = ()

    def __post_init__(self) -> None:
        numbers = tuple(head.head for head in self.heads)
        self.place = place_of(self.context.layer)._replace(heads=numbers, tile=self.number)
        self.predicted = Token("predicted scores", self.place)
        self._q = Token("Q", self.place)
        self._plan = Token("plan", self.place)
        self._probabilities = Token("probabilities", self.place)

    def fetch(self) -> Iterator[Job]:
        """Q."""
        read = self._transfer(self.context.placement.q)
        yield dma_job("q", self.place, read, makes=self._q, space=self.context.slots["q"])

    def predict(self) -> Iterator[Job]:
        """S~; then `predicted` is what its mask is made of."""
        (_, count, span), slots, kv, needs = self.rows, self.context.slots, self.kv, self.context.predictor.work
        work, place = self.context.prediction(count, span, len(self.heads)), self.context.placement.predictor
        if work is None or needs is None or place is None:
            return
        operands, frees = list[Token](), list[Releasable]()
        if kv.weights is not None:
            operands += [] if kv.predicted else [kv.weights]
            frees += [slots["weights"]] if self.last else []
        if place.query_rows is not None:
            rows = Token("query rows", self.place)
            read = self._transfer(place.query_rows)
            yield dma_job("predictor", self.place, read, makes=rows, space=slots["query rows"])
            operands.append(rows)
            frees.append(slots["query rows"])
        yield work.job(PREDICTOR, self.place, operands, slots["S~"], self.predicted, frees)
        num_bytes = len(self.heads) * needs.storage.scores(count, span) * needs.storage.score_bytes
        self.predicted = yield from self._spilled("predictor", num_bytes, self.predicted)

    def select(self, predicted: Sequence[Token]) -> Iterator[Job]:
        """Mask and plan; the mask waits for predictions, its own or its whole head's."""
        slots, operands, space = self.context.slots, tuple[Token, ...](), self.context.slots["mask"]
        if self.selection is not None:
            operands = (Token("mask", self.place),)
            yield self.selection.job(MASK_GENERATOR, self.place, predicted, space, operands[0], (slots["S~"],))
        if self.planning is not None:
            yield self.planning.job(SCHEDULER, self.place, operands, None if operands else space, self._plan)

    def attend(self) -> Iterator[Job]:
        """SDDMM and softmax; spilled scores go out and come back before and after the softmax."""
        slots, scores = self.context.slots, Token("scores", self.place)
        num_bytes = self.kept * self.context.arch.pe_array.bits // 8
        yield from self._product("k", (*self._planned, self._q), slots["score"], scores, [slots["q"]])
        scores = yield from self._spilled("score", num_bytes, scores)
        yield self.softmax.job(SOFTMAX, self.place, (scores,), makes=self._probabilities)
        self._probabilities = yield from self._spilled("score", num_bytes, self._probabilities)

    def output(self) -> Iterator[Job]:
        """SpMM, and its way to the memory."""
        slots, output = self.context.slots, Token("output", self.place)
        frees: list[Releasable] = [slots["score"], *([] if self.planning is None else [slots["mask"]])]
        yield from self._product("v", (self._probabilities,), slots["output"], output, frees)
        write = self._transfer(self.context.placement.output, is_write=True)
        yield dma_job("output", self.place, write, operands=(output,), frees=(slots["output"], *self.heads))

    def _transfer(self, region: Region, *, is_write: bool = False) -> Transfer:
        """The rows of each head."""
        first, count, _ = self.rows
        return Transfer.joined([region.transfer(head.head, first, count, is_write=is_write) for head in self.heads])

    @property
    def _planned(self) -> tuple[Token, ...]:
        """The plan as an operand; nothing on a dense machine, which needs none."""
        return () if self.planning is None else (self._plan,)

    def _product(
        self, name: str, operands: Sequence[Token], space: Take, makes: Token, frees: list[Releasable]
    ) -> Iterator[Job]:
        """A product block by block: the first needs the tile's operands and space, the last makes and frees."""
        vectors, blocks = self.context.vectors[name], self.blocks[name]
        for at, (work, fetch) in enumerate(blocks):
            first, last, needed = at == 0, at == len(blocks) - 1, self.kv.vectors[name]
            made = makes if last else Token(f"the end of the {work.does}", self.place)
            if fetch is not None:
                needed = Token(f"vectors for the {work.does}", self.place)
                space_made = vectors.space(fetch.after)
                yield dma_job(name, self.place, fetch.transfer, self._planned, space_made, needed)
                vectors.computed(made)
            elif self.last:
                frees.append(self.context.slots[name])
            yield work.job(
                ARRAY,
                self.place,
                (*operands, needed) if first else (needed,),
                space if first else None,
                made,
                frees if last else (),
            )

    def _spilled(self, buffer: str, score_bytes: int, made: Token) -> Generator[Job, None, Token]:
        """What was made, out and back where slots are too small; returns what readers wait for."""
        slot = self.context.shape.tiling.spilled.get(buffer)
        if slot is None:
            return made
        at, region = self.number % self.context.shape.slots[buffer], self.context.placement.spills[buffer]
        write, read = spill(region, at, score_bytes, slot.held_bytes)
        out, back = Token(f"spilled {made.what}", self.place), Token(f"{made.what} back from DRAM", self.place)
        yield dma_job(buffer, self.place, write, operands=(made,), makes=out)
        yield dma_job(buffer, self.place, read, operands=(out,), makes=back)
        return back
