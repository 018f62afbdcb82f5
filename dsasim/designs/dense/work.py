"""A layer's attention cut into tiles of query rows, and those into steps along the keys.

Query heads that share a kv head share each key that is fetched: the rows of a tile are those of all of them, token by
token (FlashAttention's `pack_gqa`), so that a block's rows may attend to about as many keys, and one query row of a few
heads, in decode, is a product of a few rows.

Worked example: tokens that may attend to 1, 2, 3, 4 keys, two heads, tiles of 2 tokens, blocks of 3 rows, 3 keys a
step. Tile 0 has rows of spans 1 1 2 | 2, blocks of 3 and 1 rows with span 2 both; tile 1 has 3 3 4 | 4, spans 4 and 4,
so steps of 3 keys and of 1.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim.trace.attention import LayerTrace

Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Group:
    """`heads` query heads of a kv head; `spans` [L_q]: keys from 0 that a token's rows may attend to; `allowed` [L_q].

    `allowed`: how many of these keys they may attend to.
    """

    heads: int
    spans: Int64
    allowed: Int64
    d_head: int

    @cached_property
    def num_keys(self) -> int:
        """Keys that any row looks at."""
        return max(1, int(self.spans.max()))


def group_of(layer: LayerTrace, heads: int) -> Group:
    """So many heads of a layer that share a kv head."""
    return Group(heads, layer.row_spans, layer.allowed_counts, layer.d_head)


class Blocks(NamedTuple):
    """Blocks of a group's rows, tile after tile: the tile of each, its rows and its span, int64 [blocks]."""

    tile: Int64
    rows: Int64
    spans: Int64

    def of(self, tile: int) -> "Blocks":
        """Those of one tile."""
        first, end = np.searchsorted(self.tile, [tile, tile + 1])
        return Blocks(*(column[first:end] for column in self))


class Cut(NamedTuple):
    """A group's blocks, and of each tile the longest and the shortest span of its rows, int64 [tiles]."""

    blocks: Blocks
    longest: Int64
    shortest: Int64


def cut(group: Group, query_rows: int, block_rows: int) -> Cut:
    """Cut a group's rows into blocks that do not cross tiles; a block looks at one key at least."""
    total, tile_rows = len(group.spans) * group.heads, query_rows * group.heads
    starts = (np.arange(0, total, tile_rows)[:, None] + np.arange(0, tile_rows, block_rows)).ravel()
    starts = starts[starts < total]
    spans = np.maximum.reduceat(np.repeat(group.spans, group.heads), starts)
    blocks = Blocks(starts // tile_rows, np.diff(starts, append=total), np.maximum(1, spans))
    tiles = np.arange(0, len(group.spans), query_rows)
    longest = np.maximum(1, np.maximum.reduceat(group.spans, tiles))
    return Cut(blocks, longest, np.minimum.reduceat(group.spans, tiles))


@dataclass(frozen=True, eq=False)
class QueryTile:
    """Tokens first .. first + count - 1 of a group, as rows of all its heads; `last` of them."""

    number: int
    first: int
    count: int
    blocks: Blocks
    spans: Int64
    last: bool

    @cached_property
    def span(self) -> int:
        """Keys that any of its rows looks at."""
        return int(self.blocks.spans.max())


def query_tiles(group: Group, query_rows: int, block_rows: int) -> Iterator[QueryTile]:
    """All tiles of a group."""
    blocks, length = cut(group, query_rows, block_rows).blocks, len(group.spans)
    for number, first in enumerate(range(0, length, query_rows)):
        spans = group.spans[first : first + query_rows]
        yield QueryTile(number, first, len(spans), blocks.of(number), spans, first + query_rows >= length)


@dataclass(frozen=True, eq=False)
class Step:
    """A tile of queries meets keys first .. first + keys - 1.

    `fetched`: keys from `first` that are brought to the chip for it, 0 if they are there; `gives_up`: nobody wants them
    after it.
    """

    tile: QueryTile
    number: int
    first: int
    keys: int
    fetched: int
    gives_up: bool

    @property
    def last(self) -> bool:
        """Whether it is the tile's last."""
        return self.first + self.keys == self.tile.span

    @cached_property
    def widths(self) -> Int64:
        """Keys that each block meets."""
        return np.clip(self.tile.blocks.spans - self.first, 0, self.keys)

    @cached_property
    def row_widths(self) -> Int64:
        """Keys that the rows of each token may attend to, of those from 0 to their spans."""
        return np.clip(self.tile.spans - self.first, 0, self.keys)

    @cached_property
    def rows(self) -> int:
        """Rows of the blocks that meet any key."""
        return int(self.tile.blocks.rows[self.widths > 0].sum())


def steps(tiles: Sequence[QueryTile], keys: int, *, resident: bool) -> Iterator[Step]:
    """All steps of a kv head's tiles, keys ascending; `resident`: keys stay on the chip from first to last use."""
    num_keys = max(tile.span for tile in tiles)
    last_use = {number: tile.number for tile in tiles for number in range(-(-tile.span // keys))}
    held: set[int] = set()
    for tile in tiles:
        for number, first in enumerate(range(0, tile.span, keys)):
            end = min(num_keys if resident else tile.span, first + keys)
            fetched = 0 if number in held else end - first
            gives_up = not resident or last_use[number] == tile.number
            held |= {number} if resident else set()
            yield Step(tile, number, first, min(keys, tile.span - first), fetched, gives_up)
