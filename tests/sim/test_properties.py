"""What holds of every run, on random masks and designs: laws, order of processes, calendar events, dense = baseline."""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dsasim.api import simulate
from dsasim.baseline.dense import dense_arch, fastest_dense, lane_split
from dsasim.config.schema import ArchConfig
from dsasim.machine.system import System
from dsasim.sim.result import STALL_REASONS, MachineResult
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

# the fixtures only make functions
RANDOM = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
Arch = Callable[..., ArchConfig]
Masked = Callable[..., AttentionTrace]
Run = Callable[..., MachineResult]


@st.composite
def masks(draw: st.DrawFn) -> dict[str, Any]:
    """Layers of query heads that share kv heads, L_q != L_k, causal or not, some rows empty and some full."""
    layers, kv_heads, sharing = draw(st.integers(1, 2)), draw(st.integers(1, 2)), draw(st.integers(1, 2))
    L_k = draw(st.integers(1, 12))
    causal = draw(st.booleans())
    L_q = draw(st.integers(1, L_k if causal else 14))
    keep = draw(arrays(np.bool_, (layers, kv_heads * sharing, L_q, L_k)))
    for row in draw(st.sets(st.integers(0, L_q - 1), max_size=3)):
        keep[:, :, row] = draw(st.booleans())
    if causal:
        keep &= np.tri(L_q, L_k, L_k - L_q, dtype=np.bool_)
    return {"keep": keep, "kv_heads": kv_heads, "causal": causal, "d_head": draw(st.sampled_from([1, 3, 4, 8]))}


@st.composite
def designs(draw: st.DrawFn) -> tuple[str, ...]:
    """Overrides of the tiny design in every dimension that couples units."""
    T = draw(st.integers(1, 4))
    slots = {f"buffers.{name}": draw(st.integers(1, 3)) for name in ("q", "k", "v", "mask", "score", "output")}
    values: dict[str, Any] = {
        "scheduler.token_parallelism": T,
        "scheduler.tile_rows": T * draw(st.integers(1, 3)),
        "scheduler.order": draw(st.sampled_from(["in_order", "reordered"])),
        "scheduler.num_schedulers": draw(st.integers(1, 2)),
        "scheduler.keys_classified_per_cycle": draw(st.integers(1, 8)),
        "scheduler.id_queue_entries": draw(st.integers(1, 4)),
        "pe_array.lanes": draw(st.integers(1, 3)),
        "pe_array.macs_per_row": draw(st.integers(1, 5)),
        "softmax.pipeline_depth_cycles": draw(st.integers(0, 20)),
        "clock_ghz": draw(st.sampled_from(["0.7", "1", "1.3", "1.6", "2.9"])),
        "dma.open_transfers": draw(st.integers(1, 4)),
        "dma.outstanding_bursts": draw(st.sampled_from([1, 3, 64])),
        "dram.preset": draw(st.sampled_from(["DDR4_2400", "DDR4_3200", "LPDDR5_6400", "HBM2", "HBM3"])),
        "dram.refresh": draw(st.sampled_from(["true", "false"])),
        "dram.channels": draw(st.integers(1, 3)),
        "dram.mapping": draw(
            st.sampled_from(["row-bank-column-bankgroup-channel", "row-bank-bankgroup-column-channel"])
        ),
        "dram.layout": draw(st.sampled_from(["head_contiguous", "token_interleaved"])),
        "buffers.k.banks": draw(st.integers(1, 5)),
        "buffers.v.port_bytes": draw(st.sampled_from([1, 8, 64])),
    }
    for buffer, count in slots.items():
        values |= {f"{buffer}.double_buffered": str(count > 1).lower(), f"{buffer}.num_slots": count}
    return tuple(f"{key}={value}" for key, value in values.items())


def with_processes_in_order(patch: pytest.MonkeyPatch, seed: int) -> None:
    """Create the units' processes in another order."""
    ordered = System._processes

    def shuffled(system: System, stage: Any) -> Iterator[Any]:
        processes = list(ordered(system, stage))
        random.Random(seed).shuffle(processes)
        return iter(processes)

    patch.setattr(System, "_processes", shuffled)


def with_other_events(patch: pytest.MonkeyPatch, times: list[int]) -> None:
    """Put events that concern nobody on the calendar."""
    plain = System.run

    def crowded(system: System, stages: Any) -> int:
        for time in times:
            system.env.timeout(time)
        return plain(system, stages)

    patch.setattr(System, "run", crowded)


@RANDOM
@given(mask=masks(), design=designs())
def test_every_law_holds_and_every_cycle_has_one_owner(
    tiny: Arch, masked: Masked, run: Run, mask: dict[str, Any], design: tuple[str, ...]
) -> None:
    arch, trace = tiny(*design), masked(**mask)
    result = run(arch, trace)
    assert result.invariants and all(result.invariants.values())
    assert result.predictor_free
    for unit in result.units.values():
        assert set(unit.stall_cycles) == set(STALL_REASONS)
        assert min(unit.stall_cycles.values()) >= 0
        assert unit.busy_cycles + sum(unit.stall_cycles.values()) == unit.instances * result.cycles
    keep = mask["keep"]
    heads = [head for layer in result.layers for head in layer.heads]
    assert [head.nnz for head in heads] == keep.sum(axis=(2, 3)).ravel().tolist()
    assert result.counters["softmax_exponentials"] == keep.sum()
    assert result.counters["keys_issued"] == sum(head.k_loads for head in heads)
    slots = arch.scheduler.token_parallelism * sum(head.plan_steps for head in heads)
    assert result.counters["idle_row_slots"] == slots - keep.sum()


@RANDOM
@given(mask=masks(), design=designs(), seed=st.integers(0, 1000), share=st.lists(st.floats(0, 1), max_size=12))
def test_neither_order_of_processes_nor_other_events_change_anything(
    tiny: Arch, masked: Masked, run: Run, mask: dict[str, Any], design: tuple[str, ...], seed: int, share: list[float]
) -> None:
    arch, trace = tiny(*design), masked(**mask)
    expected = run(arch, trace)
    with pytest.MonkeyPatch.context() as patch:
        with_processes_in_order(patch, seed)
        assert run(arch, trace) == expected
        with_other_events(patch, [int(part * expected.cycles) for part in share])
        assert run(arch, trace) == expected


@RANDOM
@given(mask=masks(), design=designs())
def test_the_same_input_gives_the_same_bytes(
    tiny: Arch, masked: Masked, mask: dict[str, Any], design: tuple[str, ...]
) -> None:
    texts = {json.dumps(simulate(tiny(*design), masked(**mask)).to_json()) for _ in range(2)}
    assert len(texts) == 1


@RANDOM
@given(mask=masks(), design=designs(), more=st.integers(1, 3))
def test_lanes_change_times_and_never_what_is_computed(
    tiny: Arch, masked: Masked, run: Run, mask: dict[str, Any], design: tuple[str, ...], more: int
) -> None:
    trace, few = masked(**mask), tiny(*design)
    few_run, many_run = (
        run(tiny(*design, f"pe_array.lanes={few.pe_array.lanes + lanes}"), trace) for lanes in (0, more)
    )
    for counter in (
        "macs_sddmm",
        "macs_spmm",
        "softmax_exponentials",
        "keys_issued",
        "idle_row_slots",
        "dram_read_bytes",
    ):
        assert many_run.counters[counter] == few_run.counters[counter]
    for result in (few_run, many_run):
        assert result.counters["k_vector_reads"] == result.counters["v_vector_reads"] <= result.counters["keys_issued"]


@RANDOM
@given(mask=masks(), design=designs())
def test_sharing_loads_never_loads_more_and_serves_the_same(
    tiny: Arch, masked: Masked, run: Run, mask: dict[str, Any], design: tuple[str, ...]
) -> None:
    in_order, reordered = (
        run(tiny(*design, f"scheduler.order={order}"), masked(**mask)) for order in ("in_order", "reordered")
    )
    assert reordered.counters["keys_issued"] <= in_order.counters["keys_issued"]
    assert reordered.counters["macs_sddmm"] == in_order.counters["macs_sddmm"]


def tensors(L_q: int, L_k: int, heads: int, kv_heads: int, causal: bool, allowed: np.ndarray | None) -> AttentionTrace:
    rng = np.random.default_rng(0)
    layer = LayerArrays(
        number=0,
        q=rng.normal(size=(heads, L_q, 4)),
        k=rng.normal(size=(kv_heads, L_k, 4)),
        v=rng.normal(size=(kv_heads, L_k, 4)),
        x_q=rng.normal(size=(L_q, 6)),
        x_kv=None if L_q == L_k else rng.normal(size=(L_k, 6)),
        causal=causal,
        scale=0.5,
        allowed=allowed,
    )
    return trace_in_memory("tensors", [layer], dtype="float32")


@RANDOM
@given(
    design=designs(),
    L_q=st.integers(1, 9),
    L_k=st.integers(1, 9),
    kv_heads=st.integers(1, 2),
    causal=st.booleans(),
    padding=st.integers(0, 3),
)
def test_a_dense_design_is_its_own_baseline(
    tiny: Arch, run: Run, design: tuple[str, ...], L_q: int, L_k: int, kv_heads: int, causal: bool, padding: int
) -> None:
    """Also with padding: keys at the end that nobody may attend to."""
    allowed = np.ones((L_q, L_k), np.bool_)
    allowed[:, max(1, L_k - padding) :] = False
    trace = tensors(L_q, L_k, 2 * kv_heads, kv_heads, causal and L_q <= L_k, allowed)
    sparse = tiny(*design)
    split = lane_split(sparse, trace, {0: range(2 * kv_heads)})
    for dataflow in ("token_parallel", "systolic"):
        dense = dense_arch(sparse, dataflow, split)
        result = run(dense, trace)
        assert simulate(dense, trace).baseline.dense_cycles == min(
            run(dense_arch(sparse, name, split), trace).cycles for name in ("token_parallel", "systolic")
        )
        assert all(head.density == 1 for layer in result.layers for head in layer.heads)


@RANDOM
@given(mask=masks(), design=designs())
def test_the_baseline_of_a_mask_computes_every_allowed_position(
    tiny: Arch, masked: Masked, mask: dict[str, Any], design: tuple[str, ...]
) -> None:
    trace, arch = masked(**mask), tiny(*design)
    chosen = {number: range(trace.layer(number).num_heads) for number in trace.layer_numbers}
    allowed = sum(int(trace.layer(number).allowed().sum()) * len(heads) for number, heads in chosen.items())
    _, dense = fastest_dense(arch, trace, chosen)
    assert sum(head.nnz for layer in dense.layers for head in layer.heads) == allowed
    assert all(head.density == 1 for layer in dense.layers for head in layer.heads)


def test_a_given_mask_that_keeps_everything_takes_a_dense_machine_and_a_scheduler(
    tiny: Arch, masked: Masked, run: Run
) -> None:
    """In order, full rows: the array's work is the dense token-parallel machine's."""
    arch, trace = tiny("scheduler.order=in_order"), masked(np.ones((8, 8)))
    given_run, dense_run = run(arch, trace), run(dense_arch(arch, "token_parallel"), trace)
    for counter in (
        "macs_sddmm",
        "macs_spmm",
        "k_vector_reads",
        "v_vector_reads",
        "dram_read_bytes",
        "dram_write_bytes",
    ):
        assert given_run.counters[counter] == dense_run.counters[counter]
    assert given_run.units["pe_array"].busy_cycles == dense_run.units["pe_array"].busy_cycles
    assert asdict(dense_run.units["scheduler"])["busy_cycles"] == 0
