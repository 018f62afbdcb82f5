"""SRAM look-up: exact points, interpolation, and each rule outside CACTI's grid."""

from itertools import pairwise
from math import sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsasim.silicon.sram import Macro, macro_of, sram

KIB = 1024
NODES = (65, 45, 32, 28, 22, 16, 14, 10, 7)
DEVICES = ("itrs-hp", "itrs-lstp")


def values(size_bytes: int, banks: int, port_bytes: int, node: int = 22, device: str = "itrs-hp") -> tuple[float, ...]:
    memory = sram(size_bytes, banks, port_bytes, node, device)
    return memory.read_pj, memory.write_pj, memory.leakage_mw, memory.area_mm2


def test_a_point_of_the_table_is_returned_as_it_stands() -> None:
    """Row 22,itrs-hp,65536,64,1 of cacti_sram.csv."""
    assert values(64 * KIB, 1, 64) == (12.7077, 39.5667, 9.60325, 0.048746)
    assert "exact point" in sram(64 * KIB, 1, 64, 22, "itrs-hp").sources[0]


def test_a_size_between_two_points_is_interpolated_in_log_space() -> None:
    """48 KiB = 32 KiB x 1.5: with s = log2 1.5 = 0.584963, read = 9.2756^(1-s) x 12.7077^s = 11.151 pJ.

    ln 9.2756 = 2.227387, ln 12.7077 = 2.542208: 2.227387 + 0.584963 x 0.314821 = 2.411546, e^2.411546 = 11.1512.
    """
    assert values(48 * KIB, 1, 64)[0] == pytest.approx(11.1512, rel=1e-4)
    assert "between 32768 and 65536 B" in sram(48 * KIB, 1, 64, 22, "itrs-hp").sources[0]


def test_the_geometric_middle_has_the_geometric_mean() -> None:
    """46341 B is 32 KiB x 1.414215, so nearly sqrt(0.027676 x 0.048746) = 0.036730 mm2."""
    assert values(46341, 1, 64)[3] == pytest.approx(sqrt(0.027676 * 0.048746), rel=1e-5)


def test_interpolation_joins_the_points_at_both_edges() -> None:
    for size in (32 * KIB, 64 * KIB, 128 * KIB):
        assert values(size - 1, 1, 64) == pytest.approx(values(size, 1, 64), rel=1e-4)
        assert values(size + 1, 1, 64) == pytest.approx(values(size, 1, 64), rel=1e-4)


def test_a_port_over_64_bytes_is_several_macros_all_used_in_an_access() -> None:
    """128 KiB with 128 B ports = two macros of 64 KiB and 64 B: twice energy, leakage and area."""
    assert macro_of(128 * KIB, 1, 128) == Macro(64 * KIB, 64, 1, num_macros=2, macros_per_access=2)
    assert values(128 * KIB, 1, 128) == pytest.approx([2 * value for value in values(64 * KIB, 1, 64)])


def test_banks_over_32_are_several_macros_one_used_in_an_access() -> None:
    """128 KiB in 64 banks = two macros of 64 KiB and 32 banks."""
    read, write, leakage, area = values(64 * KIB, 32, 64)
    assert macro_of(128 * KIB, 64, 64) == Macro(64 * KIB, 64, 32, num_macros=2, macros_per_access=1)
    assert values(128 * KIB, 64, 64) == pytest.approx((read, write, 2 * leakage, 2 * area))


@pytest.mark.parametrize(("banks", "port", "built_as"), [(3, 32, (4, 32)), (4, 24, (4, 32)), (1, 1, (1, 8))])
def test_banks_and_ports_off_the_grid_are_built_as_the_next_larger(
    banks: int, port: int, built_as: tuple[int, int]
) -> None:
    assert values(64 * KIB, banks, port) == values(64 * KIB, *built_as)


def test_a_wide_odd_port_is_split_evenly_then_rounded_up() -> None:
    """96 B = two macros of 48 B, each built as 64 B."""
    assert macro_of(64 * KIB, 1, 96) == Macro(32 * KIB, 64, 1, num_macros=2, macros_per_access=2)


def test_too_small_for_cacti_costs_what_the_smallest_macro_costs() -> None:
    """8 banks of 16 B need 32 x 16 x 8 = 4096 B; 3500 B of registers would take more area than that macro."""
    assert values(3500, 8, 16) == values(4096, 8, 16)
    assert "the smallest such macro, 4096 B" in sram(3500, 8, 16, 22, "itrs-hp").sources[0]


def test_tiny_memories_are_registers_in_area_and_leakage() -> None:
    """32 B of registers at 22 nm: 256 x 5.98 x 0.2517 / 0.7923 = 486.34 um2, below the 862 um2 of the 1 KiB macro.

    Leakage 256 x 79.375 nW x 0.2517 = 5.1146 uW. An access still costs the macro's energy.
    """
    read, write, leakage, area = values(32, 1, 8)
    assert (read, write) == (0.3544, 0.7574)
    assert leakage == pytest.approx(5.114563e-3, rel=1e-5)
    assert area == pytest.approx(486.3374e-6, rel=1e-5)
    assert any("as registers" in source for source in sram(32, 1, 8, 22, "itrs-hp").sources)


def test_over_4_mib_silicon_grows_with_size_and_an_access_does_not() -> None:
    """6 MiB = 1.5 x the 4 MiB row 22,itrs-hp,4194304,8,1: area 1.5 x 3.11761, leakage 1.5 x 612.439."""
    assert values(6 * KIB * KIB, 1, 8) == pytest.approx((34.6297, 33.3207, 918.6585, 4.676415))
    assert "extended from 4194304 B" in sram(6 * KIB * KIB, 1, 8, 22, "itrs-hp").sources[0]


def test_28_nm_is_scaled_from_32_nm_the_nearest_point() -> None:
    """Row 32,itrs-hp,65536,8,1: read 6.5587 x 0.4316 / 0.5308 = 5.33 pJ; area 0.107515 x 0.3767 / 0.46 = 0.0880 mm2."""
    read, _, leakage, area = values(64 * KIB, 1, 8, node=28)
    assert read == pytest.approx(6.5587 * 0.4316 / 0.5308)
    assert area == pytest.approx(0.107515 * 0.3767 / 0.46)
    assert leakage == pytest.approx(25.4963 * 0.3767 / 0.46)
    assert "32 to 28 nm" in " ".join(sram(64 * KIB, 1, 8, 28, "itrs-hp").sources)


def test_below_22_nm_is_scaled_from_22_nm() -> None:
    """7 nm: read 4.6885 x 0.0555 / 0.2828."""
    assert values(64 * KIB, 1, 8, node=7)[0] == pytest.approx(4.6885 * 0.0555 / 0.2828)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("port_bytes", [8, 64, 200])
@pytest.mark.parametrize("banks", [1, 5, 48])
def test_finer_nodes_are_cheaper(banks: int, port_bytes: int, device: str) -> None:
    at_nodes = [values(200 * KIB, banks, port_bytes, node, device) for node in NODES]
    for coarse, fine in pairwise(at_nodes):
        assert fine[0] < coarse[0]
        assert fine[3] < coarse[3]


@given(
    st.lists(st.integers(1, 1 << 24), min_size=2, max_size=2, unique=True).map(sorted),
    st.integers(1, 100),
    st.integers(1, 300),
    st.sampled_from(NODES),
    st.sampled_from(DEVICES),
)
def test_more_bytes_never_take_less_area(sizes: list[int], banks: int, port_bytes: int, node: int, device: str) -> None:
    small, large = (values(size, banks, port_bytes, node, device)[3] for size in sizes)
    assert 0 < small <= large * (1 + 1e-12)
