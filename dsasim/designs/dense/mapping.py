"""Which tiles a layer is cut into: given, or the best found of those that fit the buffers.

Fast is what comes within TOLERANCE of the least estimate (`designs.dense.estimate`). Of the fast mappings that one is
taken that moves the fewest bytes between memory and chip, then the one with the fewest sub-arrays (each reads K and V
for itself), the fewest splits, the fewest steps, and the least estimate.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from typing import Any

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.estimate import Estimate, estimate
from dsasim.designs.dense.room import LEAST_TILES, tile_bytes
from dsasim.designs.dense.rules import Mapping
from dsasim.designs.dense.work import Group, cut, group_of
from dsasim.errors import ConfigError
from dsasim.trace.attention import LayerTrace

TOLERANCE = 0.002
"""Estimates that differ by less are taken for equal: larger tiles leave the memory's rows closed for longer.

On the shipped traces and layers of 512 tokens 0.002 takes up to 0.4 % more cycles than 0.001, and 1 to 6 % less energy.
"""


def obstacle(config: DenseConfig, group: Group, mapping: Mapping) -> str:
    """Which buffer is too small for a mapping, and by how much; empty if all hold what they must."""
    for name, need in tile_bytes(config, group, mapping).items():
        least, size = LEAST_TILES[name], getattr(config.buffers, name).bytes
        if size < least * need:
            return (
                f"buffers.{name}.bytes is {size}, but tiles of {mapping.query_rows} x {group.heads} rows"
                f" (mapping.query_rows x heads of a kv head) by {mapping.keys} keys need {least} x {need}"
            )
    return ""


def layer_mapping(config: DenseConfig, layer: LayerTrace, heads: Sequence[int]) -> tuple[Group, Mapping]:
    """The best mapping of the chosen heads of a layer, and the largest group of them that share a kv head."""
    sizes = Counter(layer.kv_head(head) for head in heads)
    group = group_of(layer, max(sizes.values()))
    return group, find_mapping(config, group, len(sizes))


def find_mapping(config: DenseConfig, group: Group, kv_heads: int) -> Mapping:
    """The best mapping of `kv_heads` equal groups; ConfigError if no tile fits the buffers."""
    every = list(candidates(config, group))
    fitting = [mapping for mapping in every if not obstacle(config, group, mapping)]
    if not fitting:
        raise ConfigError(obstacle(config, group, min(every)))
    found: dict[Mapping, Estimate] = {}
    for (rows, parts), alike in groupby(fitting, key=lambda mapping: (mapping.query_rows, mapping.sub_arrays)):
        blocks = cut(group, rows, config.array.rows // parts)
        found |= {mapping: estimate(config, group, kv_heads, mapping, blocks) for mapping in alike}
    longest = min(each.cycles for each in found.values()) * (1 + TOLERANCE)

    def cost(mapping: Mapping) -> Any:
        cycles, dram_bytes, steps = found[mapping]
        return dram_bytes, mapping.sub_arrays, mapping.key_splits, steps, cycles, mapping

    return min((mapping for mapping in fitting if found[mapping].cycles <= longest), key=cost)


def candidates(config: DenseConfig, group: Group) -> Iterator[Mapping]:
    """All mappings that are looked at: what is given is kept, as far as there are so many rows and keys."""
    given, length = config.mapping, len(group.spans)
    rows = _sizes(1, length) if given.query_rows is None else [min(given.query_rows, length)]
    keys = _sizes(config.array.columns, group.num_keys) if given.keys is None else [min(given.keys, group.num_keys)]
    parts = _divisors(config.array.sub_arrays) if given.sub_arrays is None else [given.sub_arrays]
    for each_rows, part in product(rows, parts):
        splits = _divisors(part) if given.key_splits is None else [given.key_splits]
        for each_keys, split in product(keys, splits):
            if part % split == 0:
                yield Mapping(each_rows, each_keys, part, split)


def _sizes(unit: int, most: int) -> list[int]:
    """Doubles of 1 and of 3 units below `most`, and `most`."""
    doubles = {unit * base << power for base in (1, 3) for power in range(most.bit_length())}
    return sorted({size for size in doubles if size < most} | {most})


def _divisors(number: int) -> list[int]:
    return [part for part in range(1, number + 1) if number % part == 0]
