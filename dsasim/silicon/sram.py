"""Energy, area and leakage of an on-chip memory from CACTI points (tables/cacti_sram.csv).

CACTI knows 1 KiB to 4 MiB, 8 to 64 B an access and 1 to 32 banks, all powers of two, at 65, 45, 32 and 22 nm. Outside:

* a port over 64 B is several macros side by side, all used in each access;
* banks over 32 are several macros, one used in each access;
* a port or a bank count between two points is built as the next larger one;
* a size between two points is interpolated, straight in log size and log value, and never beyond points present;
* over 4 MiB a macro: area and leakage grow with the size, an access costs what it costs at 4 MiB;
* fewer than 32 rows a bank (or under 1 KiB), which CACTI refuses: an access costs what it costs in the smallest macro
  of that port and bank count; area and leakage are those of that macro or of registers, whichever is the smaller;
* another node is scaled from the nearest of the four, the finer one if two are as near.
"""

import csv
from bisect import bisect_left
from dataclasses import dataclass
from functools import cache
from math import ceil, exp, log

from dsasim.silicon.operations import merged, register
from dsasim.silicon.scaling import node_scaling
from dsasim.silicon.sourced import provenance, table_text

BLOCKS_BYTES = (8, 16, 32, 64)
BANKS = (1, 2, 4, 8, 16, 32)
NODES_NM = (22, 32, 45, 65)
SOURCE = provenance("CACTI 7.0 (commit 1ffd8dfb1030), 1 read-write port", "B")

MacroCost = tuple[float, float, float, float]
"""read_pj, write_pj, leakage_mw, area_mm2 of one macro."""


@dataclass(frozen=True)
class Sram:
    """A banked memory: pJ of one port-wide access of one bank, mm2 and mW of the whole, and where they come from."""

    read_pj: float
    write_pj: float
    area_mm2: float
    leakage_mw: float
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Macro:
    """One CACTI macro and how many of them make the memory."""

    size_bytes: float
    block_bytes: int
    banks: int
    num_macros: int
    macros_per_access: int


@cache
def sram(size_bytes: int, banks: int, port_bytes: int, technology_nm: int, device: str) -> Sram:
    """Cost of a memory of `size_bytes` in all, `banks` equal banks, each with one read-write port of `port_bytes`.

    `device` is CACTI's itrs-hp or itrs-lstp. Leakage is CACTI's own, at 350 K, unscaled by any ratio.
    """
    macro = macro_of(size_bytes, banks, port_bytes)
    table_nm = min(NODES_NM, key=lambda node: (abs(node - technology_nm), node))
    sizes, points = _curve(table_nm, device, macro.block_bytes, macro.banks)
    (read_pj, write_pj, leakage_mw, area_mm2), how = _at(sizes, points, macro.size_bytes)
    scale = node_scaling(table_nm, technology_nm)
    area_mm2 *= macro.num_macros * scale.area_ratio
    leakage_mw *= macro.num_macros * scale.leakage_ratio
    sources: tuple[str, ...] = (f"{_describe(macro, table_nm, device)}, {how}: {SOURCE}", *scale.sources)
    if macro.size_bytes < sizes[0]:
        flip_flops = register(8 * size_bytes, technology_nm)
        if flip_flops.area_mm2 < area_mm2:
            area_mm2, leakage_mw = flip_flops.area_mm2, flip_flops.leakage_mw
            sources = merged(sources, ("area and leakage as registers, smaller than that macro",), flip_flops.sources)
    per_access = macro.macros_per_access * scale.energy_ratio
    return Sram(read_pj * per_access, write_pj * per_access, area_mm2, leakage_mw, sources)


def macro_of(size_bytes: int, banks: int, port_bytes: int) -> Macro:
    """The macro a memory is built from: 128 KiB, 32 banks of 128 B ports are two of 64 KiB, 32 banks, 64 B."""
    across = ceil(port_bytes / BLOCKS_BYTES[-1])
    deep = ceil(banks / BANKS[-1])
    return Macro(
        size_bytes=size_bytes / (across * deep),
        block_bytes=_next(BLOCKS_BYTES, ceil(port_bytes / across)),
        banks=_next(BANKS, ceil(banks / deep)),
        num_macros=across * deep,
        macros_per_access=across,
    )


def _next(grid: tuple[int, ...], value: int) -> int:
    return grid[bisect_left(grid, value)]


def _at(sizes: list[int], points: list[MacroCost], size_bytes: float) -> tuple[MacroCost, str]:
    """Values at a size, and how they were found."""
    if size_bytes < sizes[0]:
        return points[0], f"the smallest such macro, {sizes[0]} B"
    if size_bytes > sizes[-1]:
        read_pj, write_pj, leakage_mw, area_mm2 = points[-1]
        times = size_bytes / sizes[-1]
        return (read_pj, write_pj, leakage_mw * times, area_mm2 * times), f"extended from {sizes[-1]} B"
    upper = bisect_left(sizes, size_bytes)
    if sizes[upper] == size_bytes:
        return points[upper], "exact point"
    low, high = sizes[upper - 1], sizes[upper]
    share = log(size_bytes / low) / log(high / low)
    return _between(points[upper - 1], points[upper], share), f"between {low} and {high} B"


def _between(low: MacroCost, high: MacroCost, share: float) -> MacroCost:
    read_pj, write_pj, leakage_mw, area_mm2 = (
        exp((1 - share) * log(a) + share * log(b)) for a, b in zip(low, high, strict=True)
    )
    return read_pj, write_pj, leakage_mw, area_mm2


def _describe(macro: Macro, table_nm: int, device: str) -> str:
    return (
        f"{macro.num_macros} x {macro.size_bytes:g} B, {macro.banks} banks, {macro.block_bytes} B, "
        f"{device} {table_nm} nm"
    )


@cache
def _curve(table_nm: int, device: str, block_bytes: int, banks: int) -> tuple[list[int], list[MacroCost]]:
    """Sizes present, ascending, and their values."""
    curve = sorted(_grid()[table_nm, device, block_bytes, banks].items())
    return [size for size, _ in curve], [point for _, point in curve]


@cache
def _grid() -> dict[tuple[int, str, int, int], dict[int, MacroCost]]:
    grid: dict[tuple[int, str, int, int], dict[int, MacroCost]] = {}
    for row in csv.DictReader(table_text("cacti_sram.csv").splitlines()):
        key = int(row["tech_nm"]), row["device"], int(row["block_bytes"]), int(row["banks"])
        point = float(row["read_pj"]), float(row["write_pj"]), float(row["leakage_mw"]), float(row["area_mm2"])
        grid.setdefault(key, {})[int(row["size_bytes"])] = point
    return grid
