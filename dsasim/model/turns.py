"""The coupled array's order: prediction and attention share one composable array, job after job.

Immediately before the SDDMM of tile i come all jobs of the predictor up to the prediction of tile i + 1 of the same
layer, XP and K~ included, so that the mask of the next tile is made while this one computes. The first job after a
change between prediction and attention begins with the switch cost, once its operands and its room are there; the run's
first job pays none.

Worked example: one kv head, two tiles of X and three of queries, one part a tile: XP XP K~ A0 A1 S0 A2 S1 P0 S2 P1 P2
(A = prediction), so with a switch cost of 5 the jobs S0, A2 and S1 pay it: 15 cycles.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import accumulate, repeat

from simpy import Environment

from dsasim.model.operands import Ready
from dsasim.model.unit import Turn
from dsasim.model.work import LayerWork

PREDICTOR = "predictor"
ARRAY = "pe_array"


def array_order(num_tiles: int, overlapped: bool) -> Iterator[tuple[str, int]]:
    """The array's own jobs: ("S", tile) and ("P", tile).

    Worked example, three tiles overlapped: S0 S1 P0 S2 P1 P2.
    """
    for tile in range(num_tiles):
        yield "S", tile
        if not overlapped:
            yield "P", tile
        elif tile > 0:
            yield "P", tile - 1
    if overlapped and num_tiles:
        yield "P", num_tiles - 1


def shared_order(work: LayerWork) -> Iterator[str]:
    """Whose turn it is on a coupled array, for every job of a layer."""
    until = list(_predictions_until(work))
    done = 0
    for product, at in array_order(len(until), work.slots.overlapped):
        tile = work.tiles[at]
        if product == "S":
            wanted = until[min(at + 1, len(until) - 1)]
            yield from repeat(PREDICTOR, wanted - done)
            done = wanted
        yield from repeat(ARRAY, len(tile.sddmm if product == "S" else tile.spmm))


def take_turns(
    env: Environment, order: Sequence[str], switch_cycles: int, previous: str | None
) -> dict[str, deque[Turn]]:
    """The turns of each unit in `order`; `previous` is whose job came last before it, if any."""
    turns: dict[str, deque[Turn]] = {PREDICTOR: deque(), ARRAY: deque()}
    before: Ready | None = None
    for owner in order:
        switch = switch_cycles if previous not in (None, owner) else 0
        turn = Turn(before, switch, Ready(env, f"the turn of the {owner}"))
        turns[owner].append(turn)
        previous, before = owner, turn.ended
    return turns


def _predictions_until(work: LayerWork) -> Iterator[int]:
    """For each tile: the predictor's jobs up to and including its prediction."""
    jobs = [1 + len(kv.tiles) for kv in work.kv_heads]
    for kv, first in zip(work.kv_heads, accumulate(jobs, initial=len(work.projections)), strict=False):
        yield from range(first + 2, first + 2 + len(kv.tiles))
