"""The whole estimate: what adds up, what grows, what is refused."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from time import perf_counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsasim.config.schema import ArchConfig
from dsasim.cost import estimate_cost
from dsasim.cost.dram import dram_energy
from dsasim.errors import InvariantError

MakeArch = Callable[..., ArchConfig]
MakeRun = Callable[..., Any]

COMPONENTS = [
    *("predictor", "mask_generator", "scheduler", "pe_array", "softmax"),
    *(f"buffer_{name}" for name in ("q", "k", "v", "predictor", "mask", "score", "output")),
]
OFF_CHIP = ["dram", "dram_background", "leakage"]
NODES = (65, 45, 32, 28, 22, 16, 14, 10, 7)


def test_area_needs_no_run(make_arch: MakeArch) -> None:
    cost = estimate_cost(make_arch())
    assert list(cost.area_mm2) == [*COMPONENTS, "total"]
    assert cost.energy_pj == {}
    assert list(cost.sources) == [*COMPONENTS, *OFF_CHIP]
    assert all(cost.sources.values())


def test_area_by_hand(make_arch: MakeArch) -> None:
    """PE array 128 x 3 x 2230.676 um2 and predictor 32 x 3 x 218.386 um2 at 45 nm; buffers are the CACTI row."""
    area = estimate_cost(make_arch()).area_mm2
    assert area["pe_array"] == pytest.approx(0.856579584)
    assert area["predictor"] == pytest.approx(0.020965056)
    assert all(area[f"buffer_{name}"] == 0.199851 for name in ("q", "k", "v", "score"))
    assert area["total"] == pytest.approx(sum(area[name] for name in COMPONENTS))


def test_energy_by_hand(make_arch: MakeArch, make_run: MakeRun) -> None:
    """15 MACs x 2.5731 = 38.5965 pJ; 64 B read from Q = 2 accesses x 30.1148 = 60.2296 pJ; 10 bursts x 5366.272 and
    2 activates x 4233.6 = 62129.92 pJ; 2000 cycles at 2 GHz = 1000 ns x 2 channels x 355.2 mW precharged, and 144 mW
    more for 800 edges of 0.625 ns: 782400 pJ.
    """
    counts = {"dram_read_bursts": 10, "dram_activates": 2, "dram_open_edges": 800}
    run = make_run(cycles=2000, macs_sddmm=10, macs_spmm=5, q_buffer_read_bytes=64, **counts)
    energy = estimate_cost(make_arch(), run).energy_pj
    assert list(energy) == [*COMPONENTS, *OFF_CHIP, "total"]
    assert energy["pe_array"] == pytest.approx(38.5965)
    assert energy["buffer_q"] == pytest.approx(60.2296)
    assert energy["dram"] == pytest.approx(62129.92)
    assert energy["dram_background"] == pytest.approx(782400)
    assert energy["predictor"] == 0


def test_every_rank_stands_by(make_arch: MakeArch, make_run: MakeRun) -> None:
    """2000 cycles at 2 GHz are 1000 ns: 2 channels x ranks x 355.2 mW with all rows closed."""
    for ranks in (1, 2, 4):
        energy = estimate_cost(make_arch(**{"dram.ranks": ranks}), make_run(cycles=2000)).energy_pj
        assert energy["dram_background"] == pytest.approx(2 * ranks * 355.2 * 1000)


def test_open_rows_are_counted_in_half_cycles_where_the_controller_is(
    make_arch: MakeArch, make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HBM3's controller counts half cycles of its clock: 800 of them are 400 cycles of 625 ps, so 250 ns.

    The table has one standby power for it, open or not; here it is 100 mW with a row open, and 40 mW without.
    """
    device = replace(dram_energy("HBM3"), standby_mw=100.0, precharged_mw=40.0)
    monkeypatch.setattr("dsasim.cost.model.dram_energy", lambda _: device)
    closed, opened = (
        estimate_cost(make_arch(**{"dram.preset": "HBM3"}), make_run(cycles=2000, dram_open_edges=edges))
        for edges in (0, 800)
    )
    more_pj = opened.energy_pj["dram_background"] - closed.energy_pj["dram_background"]
    assert more_pj == pytest.approx(250 * (100 - 40))


def test_leakage_by_hand(make_arch: MakeArch, make_run: MakeRun) -> None:
    """SRAM: 7 buffers x 41.4348 mW x leakage_ratio. Raising the ratio from 0 to 1 adds 290.0436 mW x 1000 ns."""
    run = make_run(cycles=2000)
    without, with_all = (
        estimate_cost(make_arch(**{"cost.leakage_ratio": ratio}), run).energy_pj["leakage"] for ratio in (0, 1)
    )
    assert with_all - without == pytest.approx(290043.6)
    assert without > 0  # logic leaks whatever the SRAM ratio


def test_a_faster_clock_shortens_leakage_and_standby_only(make_arch: MakeArch, make_run: MakeRun) -> None:
    run = make_run(cycles=1000, macs_sddmm=7)
    slow, fast = (estimate_cost(make_arch(clock_ghz=clock), run).energy_pj for clock in (1, 2))
    assert fast["leakage"] == pytest.approx(slow["leakage"] / 2)
    assert fast["dram_background"] == pytest.approx(slow["dram_background"] / 2)
    assert fast["pe_array"] == slow["pe_array"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(counts=st.lists(st.integers(0, 10**9), min_size=64, max_size=64), cycles=st.integers(0, 10**9))
def test_energy_adds_up_to_its_total_and_never_falls_with_more_events(
    make_arch: MakeArch, make_run: MakeRun, counts: list[int], cycles: int
) -> None:
    names = list(make_run().counters)
    run = make_run(cycles, **dict(zip(names, counts, strict=False)))
    energy = estimate_cost(make_arch(), run).energy_pj
    assert energy["total"] == pytest.approx(sum(pj for name, pj in energy.items() if name != "total"))
    twice = make_run(2 * cycles, **{name: 2 * count for name, count in run.counters.items()})
    assert estimate_cost(make_arch(), twice).energy_pj["total"] == pytest.approx(2 * energy["total"])


@pytest.mark.parametrize(
    ("key", "small", "large", "component"),
    [
        ("pe_array.lanes", 2, 4, "pe_array"),
        ("pe_array.bits", 8, 16, "pe_array"),
        ("pe_array.bits", 16, 32, "pe_array"),
        ("cost.pe_overhead_ratio", 1, 3, "pe_array"),
        ("predictor.array_rows", 8, 16, "predictor"),
        ("mask_generator.comparators", 8, 16, "mask_generator"),
        ("scheduler.num_schedulers", 1, 2, "scheduler"),
        ("scheduler.keys_classified_per_cycle", 4, 8, "scheduler"),
        ("scheduler.id_queue_entries", 4, 5, "scheduler"),
        ("softmax.exp_per_cycle", 4, 8, "softmax"),
        ("softmax.div_per_cycle", 2, 4, "softmax"),
        ("buffers.k.bytes", 32768, 32769, "buffer_k"),
    ],
)
def test_more_hardware_takes_more_area(make_arch: MakeArch, key: str, small: Any, large: Any, component: str) -> None:
    buffers = {name: dict(make_arch().buffers.q) for name in ("q", "k", "v", "predictor", "mask", "score", "output")}
    smaller, larger = (estimate_cost(make_arch(buffers=buffers, **{key: value})).area_mm2 for value in (small, large))
    assert smaller[component] < larger[component]
    assert smaller["total"] < larger["total"]


@pytest.mark.parametrize("device", ["itrs-hp", "itrs-lstp"])
@pytest.mark.parametrize("node", NODES)
def test_every_technology_node_works(make_arch: MakeArch, make_run: MakeRun, node: int, device: str) -> None:
    arch = make_arch(technology_nm=node, **{"cost.sram_device": device})
    run = make_run(**dict.fromkeys(make_run().counters, 100), cycles=1000)
    cost = estimate_cost(arch, run)
    assert all(pj > 0 for pj in cost.energy_pj.values())
    assert all(mm2 > 0 for mm2 in cost.area_mm2.values())


def test_finer_nodes_cost_less_on_the_chip_and_the_same_in_dram(make_arch: MakeArch, make_run: MakeRun) -> None:
    run = make_run(**dict.fromkeys(make_run().counters, 100), cycles=0)
    at_nodes = [estimate_cost(make_arch(technology_nm=node), run) for node in NODES]
    for coarse, fine in pairwise(at_nodes):
        assert all(fine.energy_pj[name] < coarse.energy_pj[name] for name in COMPONENTS)
        assert all(fine.area_mm2[name] < coarse.area_mm2[name] for name in COMPONENTS)
        assert fine.energy_pj["dram"] == coarse.energy_pj["dram"]


def test_a_design_without_prediction_has_none_of_its_units(make_arch: MakeArch, make_run: MakeRun) -> None:
    arch = dense(make_arch)
    cost = estimate_cost(arch, make_run(cycles=10, macs_sddmm=5))
    for name in ("predictor", "mask_generator", "scheduler", "buffer_predictor", "buffer_mask"):
        assert cost.area_mm2[name] == 0
        assert cost.energy_pj[name] == 0
        assert cost.sources[name] == "not in this design"


@pytest.mark.parametrize(("method", "unused"), [("given", {"predictor"}), ("dense", {"predictor", "mask"})])
def test_a_buffer_the_method_does_not_use_is_free(make_arch: MakeArch, method: str, unused: set[str]) -> None:
    area = estimate_cost(make_arch(**{"predictor.method": method})).area_mm2
    assert {name for name in ("q", "k", "v", "predictor", "mask", "score", "output") if not area[f"buffer_{name}"]} == (
        unused
    )


def test_a_missing_counter_is_refused(make_arch: MakeArch, make_run: MakeRun) -> None:
    run = make_run(without=("macs_spmm", "dram_refreshes"))
    with pytest.raises(InvariantError, match="lacks the counters dram_refreshes, macs_spmm"):
        estimate_cost(make_arch(), run)


def test_an_unknown_counter_is_refused(make_arch: MakeArch, make_run: MakeRun) -> None:
    with pytest.raises(InvariantError, match="no price for the counters macs_magic"):
        estimate_cost(make_arch(), make_run(macs_magic=1))


def test_traffic_of_a_buffer_the_design_lacks_is_refused(make_arch: MakeArch, make_run: MakeRun) -> None:
    with pytest.raises(InvariantError, match=r"events of buffer_mask, which the design does not have"):
        estimate_cost(dense(make_arch), make_run(mask_buffer_write_bytes=8))


def test_assumed_numbers_are_called_so_in_the_result(make_arch: MakeArch) -> None:
    sources = estimate_cost(make_arch(technology_nm=22)).sources
    assert "assumed" in sources["dram"]
    assert "assumed" in sources["scheduler"]
    assert "assumed" not in sources["dram_background"]


@pytest.mark.benchmark
def test_an_estimate_is_fast_once_tables_are_loaded(make_arch: MakeArch, make_run: MakeRun) -> None:
    arch, run = make_arch(), make_run(cycles=1)
    estimate_cost(arch, run)
    start = perf_counter()
    estimate_cost(arch, run)
    assert perf_counter() - start < 0.02


def dense(make_arch: MakeArch) -> ArchConfig:
    buffers = {name: dict(make_arch().buffers.q) for name in ("q", "k", "v", "score", "output")}
    return make_arch(predictor={"method": "dense"}, mask_generator=None, buffers=buffers)
