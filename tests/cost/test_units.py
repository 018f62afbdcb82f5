"""Each unit's silicon and price list, by hand at 45 nm where most numbers stand in the table.

Registers come from 40 nm: a bit is 0.009 / 0.8195 = 0.01098231 pJ and 5.98 / 0.7923 = 7.547646 um2.
"""

from collections.abc import Callable

import pytest

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa import mask_generator, pe_array, predictor, scheduler, softmax_unit
from dsasim.machine.spec import absent
from dsasim.sim.components import buffer_spec

MakeArch = Callable[..., ArchConfig]

REGISTER_PJ = 0.009 / 0.8195
REGISTER_UM2 = 5.98 / 0.7923


def test_pe_array(make_arch: MakeArch) -> None:
    """2 x 4 x 16 = 128 MACs, overhead 3: 128 x 3 x 2230.676 um2 = 0.856579584 mm2; 3 x 0.8577 = 2.5731 pJ."""
    unit = pe_array.silicon(make_arch())
    assert unit.area_mm2 == pytest.approx(0.856579584)
    assert unit.energy_pj == pytest.approx({"macs_sddmm": 2.5731, "macs_spmm": 2.5731, "macs_dense": 2.5731})
    assert unit.leakage_mw == pytest.approx(128 * 3 * (45800 + 5187.5) * 1e-6)


def test_predictor(make_arch: MakeArch) -> None:
    """8 x 4 MACs of 4 bits, 24-bit accumulators: 32 x 3 x (79.534 + 138.852) um2 = 0.020965056 mm2.

    A MAC: 3 x (0.0442 + 0.075) = 0.3576 pJ; a ternary add: 3 x 0.075 = 0.225 pJ.
    """
    unit = predictor.silicon(make_arch())
    assert unit.area_mm2 == pytest.approx(0.020965056)
    assert unit.energy_pj == pytest.approx({"macs_predictor": 0.3576, "adds_predictor": 0.225})


def test_a_composable_array_pays_for_it_in_every_use(make_arch: MakeArch) -> None:
    """Overheads of 3 and of 2 for being composed: a MAC of 4 bits 6 x 0.1192 pJ, an add 6 x 0.075; no own silicon."""
    composed = {"pe_array.organisation": "coupled", "cost.composable_overhead_ratio": 2.0}
    unit = predictor.silicon(make_arch(**composed))
    assert unit.energy_pj == pytest.approx({"macs_predictor": 6 * 0.1192, "adds_predictor": 6 * 0.075})
    assert (unit.area_mm2, unit.leakage_mw) == (0, 0)


def test_wider_predictions_cost_more(make_arch: MakeArch) -> None:
    narrow, middle, wide = (predictor.silicon(make_arch(**{"predictor.bits": bits})) for bits in (2, 4, 8))
    assert narrow.area_mm2 < middle.area_mm2 < wide.area_mm2
    assert narrow.energy_pj["macs_predictor"] < middle.energy_pj["macs_predictor"] < wide.energy_pj["macs_predictor"]


def test_top_k_lane(make_arch: MakeArch) -> None:
    """S~ has 2 x 4 + 8 = 16 bits; 2 x 8 = 16 lanes of two comparators, two eliminator lanes x 16/12, one register.

    Area a lane: 2 x 65.968 + 2 x 231.586 x 16/12 + 16 register bits. Energy: 2 x 0.0514 + 0.432 / 0.8195 x 16/12 + 16
    register bits = 0.1028 + 0.702868 + 0.175717 = 0.981385 pJ.
    """
    unit = mask_generator.silicon(make_arch())
    assert unit.area_mm2 == pytest.approx(16 * (2 * 65.968 + 2 * 231.586 * 16 / 12 + 16 * REGISTER_UM2) * 1e-6)
    assert unit.energy_pj["mask_comparisons"] == pytest.approx(0.981385, rel=1e-5)


def test_bitonic_compare_exchange(make_arch: MakeArch) -> None:
    """8 inputs: 6 stages of 4 and 4 levels of 8 = 56 in each of 2 selectors, each of scores and keys of 16 bits.

    Two 16-bit comparators and 64 register bits: 2 x 0.0514 + 64 x 0.01098231 = 0.805668 pJ.
    """
    selection = {"selection": "top_k", "density": 0.1, "top_k_unit": "bitonic", "num_selectors": 2, "comparators": 8}
    unit = mask_generator.silicon(make_arch(mask_generator=selection))
    assert unit.area_mm2 == pytest.approx(2 * 56 * (2 * 65.968 + 64 * REGISTER_UM2) * 1e-6)
    assert unit.energy_pj["mask_comparisons"] == pytest.approx(2 * 0.0514 + 64 * REGISTER_PJ)


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_every_width_of_scores_has_a_bitonic_unit(make_arch: MakeArch, bits: int) -> None:
    selection = {"selection": "top_k", "density": 0.1, "top_k_unit": "bitonic", "num_selectors": 2, "comparators": 8}
    arch = make_arch(**{"predictor.bits": bits}, mask_generator=selection)
    assert mask_generator.silicon(arch).area_mm2 > 0


def test_threshold_lane(make_arch: MakeArch) -> None:
    """One 16-bit comparator and its register: 0.0514 + 0.175717 = 0.227117 pJ."""
    selection = {"selection": "threshold", "threshold": 0.5, "num_selectors": 2, "comparators": 8}
    unit = mask_generator.silicon(make_arch(mask_generator=selection))
    assert unit.area_mm2 == pytest.approx(16 * (65.968 + 16 * REGISTER_UM2) * 1e-6)
    assert unit.energy_pj["mask_comparisons"] == pytest.approx(0.227117, rel=1e-5)


def test_reordering_scheduler(make_arch: MakeArch) -> None:
    """T = 4: 2 x 15 queues x 16 x 16 = 7680 register bits, 16 x 4/64 = one popcount, one encoder; two schedulers.

    A position classified: 0.1588 / 16 = 0.009925 pJ; a key issued: 2 x 0.175717 + 0.018 = 0.369434 pJ.
    """
    unit = scheduler.silicon(make_arch())
    assert unit.area_mm2 == pytest.approx(2 * (7680 * REGISTER_UM2 + 346.332 + 31.654) * 1e-6)
    assert unit.energy_pj == pytest.approx({"keys_classified": 0.009925, "keys_issued": 0.369434}, rel=1e-5)


def test_in_order_scheduler_has_one_queue_a_row(make_arch: MakeArch) -> None:
    """2 x 4 queues x 16 x 16 = 2048 register bits."""
    unit = scheduler.silicon(make_arch(**{"scheduler.order": "in_order"}))
    assert unit.area_mm2 == pytest.approx(2 * (2048 * REGISTER_UM2 + 346.332 + 31.654) * 1e-6)


def test_softmax(make_arch: MakeArch) -> None:
    """4 exponential lanes (90.174 + 726.446 + 186.2 um2, 32 register bits), 2 division lanes (928.074 + 1997.926, same
    registers), 8 row-maximum comparators. An exponential: 0.05 + 0.3964 + 0.1 + 0.0514 pJ + 32 register bits; a
    division: 0.7628 + 0.7327 + 32 register bits.
    """
    unit = softmax_unit.silicon(make_arch())
    registers_um2, registers_pj = 32 * REGISTER_UM2, 32 * REGISTER_PJ
    area_um2 = 4 * (1002.82 + registers_um2) + 2 * (2926.0 + registers_um2) + 8 * 65.968
    assert unit.area_mm2 == pytest.approx(area_um2 * 1e-6)
    assert unit.energy_pj["softmax_exponentials"] == pytest.approx(0.5978 + registers_pj)
    assert unit.energy_pj["softmax_divisions"] == pytest.approx(1.4955 + registers_pj)


def test_buffer(make_arch: MakeArch) -> None:
    """Row 45,itrs-hp,32768,32,4: a byte is a 32nd of an access; a tenth of 41.4348 mW leaks."""
    arch = make_arch()
    unit = buffer_spec(arch, "q", arch.buffers.q).silicon
    assert unit.area_mm2 == 0.199851
    assert unit.leakage_mw == pytest.approx(4.14348)
    assert unit.energy_pj == pytest.approx({"q_buffer_read_bytes": 30.1148 / 32, "q_buffer_write_bytes": 42.2134 / 32})


@pytest.mark.parametrize("method", ["oracle_topk", "oracle_threshold", "given", "dense"])
def test_free_methods_have_neither_predictor_nor_mask_generator(make_arch: MakeArch, method: str) -> None:
    by = {"selection": "threshold", "threshold": 0.5} if method == "oracle_threshold" else {}
    arch = make_arch(**{"predictor.method": method}, **{f"mask_generator.{key}": value for key, value in by.items()})
    assert predictor.silicon(arch) == absent("macs_predictor", "adds_predictor")
    assert mask_generator.silicon(arch) == absent("mask_comparisons")


def test_a_dense_design_has_no_scheduler_but_a_given_mask_needs_one(make_arch: MakeArch) -> None:
    assert scheduler.silicon(make_arch(**{"predictor.method": "dense"})).area_mm2 == 0
    assert scheduler.silicon(make_arch(**{"predictor.method": "given"})).area_mm2 > 0
