"""The cache of vectors: its worked example, and a slow twin that locks, stamps and evicts as blocks end at random."""

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.vector_cache import fetch_blocks

UNTIMED = settings(deadline=None, max_examples=200)

Unions = list[list[int]]
Fetched = list[tuple[list[int], int]]
"""Per block: the keys it fetches, the block that must have ended."""


def fetch(unions: Unions, capacity: int, batches: int = 1) -> Fetched:
    """The kernel on lists, the blocks handed over in `batches` calls."""
    fetched: Fetched = []
    keys, stamps = np.empty(0, np.int64), np.empty(0, np.int64)
    size = -(-len(unions) // batches)
    for first in range(0, len(unions), size):
        batch = unions[first : first + size]
        union_ptr = np.array([0, *np.cumsum([len(union) for union in batch])], np.int64)
        union_keys = np.array([key for union in batch for key in union], np.int64)
        ptr, found, ended, keys, stamps = fetch_blocks(union_ptr, union_keys, capacity, keys, stamps, first)
        assert len(keys) == len(set(keys.tolist())) <= capacity
        assert list(zip(stamps, keys, strict=True)) == sorted(zip(stamps, keys, strict=True))
        fetched += [(found[ptr[at] : ptr[at + 1]].tolist(), int(ended[at])) for at in range(len(batch))]
    return fetched


class LiteralCache:
    """The cache as hardware keeps it: a stamp for each key, locks held by blocks fetched and not ended."""

    def __init__(self, unions: Unions, capacity: int) -> None:
        self.unions, self.capacity = unions, capacity
        self.stamps: dict[int, int] = {}
        self.fetched = self.ended = 0
        self.missed: Unions = []

    def locked(self, key: int) -> bool:
        return self.ended <= self.stamps[key] < self.fetched

    def may_fetch(self) -> bool:
        union = self.unions[self.fetched]
        held_for_others = [key for key in self.stamps if self.locked(key) and key not in union]
        return len(union) + len(held_for_others) <= self.capacity

    def fetch(self) -> None:
        union = self.unions[self.fetched]
        missing = [key for key in union if key not in self.stamps]
        while len(self.stamps) + len(missing) > self.capacity:
            free = [key for key in self.stamps if not self.locked(key) and key not in union]
            del self.stamps[min(free, key=lambda key: (self.stamps[key], key))]
        self.missed.append(missing)
        self.stamps |= dict.fromkeys(union, self.fetched)
        self.fetched += 1


@st.composite
def caches(draw: st.DrawFn) -> tuple[Unions, int]:
    capacity = draw(st.integers(1, 8))
    union = st.sets(st.integers(0, 11), max_size=capacity).map(sorted)
    return draw(st.lists(union, min_size=1, max_size=14)), capacity


def test_worked_example() -> None:
    unions = [[0, 1], [1, 2], [3], [0, 2]]
    assert fetch(unions, 3) == [([0, 1], -1), ([2], -1), ([3], 0), ([0], 1)]


def test_a_cache_that_holds_all_keys_fetches_each_once_and_never_waits() -> None:
    unions = [[0, 1], [2], [0, 2], [1]]
    assert fetch(unions, 3) == [([0, 1], -1), ([2], -1), ([], -1), ([], -1)]


def test_the_lowest_key_of_the_oldest_block_is_evicted_first() -> None:
    """Key 4 evicts 3 of block 0, so block 2 finds key 5 and stamps it; key 3 then evicts 4, now the oldest."""
    assert fetch([[3, 5], [4], [5], [3]], 2) == [([3, 5], -1), ([4], 0), ([], -1), ([3], 1)]


@UNTIMED
@given(cache=caches(), seed=st.integers(0, 2**32 - 1), batches=st.integers(1, 4))
def test_misses_and_waits_are_those_of_a_literal_cache_whenever_blocks_end(
    cache: tuple[Unions, int], seed: int, batches: int
) -> None:
    unions, capacity = cache
    expected = fetch(unions, capacity, batches)
    literal, choose = LiteralCache(unions, capacity), random.Random(seed)
    while literal.fetched < len(unions):
        may_fetch = literal.may_fetch()
        assert may_fetch == (literal.ended > expected[literal.fetched][1])
        if literal.ended < literal.fetched and (not may_fetch or choose.random() < 0.5):
            literal.ended += 1
        else:
            literal.fetch()
    assert literal.missed == [keys for keys, _ in expected]
