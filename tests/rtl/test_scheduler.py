"""The scheduler in RTL: its plan, and the cycle in which its last entry leaves, are those of the kernels."""

import random
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from hardware.scheduler import Scheduler

from dsasim.kernels.plan import plan_reordered
from dsasim.kernels.schedule import schedule_tiles, spilled_keys

Group = tuple[int, list[set[int]]]
"""(span, the keys each row keeps)."""
Plan = list[list[tuple[int, int, bool]]]
"""Of each group its loads: (key, rows, whether a step begins)."""


@dataclass(frozen=True)
class Outcome:
    """What leaves the scheduler for one tile."""

    cycles: int
    plan: Plan
    spills: int


def mask_words(groups: list[Group], keys_per_cycle: int) -> list[dict[str, object]]:
    """The tile's mask as the scheduler reads it; groups that may keep nothing have no words."""
    words: list[dict[str, object]] = []
    for span, rows in groups:
        for first in range(0, span, keys_per_cycle):
            sets = [
                sum(1 << row for row, keys in enumerate(rows) if key in keys)
                for key in range(first, first + keys_per_cycle)
            ]
            words.append({"positions": sets, "ends_group": first + keys_per_cycle >= span, "ends_tile": 0})
    words[-1]["ends_tile"] = 1
    return words


class Bench:
    """A scheduler that is built once and given one tile after the other."""

    def __init__(self, token_parallelism: int, keys_per_cycle: int, id_queue_entries: int) -> None:
        self.T, self.C, self.entries = token_parallelism, keys_per_cycle, id_queue_entries
        self.hardware = Scheduler(token_parallelism, keys_per_cycle, id_queue_entries, max_keys=32, max_words=160)

    def run(self, tiles: list[list[Group]]) -> list[Outcome]:
        """Start each tile in the cycle after the one before has ended."""
        outcomes: list[Outcome] = []
        dut = self.hardware

        async def feed(ctx) -> None:
            for tile in tiles:
                for at, word in enumerate(mask_words(tile, self.C)):
                    ctx.set(dut.mask.data[at], word)
                plan: Plan = [[]]
                cycles, spills, ended = 0, 0, False
                while not ended and cycles < 2000:
                    ctx.set(dut.start, cycles == 0)
                    spills += ctx.get(dut.spills)
                    if ctx.get(dut.entry_valid):
                        load = ctx.get(dut.entry)
                        plan[-1].append((load.key, load.rows, bool(load.begins_step)))
                    plan += [[] for _ in range(ctx.get(dut.ends_group) + ctx.get(dut.ends_empty_group))]
                    ended = bool(ctx.get(dut.ends_tile))
                    cycles += 1
                    await ctx.tick()
                outcomes.append(Outcome(cycles, plan[:-1], spills))

        simulator = Simulator(dut)
        simulator.add_clock(1e-9)
        simulator.add_testbench(feed)
        simulator.run()
        return outcomes


def by_kernels(groups: list[Group], T: int, keys_per_cycle: int, entries: int) -> Outcome:
    """What the kernels say of the same tile on one scheduler."""
    rows = [sorted(keys) for _, group in groups for keys in group]
    indptr = np.array([0, *np.cumsum([len(keys) for keys in rows])], np.int64)
    step_ptr, load_ptr, load_key, load_rows = plan_reordered(
        indptr, np.array([key for keys in rows for key in keys], np.int32), T
    )
    spills = spilled_keys(step_ptr, load_ptr, load_rows, entries)
    spans = np.array([span for span, _ in groups], np.int64)
    (cycles,) = schedule_tiles(spans, np.diff(load_ptr[step_ptr]), spills, len(groups), 1, keys_per_cycle)
    begins = np.isin(np.arange(len(load_key)), load_ptr[:-1])
    loads = list(zip(load_key.tolist(), load_rows.tolist(), begins.tolist(), strict=True))
    ends = load_ptr[step_ptr].tolist()
    plan = [loads[ends[at] : ends[at + 1]] for at in range(len(groups)) if groups[at][0]]
    return Outcome(int(cycles), plan, int(spills.sum()))


def random_tile(rng: random.Random, T: int) -> list[Group]:
    """Groups that keep nothing, little, much, or everything their rows may."""
    groups = []
    for _ in range(rng.randint(1, 5)):
        span, density = rng.randint(0, 32), rng.choice([0, 0.1, 0.4, 0.8, 1])
        shared = {key for key in range(span) if rng.random() < density}
        rows = [{key for key in range(span) if rng.random() < density} for _ in range(T)]
        groups.append((span, [shared if rng.random() < 0.4 else row for row in rows]))
    return groups if any(span for span, _ in groups) else [(1, [set()] * T)]


def test_worked_example() -> None:
    """Group 0: keys 0 and 1 for both rows, 2, 4 and 6 for row 0, one more than its queue holds. Group 1: key 5."""
    tile = [(8, [{0, 1, 2, 4, 6}, {0, 1}]), (8, [{5}, set()])]
    group_0 = [(0, 3, True), (1, 3, True), (2, 1, True), (4, 1, True), (6, 1, True)]
    assert Bench(2, 4, 2).run([tile]) == [Outcome(12, [group_0, [(5, 1, True)]], 1)]


@pytest.mark.parametrize(
    ("T", "keys_per_cycle", "entries"), [(1, 4, 2), (2, 1, 1), (2, 4, 2), (2, 3, 5), (3, 5, 1), (3, 4, 3), (4, 8, 4)]
)
def test_plan_cycles_and_spills_are_the_kernels(T: int, keys_per_cycle: int, entries: int) -> None:
    rng = random.Random(f"{T} {keys_per_cycle} {entries}")
    tiles = [random_tile(rng, T) for _ in range(40)]
    found = Bench(T, keys_per_cycle, entries).run(tiles)
    assert found == [by_kernels(tile, T, keys_per_cycle, entries) for tile in tiles]
