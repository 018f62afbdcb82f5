"""The bitonic top-k unit against a twin that sorts and merges block by block, one compare-exchange after the other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.kernels.select import top_k_rows
from dsasim.prediction import load_predictor
from dsasim.selectors.merge_unit import compare_exchanges, merge_work, sorter_stages
from dsasim.trace.attention import LayerTrace

Entry = tuple[float, int]
"""(-score, key): the smaller is the better."""

# the first call may compile the kernel
UNTIMED = settings(deadline=None)


class Network:
    """Counts compare-exchanges, and the stages they stand in."""

    def __init__(self) -> None:
        self.comparisons = 0

    def exchange(self, entries: list[Entry], i: int, j: int) -> None:
        """Put the better one at i."""
        self.comparisons += 1
        if entries[j] < entries[i]:
            entries[i], entries[j] = entries[j], entries[i]

    def clean(self, entries: list[Entry]) -> None:
        """Sort a bitonic sequence: halves compared at distance n / 2, n / 4, ... 1."""
        distance = len(entries) // 2
        while distance:
            for i in range(len(entries)):
                if not i & distance:
                    self.exchange(entries, i, i + distance)
            distance //= 2

    def sort(self, entries: list[Entry]) -> list[Entry]:
        """Batcher's bitonic sorter: sorted halves, one of them reversed, are a bitonic sequence."""
        if len(entries) == 1:
            return entries
        half = len(entries) // 2
        both = self.sort(entries[:half]) + self.sort(entries[half:])[::-1]
        self.clean(both)
        return both

    def merge(self, one: list[Entry], other: list[Entry]) -> tuple[list[Entry], list[Entry]]:
        """The better and the worse half of two sorted blocks, each sorted."""
        both = one + other[::-1]
        self.clean(both)
        return both[: len(one)], both[len(one) :]


def unit_twin(row: list[Entry], wanted: int, width: int) -> tuple[list[int], int, int, int, int]:
    """Kept keys, cycles, comparisons, entries read and written of one row."""
    network, blocks, limit = Network(), [], math.ceil(wanted / width)
    now = read = written = 0
    if not wanted:
        return [], 0, 0, 0, 0
    for c in range(0, len(row), width):
        chunk = row[c : c + width]
        carry = network.sort(chunk + [(math.inf, len(row))] * (width - len(chunk)))
        now = max(now, sorter_stages(width) + c // width)  # chunks enter the sorter one a cycle at best
        for b in range(limit):
            now += 1
            written += width
            if b == len(blocks):
                blocks.append(carry)
                break
            read += width
            blocks[b], carry = network.merge(blocks[b], carry)
    best = [entry for block in blocks for entry in block][:wanted]
    assert best == sorted(best)
    return sorted(key for _, key in best), now, network.comparisons, read, written


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, int, int]:
    """Scores with ties, a wanted count and a width."""
    scores = np.array(draw(st.lists(st.integers(-3, 3), min_size=1, max_size=40)), dtype=np.int32)
    return scores, draw(st.integers(0, len(scores))), draw(st.sampled_from([1, 2, 4, 8, 16]))


@UNTIMED
@given(rows())
def test_the_unit_keeps_the_keys_of_quick_select_in_the_twin_s_cycles(row: tuple[np.ndarray, int, int]) -> None:
    scores, wanted, width = row
    keys, cycles, comparisons, read, written = unit_twin([(-int(s), j) for j, s in enumerate(scores)], wanted, width)
    counts = np.array([wanted])
    assert top_k_rows(scores[None], np.ones((1, len(scores)), np.bool_), counts, width)[1].tolist() == keys
    work = merge_work(np.array([len(scores)]), counts, width)
    assert [each.tolist() for each in work] == [[cycles], [comparisons], [read], [written]]


def test_worked_example() -> None:
    work = merge_work(np.array([10]), np.array([5]), 4)
    assert [each.tolist() for each in work] == [[8], [54], [12], [20]]


def test_one_more_key_costs_at_the_edges_of_blocks_and_chunks() -> None:
    n, k = np.array([63, 64, 65, 64, 64]), np.array([16, 16, 16, 17, 0])
    assert merge_work(n, k, 16)[0].tolist() == [10 + 4, 10 + 4, 10 + 5, 10 + 1 + 3 * 2, 0]


def test_a_sorter_of_16_has_80_compare_exchanges_in_10_stages() -> None:
    assert (sorter_stages(16), compare_exchanges(16)) == (10, 80 + 16 * 5)
    assert (sorter_stages(1), compare_exchanges(1)) == (0, 1)


def test_the_unit_changes_time_and_counts_but_no_mask(
    make_arch: Callable[..., ArchConfig], make_layer: Callable[..., LayerTrace]
) -> None:
    layer = make_layer()
    quick, bitonic = (
        load_predictor(
            make_arch("predictor.sigma=0.5", "mask_generator.comparators=4", f"mask_generator.top_k_unit={unit}"), layer
        ).select(1)
        for unit in ("quick_select", "bitonic")
    )
    assert np.array_equal(quick.keep.indices, bitonic.keep.indices)
    assert bitonic.row_cycles.tolist() == [3 + math.ceil(n / 4) for n in range(1, 25)]  # at most 3 of 24 are kept
    assert np.array_equal(quick.entries_read, quick.entries_written)
    assert quick.entries_read.tolist() == (quick.comparisons - np.arange(1, 25)).tolist()


def test_a_width_that_no_bitonic_sorter_has_is_refused(make_arch: Callable[..., ArchConfig]) -> None:
    with pytest.raises(ConfigError, match=r"mask_generator: comparators 12 is not a power of two"):
        make_arch("mask_generator.comparators=12", "mask_generator.top_k_unit=bitonic")
