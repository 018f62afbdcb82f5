"""Operators and their scaling between nodes."""

from itertools import pairwise

import pytest

from dsasim.silicon.operations import Price, multiply_accumulate, operation, register
from dsasim.silicon.scaling import node_scaling
from dsasim.silicon.sourced import table

ALL_NODES = (65, 45, 32, 28, 22, 16, 14, 10, 7)


def test_scaling_from_45_to_22_nm_meets_the_published_factors() -> None:
    """Stillmaker & Baas 2017, interpolated between 32 and 20 nm: energy .283, area .252."""
    scale = node_scaling(45, 22)
    assert scale.energy_ratio == pytest.approx(0.283, abs=5e-4)
    assert scale.area_ratio == pytest.approx(0.252, abs=5e-4)
    assert scale.leakage_ratio == scale.area_ratio


def test_scaling_to_the_same_node_changes_nothing_and_needs_no_source() -> None:
    scale = node_scaling(28, 28)
    assert (scale.energy_ratio, scale.area_ratio, scale.leakage_ratio, scale.sources) == (1.0, 1.0, 1.0, ())


def test_scaling_composes() -> None:
    direct = node_scaling(65, 7)
    assert node_scaling(65, 32).energy_ratio * node_scaling(32, 7).energy_ratio == pytest.approx(direct.energy_ratio)


def test_finer_nodes_take_less_energy_and_area() -> None:
    for coarse, fine in pairwise(ALL_NODES):
        scale = node_scaling(coarse, fine)
        assert scale.energy_ratio < 1
        assert scale.area_ratio < 1


def test_int8_multiply_at_its_own_node_is_the_table_row() -> None:
    price = operation("multiply", 8, 45)
    assert (price.energy_pj, price.area_mm2, price.leakage_mw) == pytest.approx((0.2, 475.874e-6, 10800e-6))
    assert price.sources == ("multiply 8 b: Horowitz 2014 (A-), own synthesis (C)",)


def test_16_bit_mac_at_22_nm_by_hand() -> None:
    """(0.7327 + 0.125) pJ x 0.2828 = 0.24255756 pJ; (1997.926 + 232.75) um2 x 0.2517 = 561.4611 um2.

    Leakage (45800 + 5187.5) nW x 0.2517 = 12833.55 nW.
    """
    mac = multiply_accumulate(16, 40, 22)
    assert mac.energy_pj == pytest.approx(0.24255756)
    assert mac.area_mm2 == pytest.approx(561.4611492e-6)
    assert mac.leakage_mw == pytest.approx(12833.55375e-6)


def test_register_is_scaled_from_40_nm() -> None:
    """16 bits at 22 nm: 16 x 0.009 x 0.2828 / 0.8195 = 0.0496927 pJ; 16 x 5.98 x 0.2517 / 0.7923 = 30.3961 um2."""
    price = register(16, 22)
    assert price.energy_pj == pytest.approx(0.0496927, rel=1e-5)
    assert price.area_mm2 == pytest.approx(30.39609e-6, rel=1e-5)


def test_an_operand_between_two_widths_runs_on_the_wider() -> None:
    assert operation("compare", 9, 45) == operation("compare", 12, 45)
    assert operation("compare", 12, 45) != operation("compare", 13, 45)


@pytest.mark.parametrize("name", ["multiply", "add", "compare"])
def test_wider_operators_cost_more(name: str) -> None:
    widths = sorted(row["bits"] for row in table("operations.yaml")["operations"] if row["name"] == name)
    prices = [operation(name, bits, 22) for bits in widths]
    for narrow, wide in pairwise(prices):
        assert narrow.energy_pj < wide.energy_pj
        assert narrow.area_mm2 < wide.area_mm2
        assert narrow.leakage_mw < wide.leakage_mw


def test_unknown_operator_and_too_wide_an_operand_are_refused() -> None:
    with pytest.raises(KeyError, match="tangent"):
        operation("tangent", 8, 45)
    with pytest.raises(ValueError, match="multiply of 33 bits"):
        operation("multiply", 33, 45)


def test_prices_add_and_multiply_and_name_a_source_once() -> None:
    price = Price(1.0, 2.0, 3.0, ("a",)) + Price(0.5, 0.25, 1.0, ("a", "b")) * 2
    assert price == Price(2.0, 2.5, 5.0, ("a", "b"))


@pytest.mark.parametrize("node", ALL_NODES)
def test_every_operator_has_a_price_at_every_node(node: int) -> None:
    for row in table("operations.yaml")["operations"]:
        price = operation(row["name"], row["bits"], node)
        assert price.energy_pj > 0
        assert price.area_mm2 > 0
        assert price.leakage_mw > 0
