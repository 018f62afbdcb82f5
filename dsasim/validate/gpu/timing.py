"""How long a kernel takes: a cold L2 cache, median and spread of many calls.

Practice of triton.testing.do_bench and flashinfer-bench: warm up, then time each call by itself between two CUDA
events, after writing a buffer larger than the L2 cache. On a CPU the clock is the process's CPU time with one thread,
so that other work on the machine does not count (several threads spin while they wait for each other); systems keep it
in steps of up to 10 ms, so short calls are timed many at a time.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

WARM_UP_CALLS = 3
L2_FLUSH_BYTES = 256 << 20
"""More than any GPU's L2 cache (H200: 60 MB)."""


CPU_SAMPLE_SECONDS = 0.1
"""Ten steps of the coarsest CPU clock."""


@dataclass(frozen=True)
class Timing:
    """Statistics of `samples` times of a call, in microseconds."""

    median_us: float
    p20_us: float
    p80_us: float
    samples: int


def measure(call: Callable[[], Any], device: str, samples: int = 50) -> Timing:
    """Time a call `samples` times after a warm-up."""
    with as_timed(device):
        for _ in range(WARM_UP_CALLS):
            call()
        times_us = (_cuda_times_us if device == "cuda" else _cpu_times_us)(call, samples)
    p20, median, p80 = np.quantile(times_us, (0.2, 0.5, 0.8))
    return Timing(float(median), float(p20), float(p80), samples)


@contextmanager
def as_timed(device: str) -> Iterator[None]:
    """The state in which calls are timed: PyTorch on one thread of a CPU. What is compiled in another is not reused."""
    before = torch.get_num_threads()
    if device == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _cpu_times_us(call: Callable[[], Any], samples: int) -> list[float]:
    began, calls = time.process_time(), 0
    while time.process_time() - began < CPU_SAMPLE_SECONDS:
        call()
        calls += 1
    return [_cpu_time_us(call, calls) for _ in range(samples)]


def _cpu_time_us(call: Callable[[], Any], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        call()
    return max(1e6 * (time.process_time() - began), 1.0) / calls


def _cuda_times_us(call: Callable[[], Any], samples: int) -> list[float]:
    flush = torch.empty(L2_FLUSH_BYTES, dtype=torch.int8, device="cuda")
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(samples)]
    for before, after in pairs:
        flush.zero_()
        before.record()
        call()
        after.record()
    torch.cuda.synchronize()
    return [1e3 * before.elapsed_time(after) for before, after in pairs]
