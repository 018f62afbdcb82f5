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


def bitonic_cycles(row: Scored, count: int, width: int) -> int:
    """Chunks of `width` scores are sorted in a pipeline, then merged into the best blocks, one block a cycle.

    A chunk stops at an empty block, which takes it, and after the blocks that the wanted ones need.
    """
    if count == 0:
        return 0
    stages, sorted_run = 0, 1
    while sorted_run < width:
        sorted_run *= 2
        stages += sum(1 for exponent in range(1, 64) if 2**exponent <= sorted_run)
    blocks_needed, blocks, steps = len(range(0, count, width)), 0, 0
    for _chunk in range(0, len(row), width):
        for block in range(blocks_needed):
            steps += 1
            if block == blocks:
                blocks += 1
                break
    return stages + steps


def threshold_cycles(row: Scored, comparators: int) -> int:
    """Every allowed score is compared once."""
    return len(range(0, len(row), comparators))


def tile_cycles(row_cycles: list[int], num_selectors: int) -> int:
    """Row r goes to selector r mod num_selectors; the slowest counts, and at least one cycle."""
    return max(1, *(sum(row_cycles[first::num_selectors]) for first in range(num_selectors)))
