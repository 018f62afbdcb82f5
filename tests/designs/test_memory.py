"""A layer is compiled a head group at a time while it is consumed: it takes the memory of one, and of its jobs."""

import tracemalloc
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.design import Dsa
from dsasim.designs.dsa.layer import AttentionLayer
from dsasim.machine.job import Job
from dsasim.machine.system import System
from dsasim.sim.design import Record
from dsasim.sim.engine import run_machine
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

LENGTH, HEADS = 512, 12
KV_HEADS = pytest.mark.parametrize("kv_heads", [HEADS, 1])
SMALL_TILES = ("predictor.method=oracle_topk", "scheduler.tile_rows=16")
CACHES = ("buffers.k.bytes=8192", "buffers.v.bytes=8192")  # half a head


def trace_of(kv_heads: int) -> AttentionTrace:
    """Heads with K and V of their own, or shared."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(heads, LENGTH, 16)).astype(np.float32) for heads in (HEADS, kv_heads, kv_heads))
    x = rng.normal(size=(LENGTH, 16)).astype(np.float32)
    return trace_in_memory("long", [LayerArrays(number=0, q=q, k=k, v=v, x_q=x, causal=True, scale=0.25)])


def peak(work: Callable[[], object]) -> int:
    """Bytes at most while it works, the second time."""
    work()
    tracemalloc.start()
    work()
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def compiled(arch: ArchConfig, trace: AttentionTrace, heads: Sequence[int]) -> int:
    """Jobs of a layer, none of them kept."""
    env = Environment()
    layer = AttentionLayer(arch, trace.layer(0), heads, System(env, Dsa(arch).units(), {"dram": None}), Record(env))
    return sum(isinstance(job, Job) for job in layer.stage.jobs)


@pytest.mark.parametrize("overrides", [(), CACHES], ids=["whole heads", "caches"])
def test_a_layer_of_twelve_heads_takes_the_memory_of_one(
    make_arch: Callable[..., ArchConfig], overrides: tuple[str, ...]
) -> None:
    arch, trace = make_arch(*SMALL_TILES, *overrides), trace_of(HEADS)
    assert compiled(arch, trace, range(HEADS)) == sum(compiled(arch, trace, [head]) for head in range(HEADS))
    one, all_heads = (peak(lambda heads=heads: compiled(arch, trace, heads)) for heads in ([0], range(HEADS)))
    assert all_heads < 1.2 * one


@KV_HEADS
def test_jobs_are_not_made_long_before_they_run(make_arch: Callable[..., ArchConfig], kv_heads: int) -> None:
    """Units run a few jobs ahead, K and V two heads: twelve heads take little more than four, shared K and V or not."""
    arch, trace = make_arch(*SMALL_TILES), trace_of(kv_heads)
    four, twelve = (peak(lambda count=count: run_machine(arch, trace, {0: range(count)})) for count in (4, 12))
    assert twelve < 1.2 * four
