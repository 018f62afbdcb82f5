"""One scheduler as a machine of registers, cycle by cycle, against the plan and the time the kernels give.

The twin holds what the hardware holds: a register with one word of the mask, two sets of ID queues with their overflow
lists (one being filled, one being emptied), and a register with the plan entry on its way to the mask slot. It knows
neither plans nor sums of cycles.
"""

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsasim.kernels.plan import plan_in_order, plan_reordered
from dsasim.kernels.schedule import schedule_tiles, spilled_keys

UNTIMED = settings(deadline=None, max_examples=200)

Group = tuple[int, list[set[int]]]
"""(span, the keys each row keeps)."""
Entry = tuple[int, int, bool]
"""(key, rows it is loaded for, whether a step begins with it)."""


@dataclass
class IdQueues:
    """One set of queues, by exact row set, and behind each the keys that found it full."""

    entries: int
    queues: dict[int, deque[int]] = field(default_factory=dict)
    lists: dict[int, deque[int]] = field(default_factory=dict)
    idle: int = 0
    read_back: bool = False

    def put(self, rows: int, key: int) -> bool:
        """Whether the key found room."""
        queue = self.queues.setdefault(rows, deque())
        room = len(queue) < self.entries
        if room:
            queue.append(key)
        return room

    def spill(self, rows: int, key: int) -> None:
        self.lists.setdefault(rows, deque()).append(key)

    def holding(self) -> list[int]:
        """Row sets that still have a key, in a queue or in a list."""
        return [rows for rows in self.queues if self.queues[rows] or self.lists.get(rows)]

    def empty(self) -> bool:
        return not self.holding()

    def issue(self) -> Entry | None:
        """What one cycle brings: a load, or a key read back from its list for the next cycle."""
        if self.empty():
            return None
        fitting = [rows for rows in self.holding() if rows & ~self.idle == 0]
        begins = not fitting
        rows = min(fitting or self.holding(), key=lambda rows: (-rows.bit_count(), rows))
        source = self.queues[rows] or self.lists[rows]
        if not self.queues[rows] and not self.read_back:
            self.read_back = True
            return None
        self.read_back = False
        key = source.popleft()
        if begins:
            self.idle = 0
            for other in (*self.holding(), rows):
                self.idle |= other
        self.idle &= ~rows
        return key, rows, begins


@dataclass
class MaskRegister:
    """In order: the group's mask itself, row by row; nothing can be too small."""

    rows: list[deque[int]]
    step: list[tuple[int, int]] = field(default_factory=list)

    def put(self, rows: int, key: int) -> bool:
        for row, keys in enumerate(self.rows):
            if rows >> row & 1:
                keys.append(key)
        return True

    def empty(self) -> bool:
        return not self.step and not any(self.rows)

    def issue(self) -> Entry | None:
        if self.empty():
            return None
        begins = not self.step
        if begins:
            heads = [keys.popleft() if keys else None for keys in self.rows]
            for key in dict.fromkeys(head for head in heads if head is not None):
                self.step.append((key, sum(1 << row for row, head in enumerate(heads) if head == key)))
        key, rows = self.step.pop(0)
        return key, rows, begins


def run_scheduler(groups: list[Group], keys_per_cycle: int, entries: int | None) -> tuple[int, list[list[Entry]], int]:
    """Cycles until the end of the plan is in the mask slot, the entries of each group, and how many keys were spilled.

    `entries` is the depth of the ID queues, None in order. Within a cycle the stages go from last to first, so that
    each sees what the registers held when the cycle began. The end of the plan is written with its last entry, or
    where that would have been.
    """
    make = (lambda: IdQueues(entries)) if entries else (lambda: MaskRegister([deque() for _ in range(rows)]))
    rows = len(groups[0][1])
    words = deque(
        (at, first, min(first + keys_per_cycle, span), first + keys_per_cycle >= span)
        for at, (span, _) in enumerate(groups)
        for first in range(0, span, keys_per_cycle)
    )
    plans: list[list[Entry]] = [[] for _ in groups]
    word, to_spill = None, None
    leaving: tuple[int, Entry] | None = None
    filling, filled, emptying, issued_group = make(), None, make(), -1
    cycles, spilled, ended = 0, 0, False
    while True:
        cycles += 1
        if leaving is not None:
            plans[leaving[0]].append(leaving[1])
        if ended:
            return cycles, plans, spilled
        entry = emptying.issue()
        leaving = None if entry is None else (issued_group, entry)
        if word is not None:
            group, first, last, ends = word
            if to_spill is None:
                to_spill = deque()
                for key in range(first, last):
                    wanted = sum(1 << row for row, keys in enumerate(groups[group][1]) if key in keys)
                    if wanted and not filling.put(wanted, key):
                        to_spill.append((wanted, key))
            else:
                filling.spill(*to_spill.popleft())
                spilled += 1
            if not to_spill:
                word, to_spill, filled = None, None, group if ends else None
        if filled is not None and emptying.empty():
            emptying, issued_group, filling, filled = filling, filled, make(), None
        if word is None and words and filled is None:
            word = words.popleft()
        ended = not words and word is None and filled is None and emptying.empty()


def csr(groups: list[Group]) -> tuple[np.ndarray, np.ndarray]:
    rows = [sorted(keys) for _, group in groups for keys in group]
    return (
        np.array([0, *np.cumsum([len(keys) for keys in rows])], np.int64),
        np.array([key for keys in rows for key in keys], np.int32),
    )


def by_kernels(groups: list[Group], keys_per_cycle: int, entries: int | None) -> tuple[int, list[list[Entry]], int]:
    """The same from the kernels, the groups being one tile of one scheduler."""
    T = len(groups[0][1])
    step_ptr, load_ptr, keys, rows = (plan_reordered if entries else plan_in_order)(*csr(groups), T)
    spills = spilled_keys(step_ptr, load_ptr, rows, entries) if entries else np.zeros(len(groups), np.int64)
    spans = np.array([span for span, _ in groups], np.int64)
    (cycles,) = schedule_tiles(spans, np.diff(load_ptr[step_ptr]), spills, len(groups), 1, keys_per_cycle)
    plans = [
        [
            (int(keys[load]), int(rows[load]), load == load_ptr[step])
            for step in range(step_ptr[group], step_ptr[group + 1])
            for load in range(load_ptr[step], load_ptr[step + 1])
        ]
        for group in range(len(groups))
    ]
    return int(cycles), plans, int(spills.sum())


def lists(of: st.SearchStrategy, length: int) -> st.SearchStrategy:
    return st.lists(of, min_size=length, max_size=length)


@st.composite
def masks(draw: st.DrawFn) -> list[Group]:
    """Groups of T rows over spans that divide nothing, from empty to full."""
    T = draw(st.integers(1, 8))
    groups = []
    for _ in range(draw(st.integers(1, 4))):
        span = draw(st.integers(0, 24))
        some = st.sets(st.sampled_from(range(span))) if span else st.just(set())
        common = draw(some)
        groups.append((span, [keys | common if draw(st.booleans()) else keys for keys in draw(lists(some, T))]))
    return groups


def test_the_smallest_group_passes_every_register() -> None:
    """Cycle 0 reads the word, 1 classifies it, 2 issues the key, 3 writes the plan entry."""
    assert run_scheduler([(1, [{0}])], 4, 1) == (4, [[(0, 1, True)]], 0)


def test_worked_example() -> None:
    groups = [(8, [{0, 1, 2, 4, 6}, {0, 1}]), (8, [{5}, set()])]
    cycles, plans, spilled = run_scheduler(groups, 4, 2)
    assert (cycles, spilled) == (12, 1)
    both, row_0 = [(0, 3, True), (1, 3, True)], [(2, 1, True), (4, 1, True), (6, 1, True)]
    assert plans == [both + row_0, [(5, 1, True)]]


@pytest.mark.parametrize(("entries", "cycles"), [(2, 3 + 6 + 6 + 2), (3, 2 + 5 + 5 + 2), (4, 1 + 4 + 4 + 2), (5, 11)])
def test_four_keys_of_one_set_fit_a_queue_of_four_and_not_of_three(entries: int, cycles: int) -> None:
    """Two groups of one word, every key kept: classify the first, issue both; each spill costs a cycle in each."""
    groups = [(4, [{0, 1, 2, 3}]), (4, [{0, 1, 2, 3}])]
    assert run_scheduler(groups, 4, entries)[0] == cycles


def test_a_tile_that_keeps_nothing_ends_when_its_end_is_written() -> None:
    """Two words read and classified, then the end of the plan; without a position to look at, the end alone."""
    assert run_scheduler([(8, [set(), set()])], 4, 1) == (2 + 2, [[]], 0)
    assert run_scheduler([(0, [set(), set()])], 4, 1) == (2, [[]], 0)


@UNTIMED
@given(groups=masks(), keys_per_cycle=st.integers(1, 9), entries=st.none() | st.integers(1, 6))
def test_plans_times_and_spills_are_the_kernels(groups: list[Group], keys_per_cycle: int, entries: int | None) -> None:
    assert run_scheduler(groups, keys_per_cycle, entries) == by_kernels(groups, keys_per_cycle, entries)
