"""Dense machines beside a design: what they drop, the better dataflow, and lanes for the area of what was dropped."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dsasim.api import load_trace, simulate
from dsasim.baseline import dense
from dsasim.baseline.dense import (
    SPARSE_ONLY,
    IsoArea,
    _widened,
    dense_arch,
    fastest_dense,
    iso_area_lanes,
    iso_area_obstacle,
    lane_split,
)
from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.cost.model import Cost, estimate_cost
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory


@pytest.fixture
def make_arch() -> Callable[..., ArchConfig]:
    """The default design with overrides, as in --set."""
    return lambda *overrides: load_arch("dsa-decoupled", overrides)


@pytest.fixture
def trace() -> AttentionTrace:
    """A causal mask of 2 heads of 64 rows that keeps a tenth."""
    keep = np.random.default_rng(0).random((2, 64, 64)) < 0.1
    keep &= np.tri(64, dtype=np.bool_)
    return trace_in_memory("tenth", [MaskArrays(0, np.packbits(keep, axis=-1), 64, 64, 2, True)], kind="mask")


def cost_of(area_mm2: dict[str, float]) -> Cost:
    return Cost(energy_pj={}, area_mm2=dict.fromkeys((*SPARSE_ONLY, "pe_array", "softmax"), 0.0) | area_mm2, sources={})


def test_iso_area_worked_example(make_arch: Callable[..., ArchConfig]) -> None:
    """4 lanes of 0.5 mm2 and 1.2 mm2 of sparse-only parts make 6 lanes; 1.0 and 0.99 are the edge of the second."""
    arch = make_arch("pe_array.lanes=4")
    assert iso_area_lanes(arch, cost_of({"pe_array": 2.0, "predictor": 1.2})) == 6
    assert iso_area_lanes(arch, cost_of({"pe_array": 2.0, "predictor": 0.5, "buffer_mask": 0.5})) == 6
    assert iso_area_lanes(arch, cost_of({"pe_array": 2.0, "scheduler": 0.99})) == 5
    assert iso_area_lanes(arch, cost_of({"pe_array": 2.0})) == 4
    assert iso_area_lanes(arch, cost_of({"pe_array": 1.6, "softmax": 0.4, "predictor": 1.2})) == 6
    small = make_arch("scheduler.tile_rows=20")
    assert iso_area_lanes(small, cost_of({"pe_array": 2.0, "predictor": 1.2})) == 5  # a sixth lane would have no group


def test_what_stands_in_the_way_of_a_dense_machine_of_equal_area(make_arch: Callable[..., ArchConfig]) -> None:
    """The third lane costs 0.5 mm2: 0.49 do not pay for it, and tiles of 8 rows have no third group of 4."""
    arch = make_arch("pe_array.lanes=2")
    assert "does not pay for a lane" in iso_area_obstacle(arch, cost_of({"pe_array": 1.0, "predictor": 0.49}))
    assert iso_area_obstacle(arch, cost_of({"pe_array": 1.0, "predictor": 0.5})) == ""
    small = make_arch("pe_array.lanes=2", "scheduler.tile_rows=8")
    assert iso_area_obstacle(small, cost_of({"pe_array": 1.0, "predictor": 0.5})) == (
        "a tile of 8 rows has no group of 4 for another lane"
    )


def test_a_dense_machine_beyond_what_a_design_may_be_is_said_so(make_arch: Callable[..., ArchConfig]) -> None:
    """From 2 lanes to 3, two thirds of 2^20 exponentials a cycle become 2^20, the most that a design may have."""
    large = ("pe_array.lanes=2", "predictor.array_rows=4000", "predictor.array_columns=4000", "scheduler.tile_rows=12")
    said = "its softmax unit would start more than 1,048,576 exponentials or divisions a cycle"
    for unit in ("exp", "div"):
        arch, half = (make_arch(*large, f"softmax.{unit}_per_cycle={rate}") for rate in (1 << 20, (1 << 21) // 3))
        wide, less_wide = (simulate(each, load_trace("minilm-l128"), [2], [0], quality=False) for each in (arch, half))
        assert wide.baseline is not None and less_wide.baseline is not None
        assert (wide.baseline.iso_area, iso_area_obstacle(arch, wide.cost)) == (None, said)
        assert (less_wide.baseline.iso_area is not None, iso_area_obstacle(half, less_wide.cost)) == (True, "")


def test_lanes_beyond_the_rows_of_any_tile_share_out_groups(
    make_arch: Callable[..., ArchConfig], trace: AttentionTrace
) -> None:
    """1,024 lanes of 8 rows would take tiles of 8,192 rows to share out heads; a design has at most 4,096."""
    overrides = ("pe_array.lanes=1024", "pe_array.macs_per_row=1", "scheduler.token_parallelism=8")
    for tile_rows in (8, 4096):
        arch = make_arch(*overrides, f"scheduler.tile_rows={tile_rows}")
        mapping, run = fastest_dense(arch, trace, {0: (0, 1)})
        assert mapping in ("token_parallel", "systolic") and run.cycles > 0
    assert lane_split(make_arch("pe_array.lanes=512", *overrides[1:]), trace, {0: (0, 1)}) == "heads"


def test_a_wider_machine_gets_softmax_and_tiles_that_suit_it(make_arch: Callable[..., ArchConfig]) -> None:
    """The worked example: from 4 to 13 lanes, 16 exponentials become 52, and tiles of 64 rows become 52."""
    wider = _widened(make_arch("softmax.div_per_cycle=3"), 13)
    assert (wider.pe_array.lanes, wider.scheduler.tile_rows) == (13, 52)
    assert (wider.softmax.exp_per_cycle, wider.softmax.div_per_cycle) == (52, 10)


def test_a_dense_machine_keeps_the_macs_and_drops_the_rest(make_arch: Callable[..., ArchConfig]) -> None:
    arch = make_arch()
    for dataflow in ("token_parallel", "systolic"):
        plain = dense_arch(arch, dataflow)
        assert plain.macs == arch.macs
        assert (plain.predictor.method, plain.mask_generator, plain.buffers.mask, plain.buffers.predictor) == (
            "dense",
            None,
            None,
            None,
        )
        assert (plain.dram, plain.dma, plain.softmax) == (arch.dram, arch.dma, arch.softmax)
        area = estimate_cost(plain).area_mm2
        assert all(area[part] == 0 for part in SPARSE_ONLY)


def test_the_better_dataflow_is_taken(make_arch: Callable[..., ArchConfig], trace: AttentionTrace) -> None:
    arch, chosen = make_arch(), {0: (0, 1)}
    cycles = {
        name: run_machine(dense_arch(arch, name), trace, chosen).cycles for name in ("token_parallel", "systolic")
    }
    mapping, run = fastest_dense(arch, trace, chosen)
    assert run.cycles == min(cycles.values()) == cycles[mapping]


def test_ratios_are_dense_over_ours(make_arch: Callable[..., ArchConfig], trace: AttentionTrace) -> None:
    result = simulate(make_arch("pe_array.lanes=2", "pe_array.macs_per_row=8"), trace)
    baseline = result.baseline
    assert result.quality is None
    assert baseline.speedup_vs_dense == baseline.dense_cycles / result.machine.cycles > 1
    assert baseline.energy_vs_dense_ratio > 1
    assert baseline.iso_area is not None
    assert baseline.iso_area.lanes > result.arch.pe_array.lanes
    assert baseline.iso_area.speedup_ratio == baseline.iso_area.cycles / result.machine.cycles
    assert baseline.iso_area.cycles <= baseline.dense_cycles


def test_a_design_with_nothing_to_trade_has_no_iso_area_machine(trace: AttentionTrace) -> None:
    result = simulate(load_arch("dense-16x16"), trace)
    assert result.arch.predictor.method == "given"
    cost = replace(result.cost, area_mm2=result.cost.area_mm2 | dict.fromkeys(SPARSE_ONLY, 0.0))
    assert iso_area_lanes(result.arch, cost) == result.arch.pe_array.lanes


def test_area_that_makes_a_dense_machine_slower_is_not_spent(
    make_arch: Callable[..., ArchConfig], trace: AttentionTrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More lanes are slower here by one cycle, under the other dataflow: the machine of equal MACs stands in place."""
    arch, measured = make_arch("pe_array.lanes=2", "pe_array.macs_per_row=8"), dense.fastest_dense
    other = {"systolic": "token_parallel", "token_parallel": "systolic"}
    narrow: list[tuple[str, MachineResult]] = []

    def fastest(given: ArchConfig, *rest: Any) -> tuple[str, MachineResult]:
        if given.pe_array.lanes == 2:
            narrow.append(measured(given, *rest))
            return narrow[0]
        mapping, run = narrow[0]
        return other[mapping], replace(run, cycles=run.cycles + 1)

    monkeypatch.setattr(dense, "fastest_dense", fastest)
    result = simulate(arch, trace, gpus=())
    assert result.baseline is not None
    mapping, run = narrow[0]
    assert result.baseline.iso_area == IsoArea(2, run.cycles, mapping, run.cycles / result.machine.cycles)


def test_lanes_share_out_heads_only_where_no_layer_has_a_group_for_each() -> None:
    """4 lanes of 4 rows: 12 rows are 3 groups, 16 are 4; the longest layer decides, and one head cannot be shared."""
    arch = load_arch("dsa-decoupled", ["pe_array.lanes=4"])
    layers = [
        MaskArrays(number, np.full((2, rows, 2), 255, np.uint8), 16, 8, 2, False) for number, rows in ((0, 12), (1, 16))
    ]
    trace = trace_in_memory("two lengths", layers, kind="mask")
    assert lane_split(arch, trace, {0: (0, 1)}) == "heads"
    assert lane_split(arch, trace, {0: (0, 1), 1: (0, 1)}) == "groups"
    assert lane_split(arch, trace, {0: (1,)}) == "groups"


def test_attention_of_a_layer_is_compared_with_attention_alone() -> None:
    """In scope layer most cycles are dense products: neither dense attention nor a GPU's is set against those."""
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 1, 16, 16))
    layer = LayerArrays(
        0, q, k, v, q[0], causal=False, scale=0.25, keep=np.tri(16, dtype=np.bool_)[None], d_ff=64, gated=False
    )
    arch = load_arch("dsa-decoupled", ["predictor.method=given", "clock_ghz=2"])
    result = simulate(arch, trace_in_memory("layer", [layer]), scope="layer", quality=False)
    machine, baseline = result.machine, result.baseline
    assert baseline is not None
    assert machine.attention_cycles < machine.cycles
    assert baseline.dense_attention_cycles < baseline.dense_cycles
    for gpu in baseline.gpu:
        assert gpu.speedup_ratio == pytest.approx(gpu.time_ns / (machine.attention_cycles / 2))
