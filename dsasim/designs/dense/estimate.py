"""How long a layer takes under a mapping, and how much it moves, in closed form: from sums over steps.

Steps are of two sorts: in whole ones all rows of the tile meet all keys, in ragged ones, the last of a tile, they do
not. With s, o, x, r cycles of the scores, outputs, softmax and rescaling of a sort's average step, and l of a result
leaving the array, a step takes as long as what of this is longest:

    s + o                 the array                         each unit is busy at most all the time
    x, r                  the softmax unit, the rescaler
    (s + l + x + o) / 2   two steps are on their way        S of a step waits for O of the last but one
    o + l + r             of steps but a tile's first       sums are rescaled between two products that add to them

Besides a tile waits for a buffer that holds one tile only; the first operands come before it all; and after it the last
step's softmax, its division and its write. If more, it takes what the memory needs for all bytes at its peak, and the
last step after that. Latencies of the memory, its refresh and its rows are left out.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.room import is_resident, tile_counts
from dsasim.designs.dense.rules import Mapping, Rules
from dsasim.designs.dense.work import Blocks, Cut, Group, Int64
from dsasim.model.dram_preset import peak_bytes_per_cycle


class Estimate(NamedTuple):
    """Cycles; bytes between memory and chip; steps."""

    cycles: float
    dram_bytes: int
    steps: int


class AverageStep(NamedTuple):
    """Cycles of an average step: its scores, its outputs, its softmax, its rescaling; of a result leaving the array."""

    scores: float
    outputs: float
    softmax: int
    rescale: int
    lag: int

    def busy(self, steps: int, firsts: int) -> float:
        """Of so many steps, `firsts` of them their tiles' first."""
        array = self.scores + self.outputs
        first = max(array, self.softmax, self.rescale, (array + self.lag + self.softmax) / 2)
        return firsts * first + (steps - firsts) * max(first, self.outputs + self.lag + self.rescale)

    def after_scores(self) -> float:
        """Of a step alone, from the end of its scores to its quotients."""
        return self.lag + self.softmax + self.outputs + self.lag + self.rescale


class Sums(NamedTuple):
    """Of some steps: how many, cycles of scores, of outputs and of exponentials, rows that meet keys."""

    steps: int
    scores: int
    outputs: int
    exponentials: int
    rows: int

    def without(self, others: "Sums") -> "Sums":
        """Those of the steps that are not among the others."""
        return Sums(*(mine - other for mine, other in zip(self, others, strict=True)))

    def average(self, rules: Rules) -> AverageStep:
        """The average of at least one step."""
        exponentials, rows = -(-self.exponentials // self.steps), -(-self.rows // self.steps)
        softmax = rules.softmax_cycles(exponentials, rows, first=False)
        rescale = rules.rescale_cycles(rows)
        return AverageStep(self.scores / self.steps, self.outputs / self.steps, softmax, rescale, rules.lag)


def estimate(config: DenseConfig, group: Group, kv_heads: int, mapping: Mapping, rows: Cut) -> Estimate:
    """What `kv_heads` groups alike take; `rows` are the group's, cut as the mapping says."""
    rules, keys = Rules(config, mapping, group.d_head), mapping.keys
    least = rows.shortest // keys
    every, whole = _all_steps(group, keys, rules, rows), _whole_steps(keys, rules, rows.blocks, least)
    sorts = ((whole, np.count_nonzero(least)), (every.without(whole), np.count_nonzero(least == 0)))
    found = [(sums.average(rules), sums.steps, int(firsts)) for sums, firsts in sorts if sums.steps]
    busy = kv_heads * sum(step.busy(steps, firsts) for step, steps, firsts in found)
    first, last = found[0][0], found[-1][0]

    peak, vector = float(peak_bytes_per_cycle(config)), group.d_head * config.element_bytes
    fetched = group.num_keys if is_resident(config, group, mapping) else int(rows.longest.sum())
    dram_bytes = 2 * vector * kv_heads * (group.heads * len(group.spans) + fetched)
    tile, counts = group.heads * mapping.query_rows * vector / peak, tile_counts(config, group, mapping)
    waits = 0.0
    if counts["q"] < 2:
        waits += max(0.0, tile - first.outputs)
    if counts["output"] < 2:
        waits += max(0.0, first.after_scores() - first.outputs + tile - first.scores)
    ahead = last.outputs if kv_heads * every.steps > 1 else 0.0
    end = max(0.0, last.lag + last.softmax - ahead) + last.lag + last.rescale + tile
    units = tile + keys * vector / peak + busy + kv_heads * len(least) * waits + end
    memory = dram_bytes / peak + last.scores + last.after_scores()
    return Estimate(max(units, memory), dram_bytes, kv_heads * every.steps)


def _all_steps(group: Group, keys: int, rules: Rules, rows: Cut) -> Sums:
    """Of all tiles of a group."""
    blocks = rows.blocks
    return Sums(
        steps=int((-(-rows.longest // keys)).sum()),
        scores=_along(blocks.spans, keys, rules.score_cycles),
        outputs=_along(blocks.spans, keys, rules.output_cycles),
        exponentials=group.heads * _exponentials(group, keys, rules.exp_per_cycle),
        rows=int((blocks.rows * -(-blocks.spans // keys)).sum()),
    )


def _whole_steps(keys: int, rules: Rules, blocks: Blocks, steps: Int64) -> Sums:
    """Of the first `steps` [tiles] of each tile, in which all its rows meet all keys."""
    num_blocks, rows = steps[blocks.tile].sum(), int((steps[blocks.tile] * blocks.rows).sum())
    return Sums(
        steps=int(steps.sum()),
        scores=int(num_blocks * rules.score_cycles(np.int64(keys))),
        outputs=int(num_blocks * rules.output_cycles(np.int64(keys))),
        exponentials=rows * int(rules.exp_groups(keys)),
        rows=rows,
    )


@lru_cache(maxsize=256)
def _exponentials(group: Group, keys: int, exp_per_cycle: int) -> int:
    """Cycles of the exponentials of one head's rows; the same for all mappings of so many keys."""
    return _along(group.spans, keys, lambda widths: -(-widths // exp_per_cycle))


def _along(spans: Int64, keys: int, rule: Callable[[Any], Any]) -> int:
    """A rule of widths summed over all steps of blocks or rows of these spans."""
    whole, rest = np.divmod(spans, keys)
    return int(whole.sum()) * int(rule(np.int64(keys))) + int(rule(rest).sum())
