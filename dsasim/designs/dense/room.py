"""How many tiles the buffers of a dense machine hold."""

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.rules import Mapping
from dsasim.designs.dense.work import Group

LEAST_TILES = {"q": 1, "k": 2, "v": 2, "score": 2, "output": 1}
"""Tiles that a buffer must hold: two where one is filled while another is in use."""

ROW_SUM_BYTES = 4
"""The sum of a row's exponentials."""


def tile_bytes(config: DenseConfig, group: Group, mapping: Mapping) -> dict[str, int]:
    """Bytes of a tile in each buffer.

    Statistics of rows lie with their sums. Worked example: 2 rows of 2 heads by 3 keys, d_head 4, 16 bits, no split: q
    32, k and v 24, score 24, output 4 * (4 * 5 + 8) = 112.
    """
    rows, vector = group.heads * mapping.query_rows, group.d_head * config.element_bytes
    sums = group.d_head * mapping.key_splits * config.sum_bits // 8
    return {
        "q": rows * vector,
        "k": mapping.keys * vector,
        "v": mapping.keys * vector,
        "score": rows * mapping.keys * config.element_bytes,
        "output": rows * (sums + statistics_bytes(config)),
    }


def statistics_bytes(config: DenseConfig) -> int:
    """Of a row: its maximum, the last change of it, and the sum of its exponentials."""
    return 2 * config.element_bytes + ROW_SUM_BYTES


MOST_QUERY_TILES = 2
"""Tiles of Q held at a time: one in use and the next. More would only let their engine run further ahead."""


def tile_counts(config: DenseConfig, group: Group, mapping: Mapping) -> dict[str, int]:
    """Tiles that each buffer holds at a time: as many as fit, of Q two at most."""
    needs = tile_bytes(config, group, mapping).items()
    counts = {name: getattr(config.buffers, name).bytes // need for name, need in needs}
    return counts | {"q": min(counts["q"], MOST_QUERY_TILES)}


def is_resident(config: DenseConfig, group: Group, mapping: Mapping) -> bool:
    """Whether K and V of a kv head stay on the chip while all its queries meet them."""
    counts = tile_counts(config, group, mapping)
    return min(counts["k"], counts["v"]) * mapping.keys >= group.num_keys
