"""Which keys the mask generator keeps, and the cycles of its passes (rule "Selection").

A row is a list of (key, score) of its allowed keys, keys ascending.
"""

from fractions import Fraction

Scored = list[tuple[int, float]]

PASS_OVERHEAD = 3
"""Cycles of a quick-select pass besides its comparisons."""


def wanted(density: Fraction, allowed: int) -> int:
    """max(1, ceil(density x n)) of n allowed keys; none of none."""
    if allowed == 0:
        return 0
    count = 1
    while count < density * allowed:
        count += 1
    return count


def top_k(row: Scored, count: int) -> list[int]:
    """The `count` highest scores, ties to the lowest key; keys ascending."""
    return sorted(key for key, _ in sorted(row, key=lambda scored: (-scored[1], scored[0]))[:count])


def quick_select_cycles(row: Scored, count: int, comparators: int) -> int:
    """Passes until the scores equal to the pivot hold the count-th; the pivot is number floor(n / 2) in key order."""
    cycles = 0
    remaining = [score for _, score in row]
    while count:
        pivot = remaining[len(remaining) // 2]
        cycles += len(range(0, len(remaining), comparators)) + PASS_OVERHEAD
        greater = [score for score in remaining if score > pivot]
        equal = [score for score in remaining if score == pivot]
        if count <= len(greater):
            remaining = greater
        elif count <= len(greater) + len(equal):
            count = 0
        else:
            count -= len(greater) + len(equal)
            remaining = [score for score in remaining if score < pivot]
    return cycles


def threshold_cycles(row: Scored, comparators: int) -> int:
    """Every allowed score is compared once."""
    return len(range(0, len(row), comparators))


def tile_cycles(row_cycles: list[int], num_selectors: int) -> int:
    """Row r goes to selector r mod num_selectors; the slowest counts, and at least one cycle."""
    return max(1, *(sum(row_cycles[first::num_selectors]) for first in range(num_selectors)))
