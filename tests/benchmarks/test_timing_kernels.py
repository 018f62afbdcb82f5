"""Speed of the plan, walk, schedule and DRAM kernels on the shipped traces' masks (run with -m benchmark)."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dram_traces import make_traces
from simpy import Environment

from dsasim.api import simulate
from dsasim.config.loader import load_arch
from dsasim.dataflow import systolic
from dsasim.dataflow.plan import make_plan
from dsasim.dataflow.token_parallel import array_work, vector_timing
from dsasim.dataflow.work import ArrayWork
from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_queue as queue
from dsasim.kernels.array import walk_blocks
from dsasim.kernels.key_blocks import tile_bounds
from dsasim.kernels.plan import plan_in_order, plan_reordered
from dsasim.kernels.schedule import schedule_tiles, spilled_keys
from dsasim.machine.job import NOWHERE, Job
from dsasim.machine.spec import UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.transfer import Transfer
from dsasim.model.dram import Dram
from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import load_presets
from dsasim.model.dram_replay import replay_trace
from dsasim.predictors import load_predictor
from dsasim.predictors.base import KeepMask
from dsasim.trace.find import find_trace
from dsasim.trace.requests import Requests
from dsasim.trace.store import open_trace

pytestmark = pytest.mark.benchmark(timer=time.process_time)
GROUP_ROWS = 4
TRACES = ("smollm2-l512", "minilm-l128")
MASKS = (*TRACES, "made-l4096")
DATAFLOWS = [
    ("in_order", "lock_step", 4),
    ("reordered", "lock_step", 4),
    ("in_order", "independent", 4),
    ("reordered", "independent", 4),
    ("in_order", "lock_step", 8),
    ("reordered", "lock_step", 8),
]


def masks_of(trace_name: str) -> list[KeepMask]:
    """The default design's masks of the first layer's heads, or one made up."""
    if trace_name not in TRACES:
        return [made_mask(4096, 0.1)]
    trace = open_trace(Path(find_trace(trace_name)))
    layer = trace.layer(trace.layer_numbers[0])
    predictor = load_predictor(load_arch("dsa-decoupled"), layer)
    return [predictor.select(head).keep for head in range(layer.num_heads)]


def made_mask(length: int, density: float) -> KeepMask:
    """A causal mask like a long head's: neighbours, columns that many rows want, and queries that drift slowly."""
    rng = np.random.default_rng(0)
    queries, keys = rng.normal(size=(2, length, 16)).astype(np.float32)
    for row in range(1, length):
        queries[row] = 0.8 * queries[row - 1] + 0.6 * queries[row]
    wanted = rng.gumbel(size=length)
    rows = []
    for row in range(length):
        age = row - np.arange(row + 1)
        scores = wanted[: row + 1] + 0.4 * keys[: row + 1] @ queries[row] + 3 * np.exp(-age / 32)
        kept = -(-(row + 1) * int(100 * density) // 100)
        rows.append(np.sort(np.argpartition(-scores, kept - 1)[:kept]))
    indptr = np.array([0, *np.cumsum([len(row) for row in rows])], np.int64)
    return KeepMask(indptr, np.concatenate(rows).astype(np.int32), length)


def timed(benchmark: Any, work: Callable[[], Any], **amounts: int) -> None:
    """Compile, then time; amounts per second go into the report."""
    work()
    benchmark(work)
    for name, amount in amounts.items():
        benchmark.extra_info[f"{name}_per_second"] = round(amount / benchmark.stats.stats.median)


FLOORS = {("in_order", "lock_step", 4): 120e6, ("reordered", "lock_step", 4): 60e6}
"""Kept elements a CPU second that are asked for, K and V read alike as in the default design; of the best round."""


@pytest.mark.parametrize("buffers", ["alike", "different"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dataflow", DATAFLOWS, ids=lambda dataflow: "-".join(map(str, dataflow)))
def test_dataflow(benchmark: Any, dataflow: tuple[str, str, int], mask: str, buffers: str) -> None:
    """Mask in, cycles of SDDMM and SpMM out, in the default design's 4 lanes and 32 banks.

    K and V alike are walked once, as in `sim.products`; different ones twice.
    """
    order, lane_sync, group_rows = dataflow
    arch = load_arch("dsa-decoupled", (f"pe_array.lane_sync={lane_sync}",))
    masks = masks_of(mask)
    walked = [arch.buffers.k, *([] if buffers == "alike" else [arch.buffers.v.model_copy(update={"banks": 16})])]

    timings = [vector_timing(arch, 64, buffer) for buffer in walked]

    def head(keep: KeepMask) -> list[ArrayWork]:
        plan = make_plan(keep, order, group_rows)
        return [array_work(arch.pe_array, plan, 64 // group_rows, timing) for timing in timings]

    kept = sum(keep.nnz for keep in masks)
    timed(benchmark, lambda: [head(keep) for keep in masks], kept_elements=kept)
    floor = FLOORS.get(dataflow)
    if floor is not None and buffers == "alike":
        assert kept / benchmark.stats.stats.min >= floor


def test_dataflow_systolic(benchmark: Any) -> None:
    """Both products of a dense causal head of 512 tokens, on the dense design."""
    arch, spans = load_arch("dense-16x16"), np.arange(1, 513)

    def head() -> tuple[ArrayWork, ArrayWork]:
        return systolic.score_work(arch, spans, 64, 64), systolic.output_work(arch, spans, 64, 64)

    timed(benchmark, head, kept_elements=int(spans.sum()))


@pytest.mark.parametrize("trace", TRACES)
@pytest.mark.parametrize("plan", [plan_in_order, plan_reordered], ids=["in_order", "reordered"])
def test_plan(benchmark: Any, plan: Callable[..., Any], trace: str) -> None:
    masks = masks_of(trace)
    kept = sum(mask.nnz for mask in masks)
    timed(benchmark, lambda: [plan(mask.indptr, mask.indices, GROUP_ROWS) for mask in masks], kept_elements=kept)


@pytest.mark.parametrize("trace", TRACES)
def test_walk(benchmark: Any, trace: str) -> None:
    masks = masks_of(trace)
    plans = [plan_reordered(mask.indptr, mask.indices, GROUP_ROWS)[:3] for mask in masks]
    kept = sum(mask.nnz for mask in masks)
    timed(
        benchmark,
        lambda: [walk_blocks(tile_bounds(plan[0], 16), *plan, 4, 32, 4, 2) for plan in plans],
        kept_elements=kept,
    )


@pytest.mark.parametrize("trace", TRACES)
def test_schedule(benchmark: Any, trace: str) -> None:
    masks = masks_of(trace)
    plans = [plan_reordered(mask.indptr, mask.indices, GROUP_ROWS) for mask in masks]
    loads = [np.diff(load_ptr[step_ptr]) for step_ptr, load_ptr, _, _ in plans]
    spans = [np.full(len(group), mask.num_keys) for group, mask in zip(loads, masks, strict=True)]
    kept = sum(mask.nnz for mask in masks)
    heads = list(zip(spans, loads, plans, strict=True))

    def schedule() -> list[Any]:
        return [
            schedule_tiles(span, load, spilled_keys(plan[0], plan[1], plan[3], 16), 16, 4, 16)
            for span, load, plan in heads
        ]

    timed(benchmark, schedule, kept_elements=kept)


@pytest.mark.parametrize("pattern", ["stream", "gather"])
def test_dram(benchmark: Any, pattern: str) -> None:
    """100 000 bursts on two channels: neighbours, or 4 KiB apart."""
    requests, transfers = 100_000, 10
    stride = 64 if pattern == "stream" else 4096

    def work() -> None:
        dram = Dram(Environment(), load_arch("dsa-decoupled", ("dma.open_transfers=16",)), num_streams=1)
        for at in range(transfers):
            runs = requests // transfers
            dram._enqueue(0, Transfer.strided(at % 4 == 3, at * runs * stride, 64, runs, stride))
        finished = np.empty((16, 2), np.int64)
        remaining = 1
        while remaining:
            _, remaining = kernel.advance(
                dram.memory, dram.state, int(dram.state.scalars[kernel.CYCLE]), queue.NEVER, finished
            )

    timed(benchmark, work, requests=requests)


@pytest.mark.parametrize("runs", [1, 16])
def test_transfers(benchmark: Any, runs: int) -> None:
    """What surrounds a DRAM transfer, with its memory cycles: at most 40 us each, of four engines that share it."""
    arch = load_arch("dsa-decoupled")

    def work() -> None:
        env = Environment()
        dram = Dram(env, arch, num_streams=4)
        specs = [UnitSpec(str(stream), memory="dram", open_transfers=arch.dma.open_transfers) for stream in range(4)]
        jobs = [
            Job(str(stream), "move", NOWHERE, transfer=Transfer.strided(stream == 3, at, 64, runs, 4096))
            for stream in range(4)
            for at in range(stream << 24, (stream << 24) + 1024 * 500, 1024)
        ]
        System(env, specs, {"dram": dram}).run([Stage(jobs, [spec.name for spec in specs])])

    timed(benchmark, work, transfers=2000)
    assert benchmark.stats.stats.min / 2000 <= 40e-6


def test_default_run(benchmark: Any) -> None:
    """`dsasim run` without its start-up: machine, quality, cost and baselines."""
    arch, trace = load_arch("dsa-decoupled"), open_trace(Path(find_trace("smollm2-l512")))
    timed(benchmark, lambda: simulate(arch, trace))


@pytest.mark.parametrize("trace", ["seq_read_4MiB", "gather_sorted_4096x128_d10", "random_read_1GiB"])
def test_dram_replay(benchmark: Any, trace: str) -> None:
    """`dsasim dram` without the CSV: 3, 3 and 1.5 M requests a CPU second are asked, the references do 0.1 to 0.3 M."""
    requests, preset = make_traces(64)[trace], load_presets()["DDR4_2400"]
    part = Requests(requests.addresses // 64, requests.writes.astype(np.uint8), requests.not_before.copy(), 1.0)
    use = MemoryUse("row-bank-bankgroup-rank-column", refresh=True)
    replay_trace(preset, use, [part], 1)  # compiled
    timed(benchmark, lambda: replay_trace(preset, use, [part], 1), requests=len(part.bursts))
