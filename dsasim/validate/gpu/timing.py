"""How long a kernel takes: a cold L2 cache, median and spread of many calls.

Practice of triton.testing.do_bench and flashinfer-bench: warm up, then time each call by itself between two CUDA
events, after writing a buffer larger than the L2 cache. On a CPU the clock is the
process's CPU time, all threads together, so that other work on the machine does not count.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

WARM_UP_CALLS = 3
L2_FLUSH_BYTES = 256 << 20
"""More than any GPU's L2 cache (H200: 60 MB)."""


@dataclass(frozen=True)
class Timing:
    """Statistics of `calls` calls, in microseconds."""

    median_us: float
    p20_us: float
    p80_us: float
    calls: int


def measure(call: Callable[[], Any], device: str, calls: int = 50) -> Timing:
    """Time `calls` calls after a warm-up."""
    for _ in range(WARM_UP_CALLS):
        call()
    times_us = (_cuda_times_us if device == "cuda" else _cpu_times_us)(call, calls)
    p20, median, p80 = np.quantile(times_us, (0.2, 0.5, 0.8))
    return Timing(float(median), float(p20), float(p80), calls)


def _cpu_times_us(call: Callable[[], Any], calls: int) -> list[float]:
    times = []
    for _ in range(calls):
        began = time.process_time()
        call()
        times.append(1e6 * (time.process_time() - began))
    return times


def _cuda_times_us(call: Callable[[], Any], calls: int) -> list[float]:
    flush = torch.empty(L2_FLUSH_BYTES, dtype=torch.int8, device="cuda")
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(calls)]
    for before, after in pairs:
        flush.zero_()
        before.record()
        call()
        after.record()
    torch.cuda.synchronize()
    return [1e3 * before.elapsed_time(after) for before, after in pairs]
