"""What one arithmetic operator costs: a use of it, its silicon, its leakage (tables/operations.yaml)."""

from dataclasses import dataclass
from functools import cache
from typing import Any, Self

from dsasim.silicon.scaling import NodeScaling, node_scaling
from dsasim.silicon.sourced import SourcedNumber, sourced_number, table


@dataclass(frozen=True)
class Price:
    """Cost of one operator: pJ a use, mm2 and mW of one instance, and the sources of the three.

    Prices add (operators side by side, used together) and multiply by a number (overheads, widths).
    """

    energy_pj: float
    area_mm2: float
    leakage_mw: float
    sources: tuple[str, ...] = ()

    def __add__(self, other: Self) -> "Price":
        return Price(
            self.energy_pj + other.energy_pj,
            self.area_mm2 + other.area_mm2,
            self.leakage_mw + other.leakage_mw,
            merged(self.sources, other.sources),
        )

    def __mul__(self, factor: float) -> "Price":
        return Price(self.energy_pj * factor, self.area_mm2 * factor, self.leakage_mw * factor, self.sources)


def merged(*sources: tuple[str, ...]) -> tuple[str, ...]:
    """All sources once, in order of first mention."""
    return tuple(dict.fromkeys(source for part in sources for source in part))


@cache
def operation(name: str, bits: int, technology_nm: int) -> Price:
    """Price of an operator at an operand width and node.

    The narrowest tabulated width that holds `bits` is charged (a narrower operand runs on the next wider operator).
    Raises KeyError for an operator the table lacks, ValueError for a width beyond its widest row.
    """
    rows = [row for row in table("operations.yaml")["operations"] if row["name"] == name]
    if not rows:
        raise KeyError(f"no operator {name!r} in operations.yaml")
    wide_enough = [row for row in rows if row["bits"] >= bits]
    if not wide_enough:
        raise ValueError(f"{name} of {bits} bits is wider than any row of operations.yaml")
    return _price(min(wide_enough, key=_bits), technology_nm)


def multiply_accumulate(bits: int, accumulator_bits: int, technology_nm: int) -> Price:
    """Bare MAC: a `bits` x `bits` multiplier and an adder as wide as the accumulator, both used once a MAC.

    At 45 nm with 16 bits and a 40-bit accumulator: 0.7327 + 0.125 = 0.8577 pJ and 1997.926 + 232.75 = 2230.676 um2.
    """
    return operation("multiply", bits, technology_nm) + operation("add", accumulator_bits, technology_nm)


def register(bits: int, technology_nm: int) -> Price:
    """A register of `bits`: one read or one write of all of them is a use."""
    return operation("register", 1, technology_nm) * bits


def _bits(row: dict[str, Any]) -> int:
    return int(row["bits"])


def _price(row: dict[str, Any], technology_nm: int) -> Price:
    """Each number of the row scaled from its own node; um2 to mm2, nW to mW."""
    energy, area, leakage = (sourced_number(row[key]) for key in ("energy_pj", "area_um2", "leakage_nw"))
    steps = [_scaling(number, technology_nm) for number in (energy, area, leakage)]
    origins = dict.fromkeys(number.provenance for number in (energy, area, leakage))
    return Price(
        energy_pj=energy.value * steps[0].energy_ratio,
        area_mm2=area.value * steps[1].area_ratio * 1e-6,
        leakage_mw=leakage.value * steps[2].leakage_ratio * 1e-6,
        sources=merged((f"{row['name']} {row['bits']} b: {', '.join(origins)}",), *(step.sources for step in steps)),
    )


def _scaling(number: SourcedNumber, technology_nm: int) -> NodeScaling:
    if number.node_nm is None:
        raise ValueError(f"a number of operations.yaml has no node: {number}")
    return node_scaling(number.node_nm, technology_nm)
