"""Address mappings by name, as tables for `kernels.dram_mapping`.

A mapping is an order of address fields from most to least significant, such as `row-bank-bankgroup-rank-column`, or
`mop4`. What lies below the last field is the offset in a burst. Names: `row`, `column` (bursts of a row), `bank` (in
its group), `bankgroup`, `rank`, `channel`, `stack` (HBM3's SID); `pseudochannel` is another name of `rank`, which in
HBM is one. Of stack, rank and channel those left out come lowest, in this order.
"""

import numpy as np
from numpy.typing import NDArray

from dsasim.errors import ConfigError
from dsasim.kernels.dram_mapping import AT_BANK, AT_CHANNEL, AT_COLUMN, AT_GROUP, AT_RANK, AT_ROW, AT_STACK
from dsasim.model.dram_preset import DramPreset

MOP4 = "mop4"
MOP4_BURSTS = 4
NUMBERS = {
    "channel": AT_CHANNEL,
    "rank": AT_RANK,
    "stack": AT_STACK,
    "bankgroup": AT_GROUP,
    "bank": AT_BANK,
    "row": AT_ROW,
    "column": AT_COLUMN,
}
Piece = tuple[str, int, int]
"""Field, size, and shift of the piece in its field."""


def mapping_tables(
    preset: DramPreset, mapping: str, channels: int, ranks: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`pieces` [pieces, 4] and `hashes` [hashes, 3] of `kernels.dram_mapping`; ConfigError names a bad field."""
    sizes = {
        "channel": channels,
        "rank": ranks * preset.pseudo_channels,
        "stack": preset.stacks,
        "bankgroup": preset.bank_groups,
        "bank": preset.banks_per_group,
        "row": preset.rows,
        "column": preset.bursts_per_row,
    }
    pieces, hashed = _mop4(sizes) if mapping == MOP4 else (_ordered(mapping, sizes), [])
    rows = [(NUMBERS[field], size, _bits(size), shift) for field, size, shift in pieces]
    return np.array(rows, np.int64), _hashes(hashed, sizes)


def _ordered(mapping: str, sizes: dict[str, int]) -> list[Piece]:
    fields = ["rank" if name == "pseudochannel" else name for name in mapping.split("-")]
    if unknown := [name for name in fields if name not in sizes]:
        raise ConfigError(
            f"dram mapping {mapping!r}: no address field {unknown[0]!r}; there are {', '.join(sizes)}, or {MOP4}"
        )
    if twice := [name for name in sizes if fields.count(name) > 1]:
        raise ConfigError(f"dram mapping {mapping!r} names {twice[0]} twice")
    fields += [name for name in ("stack", "rank", "channel") if name not in fields]
    if missing := [name for name in sizes if name not in fields]:
        raise ConfigError(f"dram mapping {mapping!r} leaves out {missing[0]}")
    return [(name, sizes[name], 0) for name in reversed(fields)]


def _mop4(sizes: dict[str, int]) -> tuple[list[Piece], list[str]]:
    """Four bursts of a row, then every bank, then the rest of the row; indices XORed with column bits.

    "Minimalist open page" (Kaseridis et al., MICRO 2011) as Ramulator 2.1's MOP4CLXOR: from the low end the channel,
    two column bits, rank, stack, bank group, bank, the other column bits, row; each index from rank to row is XORed
    with the next column bits, starting with the lowest. Ramulator takes the channel from the lowest bits, without XOR,
    and its results (tests/golden/dram) are met only so.
    """
    indices = ["rank", "stack", "bankgroup", "bank", "row"]
    low = min(MOP4_BURSTS, sizes["column"])
    pieces = [("channel", sizes["channel"], 0), ("column", low, 0)]
    pieces += [(name, sizes[name], 0) for name in indices[:-1]]
    pieces += [("column", sizes["column"] // low, _bits(low)), ("row", sizes["row"], 0)]
    return pieces, indices


def _hashes(indices: list[str], sizes: dict[str, int]) -> NDArray[np.int64]:
    rows, shift = [], 0
    for name in indices:
        if sizes[name] > 1:
            rows.append((NUMBERS[name], shift, sizes[name] - 1))
            shift += _bits(sizes[name])
    return np.array(rows, np.int64).reshape(-1, 3)


def _bits(size: int) -> int:
    """log2 of a power of two, else -1."""
    return size.bit_length() - 1 if size & (size - 1) == 0 else -1
