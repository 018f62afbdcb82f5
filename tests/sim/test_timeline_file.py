"""The timeline agrees with the books: every row holds each cycle of the run once, and sums to the unit's report."""

import io
import json
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twin.cases import arch_of, random_case, selection_of, trace_of

from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.model.dram_preset import load_presets
from dsasim.sim.engine import run_machine
from dsasim.sim.memory_row import memory_row, union
from dsasim.sim.result import MachineResult
from dsasim.sim.timeline import BIN, Timeline
from dsasim.trace.attention import AttentionTrace

SUMS = ("pe_array", "dma")


class Drawn:
    """A run with its timeline, read back."""

    def __init__(self, arch: Any, trace: Any, selection: Any, scope: Any = "attention", window: Any = None) -> None:
        out = io.BytesIO()
        with Timeline(out, window) as timeline:
            self.result = run_machine(arch, trace, selection, scope=scope, watchers=[timeline])
        self.bytes = out.getvalue()
        events = json.loads(self.bytes)["traceEvents"]
        rows = {event["tid"]: event["args"]["name"] for event in events if event["name"] == "thread_name"}
        self.rows: dict[str, list[dict[str, Any]]] = {name: [] for _, name in sorted(rows.items())}
        for event in events:
            if event["ph"] == "X":
                self.rows[rows[event["tid"]]].append(event)
        self.counters: dict[str, list[tuple[int, float]]] = {}
        for event in events:
            if event["ph"] == "C":
                (level,) = event["args"].values()
                self.counters.setdefault(event["name"], []).append((event["ts"], level))

    def books(self, unit: str) -> dict[str, int]:
        """Cycles by owner, from the events alone."""
        found: Counter[str] = Counter()
        for event in self.rows[unit]:
            found["busy" if event["cat"] == "busy" else event["name"]] += event["dur"]
        return found


def assert_agrees(drawn: Drawn, arch: ArchConfig) -> None:
    result = drawn.result
    units = {name: unit for name, unit in result.units.items() if name not in SUMS}
    # a unit that a design has no use for has no jobs; its one event is `drained`
    assert set(units) == {row for row in drawn.rows if " transfer " not in row}
    for name, unit in units.items():
        owners = {"busy": unit.busy_cycles, **unit.stall_cycles}
        assert drawn.books(name) == {owner: cycles for owner, cycles in owners.items() if cycles}, name
        events = sorted(drawn.rows[name], key=lambda event: event["ts"])
        assert events[0]["ts"] == 0
        assert all(one["ts"] + one["dur"] == after["ts"] for one, after in pairwise(events)), name
    for name, transfers in drawn.rows.items():
        assert all(one["ts"] + one["dur"] <= after["ts"] for one, after in pairwise(transfers)), name
    for name, levels in drawn.counters.items():
        assert all(one[0] < after[0] and one[1] != after[1] for one, after in pairwise(levels)), name
        assert levels[-1][1] == 0, name
    moved = sum(level * (after - at) for (at, level), (after, _) in pairwise(drawn.counters.get("bandwidth", [])))
    total = result.counters["dram_read_bytes"] + result.counters["dram_write_bytes"]
    assert moved == pytest.approx(total, rel=1e-4)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rng=st.randoms(use_true_random=False), method=st.sampled_from(["given", "dsa2021", "dense"]))
def test_rows_sum_to_the_books_and_nothing_changes(rng: Random, method: str) -> None:
    """Random machines: coupled and not, pools, spills, GQA, several layers, dense products, all memories."""
    case = random_case(rng, method)
    arch, trace, selection = arch_of(case), trace_of(case), selection_of(case)
    try:
        plain = run_machine(arch, trace, selection, scope=case["scope"])
    except ConfigError:
        return
    drawn = Drawn(arch, trace, selection, case["scope"])
    assert drawn.result == plain
    assert_agrees(drawn, arch)


MACHINES = {
    "plain": (),
    "single slots": ("buffers.score.double_buffered=false", "buffers.score.num_slots=1"),
    "pool": ("buffers.k.bytes=32", "buffers.v.bytes=48"),
    "spilled scores": ("buffers.score.bytes=16",),
    "lanes": ("pe_array.lanes=3", "scheduler.tile_rows=6"),
    "one transfer": ("dma.open_transfers=1",),
    "refresh": ("dram.refresh=true",),
}


@pytest.mark.parametrize("overrides", MACHINES.values(), ids=MACHINES)
def test_small_machines(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace], overrides: tuple[str, ...]
) -> None:
    arch = tiny(*overrides)
    trace = masked([[[1, 0, 1, 1, 0, 1, 0, 1]] * 8, [[0, 1, 0, 0, 1, 1, 1, 1]] * 8])
    drawn = Drawn(arch, trace, {0: [0, 1]})
    assert_agrees(drawn, arch)
    # the case is what its name says
    assert ("vectors for" in str(drawn.rows)) == (overrides == MACHINES["pool"])
    assert ("spilled" in str(drawn.rows)) == (overrides == MACHINES["spilled scores"])


def test_names_say_job_layer_head_and_tile(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]
) -> None:
    drawn = Drawn(tiny(), masked([[1, 1], [0, 1]]), {0: [0]})

    def busy(unit: str) -> list[str]:
        return [event["name"] for event in drawn.rows[unit] if event["cat"] != "stall"]

    assert busy("lane_0") == ["SDDMM layer 0 head 0 tile 0", "SpMM layer 0 head 0 tile 0"]
    assert busy("softmax") == ["softmax layer 0 head 0 tile 0"]
    assert busy("scheduler") == ["plan layer 0 head 0 tile 0"]
    assert busy("dma_k transfer 0") == ["K of layer 0 kv head 0"]
    assert busy("dma_output transfer 0") == ["output of layer 0 head 0 tile 0"]
    assert {event["cname"] for event in drawn.rows["lane_0"] if event["name"] == "dram"} == {"rail_animation"}


def test_rows_are_numbered_as_the_pipeline_goes(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]
) -> None:
    """Perfetto sorts rows by number; lane 10 comes after lane 9."""
    drawn = Drawn(tiny("pe_array.lanes=11"), masked([[[1, 1], [0, 1]]] * 3), {0: [0, 1, 2]})
    units = [row for row in drawn.rows if " transfer " not in row]
    lanes = [f"lane_{lane}" for lane in range(11)]
    engines = [f"dma_{name}" for name in ("predictor", "q", "k", "v", "score", "output")]
    assert units == ["predictor", "mask_generator", "scheduler", *lanes, "softmax", *engines, "dram"]
    rows = list(drawn.rows)
    assert rows[rows.index("dma_q") :][:4] == ["dma_q", "dma_q transfer 0", "dma_q transfer 1", "dma_k"]


def test_predicted_and_dense_jobs_have_names(root: Any) -> None:
    case = next(c for c in (random_case(Random(seed), "dsa2021") for seed in range(200)) if c["scope"] == "layer")
    drawn = Drawn(arch_of(case), trace_of(case), selection_of(case), "layer")
    predictor = {event["name"].split()[0] for event in drawn.rows["predictor"] if event["cat"] == "busy"}
    array = {event["name"].split()[0] for event in drawn.rows["lane_0"] if event["cat"] == "busy"}
    assert predictor == {"XP", "K~", "S~"}
    assert array >= {"q", "k", "v", "o", "SDDMM", "SpMM"}


def test_a_window_cuts_what_crosses_its_edges(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]
) -> None:
    arch, trace = tiny(), masked([[1, 0, 1, 1, 0, 1, 0, 1]] * 8)
    whole = Drawn(arch, trace, {0: [0]})
    first, last = 60, 141
    part = Drawn(arch, trace, {0: [0]}, window=(first, last))
    assert part.result == whole.result
    for name, events in whole.rows.items():
        spans = [(event["name"], event["ts"], event["ts"] + event["dur"]) for event in events]
        cut = [(n, max(first, a), min(last + 1, b)) for n, a, b in spans if a <= last and b > first]
        found = [(event["name"], event["ts"], event["ts"] + event["dur"]) for event in part.rows.get(name, [])]
        assert found == cut, name
    for name, levels in whole.counters.items():
        at_first = [level for at, level in levels if at <= first][-1]
        later = [(at, level) for at, level in levels if first < at <= last]
        assert part.counters[name] == [(first, at_first), *later], name


def test_an_empty_window_is_valid(tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]) -> None:
    drawn = Drawn(tiny(), masked([[1, 1], [0, 1]]), {0: [0]}, window=(10**9, 10**9))
    assert not any(drawn.rows.values())


def test_bandwidth_is_the_bytes_whose_data_begins_in_each_bin(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace]
) -> None:
    """K, V and Q of one tile are a burst of 64 bytes each, soon after the start: 192 bytes in the first bin."""
    drawn = Drawn(tiny(), masked([[1, 1], [0, 1]]), {0: [0]})
    assert load_presets()["DDR4_3200"].access_bytes == 64
    assert drawn.counters["bandwidth"] == [(0, 4 * 64 / BIN), (BIN, 0)]


def test_the_memory_row_of_the_worked_example() -> None:
    found = [part for part in memory_row([(3, 5)], [(1, 7)], 12) if part[1] < part[2]]
    assert found == [("operand", 0, 1), ("dram", 1, 3), ("busy", 3, 5), ("dram", 5, 7), ("drained", 7, 12)]


def test_the_union_of_the_worked_example() -> None:
    assert union([(0, 2), (5, 9), (2, 4), (6, 7)]) == [(0, 4), (5, 9)]


def test_results_are_equal_with_and_without(
    tiny: Callable[..., ArchConfig], masked: Callable[..., AttentionTrace], run: Callable[..., MachineResult]
) -> None:
    arch, trace = tiny("dram.refresh=true"), masked([[1, 0, 1, 1, 0, 1, 0, 1]] * 40)
    assert Drawn(arch, trace, {0: [0]}).result == run(arch, trace)
