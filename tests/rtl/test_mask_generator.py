"""The threshold mask generator in RTL: its mask, and the cycle in which each row's ends, are those of the kernels."""

import random

import numpy as np
import pytest

pytest.importorskip("amaranth")

from amaranth.sim import Simulator
from hardware.mask_generator import ThresholdMaskGenerator

from dsasim.designs.dsa.mask_generator import tile_job
from dsasim.kernels.select import threshold_rows

Tile = list[list[int]]
"""The scores of each row's allowed keys."""
SCORE_BITS, MAX_KEYS = 10, 24


def run(
    tiles: list[Tile], num_selectors: int, comparators: int, threshold: int
) -> list[tuple[int, dict[int, int], list[set[int]]]]:
    """Per tile: its cycles, the end of each row that may keep something, and the keys kept in each row."""
    rows_per_selector = -(-max(len(tile) for tile in tiles) // num_selectors)
    dut = ThresholdMaskGenerator(num_selectors, rows_per_selector, -(-MAX_KEYS // comparators), comparators, SCORE_BITS)
    found = []

    def load(ctx, tile: Tile) -> None:
        """Scores and word counts; places behind a row's last score hold one that is never above the threshold."""
        for selector in range(num_selectors):
            mine = tile[selector::num_selectors]
            counts = [-(-len(row) // comparators) for row in mine]
            ctx.set(dut.num_words[selector], counts + [0] * (rows_per_selector - len(mine)))
            for at, row in enumerate(mine):
                padded = row + [threshold] * (-len(row) % comparators)
                for word in range(counts[at]):
                    place = at * dut.words_per_row + word
                    ctx.set(dut.banks[selector].data[place], padded[word * comparators : (word + 1) * comparators])

    async def bench(ctx) -> None:
        ctx.set(dut.threshold, threshold)
        for tile in tiles:
            load(ctx, tile)
            await ctx.tick()  # the read ports come to rest on the first words
            ends: dict[int, int] = {}
            keep: list[set[int]] = [set() for _ in tile]
            ctx.set(dut.start, 1)
            for cycle in range(1, 500):
                await ctx.tick()
                ctx.set(dut.start, 0)
                for selector, mask in enumerate(ctx.get(dut.masks)):
                    if mask.valid:
                        row, first = mask.row * num_selectors + selector, mask.word * comparators
                        keep[row] |= {first + key for key in range(comparators) if mask.bits >> key & 1}
                        ends[row] = cycle
                if not ctx.get(dut.busy):
                    found.append((cycle, ends, keep))
                    break

    simulator = Simulator(dut)
    simulator.add_clock(1e-9)
    simulator.add_testbench(bench)
    simulator.run()
    return found


def by_kernels(tile: Tile, num_selectors: int, comparators: int, threshold: int):
    """The same from the kernels: row r ends when its selector has done its rows up to r."""
    allowed = np.array([[key < len(row) for key in range(MAX_KEYS)] for row in tile])
    scores = np.array([row + [0] * (MAX_KEYS - len(row)) for row in tile], np.int32)
    indptr, indices, row_cycles, _ = threshold_rows(scores, allowed, float(threshold), 1.0, comparators)
    ends = {
        row: int(row_cycles[row % num_selectors : row + 1 : num_selectors].sum())
        for row in range(len(tile))
        if row_cycles[row]
    }
    keep = [set(indices[indptr[row] : indptr[row + 1]].tolist()) for row in range(len(tile))]
    return tile_job(row_cycles, num_selectors).cycles, ends, keep


def test_worked_example() -> None:
    """Rows that need 10, 4, 3 and 9 cycles of two selectors: max(10 + 3, 4 + 9) = 13 cycles (one comparator each)."""
    tile = [[0] * 10, [0] * 4, [0] * 3, [0] * 9]
    assert run([tile], 2, 1, 0)[0][:2] == (13, {0: 10, 1: 4, 2: 13, 3: 13})


def test_scores_at_the_threshold_are_dropped_and_above_it_kept() -> None:
    """Five scores of two comparators: 3 cycles."""
    assert run([[[5, 1, 7, 7, 3]]], 1, 2, 3) == [(3, {0: 3}, [{0, 2, 3}])]


def test_a_tile_that_may_keep_nothing_takes_one_cycle() -> None:
    assert run([[[], []], [[], [9]]], 2, 4, 0) == [(1, {}, [set(), set()]), (1, {1: 1}, [set(), {0}])]


@pytest.mark.parametrize(("num_selectors", "comparators"), [(1, 1), (1, 5), (2, 4), (3, 3), (4, 16)])
def test_masks_and_the_cycle_of_each_row_are_the_kernels(num_selectors: int, comparators: int) -> None:
    rng = random.Random(f"{num_selectors} {comparators}")
    tiles = [
        [[rng.randint(-512, 511) for _ in range(rng.randint(0, MAX_KEYS))] for _ in range(rng.randint(1, 9))]
        for _ in range(25)
    ]
    threshold = rng.randint(-100, 100)
    found = run(tiles, num_selectors, comparators, threshold)
    assert found == [by_kernels(tile, num_selectors, comparators, threshold) for tile in tiles]
