"""From a mask to the steps of each group (rule "Plans"), and how long the scheduler takes (rule "Scheduler").

A group is a list of rows, a row the list of its kept keys, ascending. A step is the list of keys loaded in it.
"""

from collections.abc import Iterator

Row = list[int]
Step = list[int]
Queues = dict[frozenset[int], list[int]]

PIPELINE = 2
"""The first mask word is read into its register in a cycle of its own, the last plan entry is written back in one."""


def steps_in_order(group: list[Row]) -> list[Step]:
    """Step t gives each row its t-th key; rows that get the same key share its load."""
    steps = []
    for turn in range(max(len(row) for row in group)):
        step: Step = []
        for row in group:
            if turn < len(row) and row[turn] not in step:
                step.append(row[turn])
        steps.append(step)
    return steps


def id_queues(group: list[Row]) -> Queues:
    """Keys by the exact set of rows that want them, ascending."""
    queues: Queues = {}
    for key in sorted({key for row in group for key in row}):
        wanting = frozenset(number for number, row in enumerate(group) if key in row)
        queues.setdefault(wanting, []).append(key)
    return queues


def steps_reordered(group: list[Row]) -> list[Step]:
    """Most-shared keys first, then keys that only the idle rows want; ties to the lowest bitmask, row 0 = bit 0."""
    queues = id_queues(group)
    steps = []
    while any(queues.values()):
        idle = {row for rows, keys in queues.items() if keys for row in rows}
        step: Step = []
        while fitting := [rows for rows, keys in queues.items() if keys and rows <= idle]:
            best = min(fitting, key=lambda rows: (-len(rows), sum(2**row for row in rows)))
            step.append(queues[best].pop(0))
            idle -= best
        steps.append(step)
    return steps


def plan(group: list[Row], order: str) -> list[Step]:
    """The steps of a group under either order."""
    return steps_in_order(group) if order == "in_order" else steps_reordered(group)


def spilled_keys(group: list[Row], order: str, entries: int) -> int:
    """Keys that find the ID queue of their row set full; in order there are no queues."""
    if order == "in_order":
        return 0
    return sum(max(0, len(keys) - entries) for keys in id_queues(group).values())


def scheduler_cycles(work: list[tuple[int, int]], num_schedulers: int) -> int:
    """Cycles for a tile whose groups take (classifying, issuing) cycles; group g goes to g mod num_schedulers.

    A group with nothing to classify is passed over.
    """
    shares = [[group for group in work[first::num_schedulers] if group[0]] for first in range(num_schedulers)]
    slowest = max(sum(1 for _ in _double_queues(share)) for share in shares)
    return slowest + PIPELINE


def _double_queues(work: list[tuple[int, int]]) -> Iterator[None]:
    """One scheduler, cycle by cycle: one set of queues is filled while the other is emptied."""
    waiting = list(work)
    filling: list[int] | None = None
    emptying = 0
    while waiting or filling or emptying:
        moved = True
        while moved:
            moved = False
            if filling and filling[0] == 0 and emptying == 0:
                emptying, filling, moved = filling[1], None, True
            if filling is None and waiting:
                filling, moved = list(waiting.pop(0)), True
        if not (filling or emptying):
            return
        if filling and filling[0]:
            filling[0] -= 1
        if emptying:
            emptying -= 1
        yield
