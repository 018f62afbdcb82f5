"""What the memory did in each core cycle of a run, from when data moved and when transfers were open."""

from collections.abc import Iterable, Iterator, Sequence

Interval = tuple[int, int]
"""Core cycles first .. end - 1."""

BUSY = "busy"


def union(intervals: Iterable[Sequence[int]]) -> list[Interval]:
    """The cycles that any of the intervals covers, as intervals that do not touch, ascending.

    Worked example: (0, 2), (5, 9), (2, 4), (6, 7) are (0, 4), (5, 9).
    """
    found: list[Interval] = []
    for first, end in sorted((first, end) for first, end in intervals):
        if found and first <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((first, end))
    return found


def memory_row(
    data: Sequence[Interval], open_transfers: Sequence[Interval], total_cycles: int
) -> Iterator[tuple[str, int, int]]:
    """(owner, first, end) of all cycles, ascending: busy, else dram while a transfer is open, else operand, or drained.

    Both are unions of intervals, and no data moves while no transfer is open.
    Worked example, a run of 12: data in (3, 5), a transfer open in (1, 7): operand 0, dram 1 .. 2, busy 3 .. 4,
    dram 5 .. 6, drained 7 .. 11.
    """
    reached, moving = 0, 0
    for opened, ended in open_transfers:
        yield "operand", reached, opened
        reached = opened
        while moving < len(data) and data[moving][0] < ended:
            first, end = data[moving]
            yield "dram", reached, first
            yield BUSY, first, end
            reached, moving = end, moving + 1
        yield "dram", reached, ended
        reached = ended
    yield "drained", reached, total_cycles
