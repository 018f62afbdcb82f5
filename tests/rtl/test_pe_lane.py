"""The PE lane in RTL: every score is the dot product, and leaves in the cycle that the array kernel's step ends."""

import random
from typing import Any

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from hardware.pe_lane import RESULT_LATENCY, PELane

from dsasim.kernels.array import walk_blocks
from dsasim.kernels.key_blocks import tile_bounds
from dsasim.kernels.plan import Plan, plan_in_order, plan_reordered

Step = tuple[int, dict[int, int]]
"""(group, the key of each row that gets one)."""
Scores = list[tuple[int, dict[int, int]]]
"""(cycle, the score of each row that leaves in it)."""


def steps_of(plan: Plan) -> list[Step]:
    """Steps of all groups, one after the other."""
    step_ptr, load_ptr, load_key, load_rows = (array.tolist() for array in plan)
    steps = []
    for group in range(len(step_ptr) - 1):
        for step in range(step_ptr[group], step_ptr[group + 1]):
            loads = range(load_ptr[step], load_ptr[step + 1])
            steps.append((group, {row: load_key[at] for at in loads for row in range(8) if load_rows[at] >> row & 1}))
    return steps


def run(lane: PELane, steps: list[Step], queries: np.ndarray, keys: np.ndarray) -> Scores:
    """Give a lane its steps without a gap; group g's queries [T, d_head] are `queries[g]`."""
    scores: Scores = []

    def load_keys(ctx: Any) -> None:
        width = lane.read_cycles * lane.port_elements
        for key, vector in enumerate(keys.tolist()):
            padded = vector + [99] * (width - len(vector))  # what lies behind a vector is not multiplied
            for word in range(lane.read_cycles):
                place = key // lane.num_banks * lane.read_cycles + word
                at = word * lane.port_elements
                ctx.set(lane.banks[key % lane.num_banks].data[place], padded[at : at + lane.port_elements])

    async def bench(ctx: Any) -> None:
        load_keys(ctx)
        at, group, half, idle = 0, -1, 0, 0
        for cycle in range(3000):
            ctx.set(lane.step_valid, at < len(steps))
            next_group = at < len(steps) and steps[at][0] != group
            ctx.set(lane.query_write, next_group)
            if at < len(steps):
                half ^= next_group
                group, wanted = steps[at]
                rows = sum(1 << row for row in wanted)
                row_keys = [wanted.get(row, 0) for row in range(lane.T)]
                ctx.set(lane.step, {"rows": rows, "keys": row_keys, "half": half})
                ctx.set(lane.query_half, half)
                ctx.set(lane.queries, queries[group].tolist())
            leaving = ctx.get(lane.score_rows)
            if leaving:
                scores.append((cycle, {row: ctx.get(lane.scores[row]) for row in range(lane.T) if leaving >> row & 1}))
            idle = 0 if leaving or at < len(steps) else idle + 1
            at += ctx.get(lane.step_done)
            if idle > 20:
                return
            await ctx.tick()

    simulator = Simulator(lane)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    return scores


def step_ends(plan: Plan, banks: int, vector_cycles: int, read_cycles: int) -> list[int]:
    """When each step ends by the array kernel: every step walked as a tile of its own, one after the other."""
    _, load_ptr, load_key, _ = plan
    each_step = np.arange(len(load_ptr))
    cycles, _, _, _ = walk_blocks(
        tile_bounds(each_step, 1), each_step, load_ptr, load_key, 1, banks, vector_cycles, read_cycles
    )
    return np.cumsum(cycles).tolist()


def random_mask(rng: random.Random, rows: int, keys: int) -> tuple[np.ndarray, np.ndarray]:
    """CSR of a mask with rows from empty to full."""
    kept = []
    for _ in range(rows):
        density = rng.choice([0, 0.2, 0.5, 1])
        kept.append([key for key in range(keys) if rng.random() < density])
    kept[0] = kept[0] or [keys - 1]
    return np.array([0, *np.cumsum([len(row) for row in kept])], np.int64), np.array(
        [key for row in kept for key in row], np.int32
    )


def test_worked_example() -> None:
    """One lane of the array kernel's example: steps {0, 2}, {1} on 2 banks, 2 cycles a product, 2 a read: 4 and 2.

    Keys 0 and 2 are both in bank 0. Scores leave 1 + 2 cycles after their steps end at 4 and 6.
    """
    lane = PELane(token_parallelism=2, macs_per_row=2, d_head=4, num_banks=2, port_elements=2, max_keys=4)
    queries = np.array([[[1, 2, 3, 4], [1, 0, 0, -1]]])
    keys = np.array([[1, 1, 1, 1], [0, 0, 0, 5], [7, -8, 0, 2], [0, 0, 0, 0]])
    scores = run(lane, [(0, {0: 0, 1: 2}), (0, {1: 1})], queries, keys)
    assert scores == [(4 + 3, {0: 10, 1: 5}), (6 + 3, {1: -5})]


@pytest.mark.parametrize(
    ("T", "macs", "d_head", "banks", "port_elements", "planned"),
    [
        (1, 4, 4, 1, 4, plan_in_order),
        (2, 2, 5, 2, 2, plan_reordered),
        (3, 4, 4, 1, 4, plan_reordered),
        (3, 2, 6, 4, 3, plan_in_order),
        (4, 3, 8, 2, 8, plan_reordered),
        (4, 8, 8, 4, 2, plan_in_order),
    ],
)
def test_every_score_leaves_when_its_step_of_the_kernel_has_passed_the_rows(
    T: int, macs: int, d_head: int, banks: int, port_elements: int, planned: Any
) -> None:
    rng = random.Random(f"{T} {macs} {d_head} {banks}")
    lane = PELane(T, macs, d_head, banks, port_elements, max_keys=14)
    rows = 12 * T - 1
    plan = planned(*random_mask(rng, rows, 14), T)
    steps = steps_of(plan)
    values = np.random.default_rng(rng.randrange(1000))
    queries = values.integers(-128, 128, (12, T, d_head))
    keys = values.integers(-128, 128, (14, d_head))
    (total,), *_ = walk_blocks(tile_bounds(plan[0], 12), *plan[:3], 1, banks, lane.vector_cycles, lane.read_cycles)
    latency = RESULT_LATENCY + lane.vector_cycles
    ends = step_ends(plan, banks, lane.vector_cycles, lane.read_cycles)
    assert ends[-1] == total
    assert run(lane, steps, queries, keys) == [
        (end + latency, {row: int(queries[group, row] @ keys[key]) for row, key in wanted.items()})
        for end, (group, wanted) in zip(ends, steps, strict=True)
    ]
