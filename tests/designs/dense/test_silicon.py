"""Area and prices of the units are those of the operators they are made of."""

from collections.abc import Callable

import pytest

from dsasim.cost.model import estimate_cost
from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.design import DenseMachine
from dsasim.silicon.operations import multiply_accumulate, operation, register

Make = Callable[..., DenseConfig]


def units(config: DenseConfig) -> dict[str, object]:
    return {unit.name: unit for unit in DenseMachine(config).units()}


def test_the_array_is_pes_adders_and_entries(make_config: Make) -> None:
    pe, adder, entry = multiply_accumulate(16, 40, 22) * 3, operation("add", 40, 22), register(16, 22)
    for parts, entries in ((1, 0), (2, 16 + 16), (4, 3 * 16 + 16)):
        array = units(make_config(f"array.sub_arrays={parts}"))["pe_array"]
        area = 256 * pe.area_mm2 + 16 * adder.area_mm2 + entries * entry.area_mm2
        assert array.silicon.area_mm2 == pytest.approx(area)
        prices = {"macs_sddmm": pe.energy_pj, "macs_spmm": pe.energy_pj, "sums_added": adder.energy_pj}
        assert array.silicon.energy_pj == pytest.approx(prices)
        assert array.rate.per_cycle == 256


def test_the_softmax_unit_is_lanes_and_a_comparator_a_column(make_config: Make) -> None:
    lane = operation("add", 16, 22) + operation("exponential", 12, 22) + register(32, 22) + operation("add", 32, 22)
    compare = operation("compare", 16, 22)
    silicon = units(make_config("softmax.exp_per_cycle=8"))["softmax"].silicon
    assert silicon.area_mm2 == pytest.approx(8 * lane.area_mm2 + 16 * compare.area_mm2)
    assert silicon.energy_pj["softmax_exponentials"] == pytest.approx(lane.energy_pj)
    assert silicon.energy_pj["maxima_compared"] == pytest.approx(compare.energy_pj)


def test_the_rescaler_is_multipliers_adders_and_a_reciprocal(make_config: Make) -> None:
    multiply, add = operation("multiply", 32, 22) + register(80, 22), operation("add", 40, 22)
    reciprocal = operation("reciprocal", 12, 22)
    silicon = units(make_config("rescaler.sums_per_cycle=8"))["rescaler"].silicon
    area = 8 * (multiply.area_mm2 + add.area_mm2) + reciprocal.area_mm2
    assert silicon.area_mm2 == pytest.approx(area)
    assert silicon.energy_pj == pytest.approx(
        {"sums_rescaled": multiply.energy_pj, "sums_merged": add.energy_pj, "row_reciprocals": reciprocal.energy_pj}
    )


def test_sums_of_8_bits_are_multiplied_by_what_is_wide_enough(make_config: Make) -> None:
    silicon = units(make_config("array.bits=8"))["rescaler"].silicon
    assert silicon.energy_pj["sums_merged"] == pytest.approx(operation("add", 24, 22).energy_pj)
    wide = units(make_config("array.bits=32"))["rescaler"].silicon
    assert wide.energy_pj["sums_merged"] == pytest.approx(operation("add", 72, 22).energy_pj)


def test_every_component_has_area(make_config: Make) -> None:
    area = estimate_cost(make_config()).area_mm2
    assert set(area) == {
        "pe_array", "softmax", "rescaler", "buffer_q", "buffer_k", "buffer_v", "buffer_score", "buffer_output", "total"
    }  # fmt: skip
    assert all(area.values())
