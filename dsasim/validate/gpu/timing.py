"""How long a kernel takes: a cold L2 cache, several trials in turns, median and spread of all samples.

Practice of triton.testing.do_bench and flashinfer-bench: warm up, then time each call by itself between two CUDA
events, after writing a buffer larger than the L2 cache. Calls that are compared take turns, trial by trial, so that a
machine that warms up slows all of them alike. A trial in which the SM clock moved is taken again. On a CPU the clock is
the process's CPU time with one thread, so that other work on the machine does not count (several threads spin while
they wait for each other); systems keep it in steps of up to 10 ms, so short calls are timed many at a time.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch

from dsasim.validate.gpu.sensors import MAX_DRIFT_RATIO, Reading, Sensors, drift_ratio

Call = Callable[[], Any]
Clock = Callable[[], float]

WARM_UP_CALLS = 3
WARM_UP_SECONDS = 0.025
"""Of a GPU, whose clock rises with work."""

L2_FLUSH_BYTES = 256 << 20
"""More than any GPU's L2 cache (H200: 60 MB)."""

HOLD_CYCLES = 20_000_000
"""What a GPU spins before a trial, 10 ms at 2 GHz, while the host queues its calls: a call that takes the host longer
than the flush takes the GPU would else be timed with the host's share."""

CPU_SAMPLE_SECONDS = 0.1
"""Ten steps of the coarsest CPU clock."""

ATTEMPTS = 4
"""Times that a trial is taken before its call is called unsteady."""


@dataclass(frozen=True)
class Trial:
    """Times of one call after another, in microseconds, and what the sensors said meanwhile."""

    times_us: tuple[float, ...]
    readings: tuple[Reading, ...] = ()


@dataclass(frozen=True)
class Timing:
    """The trials of one call; `rejected` counts those that were taken again because the SM clock moved."""

    trials: tuple[Trial, ...]
    rejected: int = 0

    @cached_property
    def quantiles_us(self) -> tuple[float, float, float]:
        """p20, median and p80 of all samples."""
        p20, median, p80 = np.quantile([us for trial in self.trials for us in trial.times_us], (0.2, 0.5, 0.8))
        return float(p20), float(median), float(p80)

    @property
    def p20_us(self) -> float:
        """A fifth of the samples are shorter."""
        return self.quantiles_us[0]

    @property
    def median_us(self) -> float:
        """Half of the samples are shorter."""
        return self.quantiles_us[1]

    @property
    def p80_us(self) -> float:
        """A fifth of the samples are longer."""
        return self.quantiles_us[2]

    @property
    def readings(self) -> tuple[Reading, ...]:
        """All that the sensors said."""
        return tuple(reading for trial in self.trials for reading in trial.readings)

    @property
    def drift_ratio(self) -> float:
        """How far the SM clock moved over all trials."""
        return drift_ratio(self.readings)

    @property
    def steady(self) -> bool:
        """Whether the times count: the SM clock held still."""
        return self.drift_ratio <= MAX_DRIFT_RATIO


def measure(call: Call, device: str, samples: int = 50) -> Timing:
    """Time a call `samples` times after a warm-up, in one trial, no matter what the clocks do."""
    return measure_in_turns({"": call}, device, samples, trials=1)[""]


def measure_in_turns(
    calls: Mapping[str, Call], device: str, samples: int, trials: int, sensors: Sensors | None = None
) -> dict[str, Timing]:
    """Time every call `trials` x `samples` times: a trial of the first, of the second, ..., and again from the first.

    A trial in which, or since whose first, the SM clock moved by more than MAX_DRIFT_RATIO is taken again, ATTEMPTS
    times at most; the last one then stands, and the timing is not `steady`.
    """
    timings = {name: Timing(()) for name in calls}
    with as_timed(device):
        for _ in range(trials):
            for name, call in calls.items():
                timings[name] = _with_trial(timings[name], partial(take, call, device, samples, sensors))
    return timings


def _with_trial(timing: Timing, trial: Callable[[], Trial]) -> Timing:
    """The timing with one more trial, taken until the clock holds still."""
    longer = Timing((*timing.trials, trial()), timing.rejected)
    while not longer.steady and longer.rejected < timing.rejected + ATTEMPTS - 1:
        longer = Timing((*timing.trials, trial()), longer.rejected + 1)
    return longer


def take(call: Call, device: str, samples: int, sensors: Sensors | None = None) -> Trial:
    """One trial: warm up, read, time, read while the device works, read again."""
    if device != "cuda":
        for _ in range(WARM_UP_CALLS):
            call()
        return Trial(tuple(_cpu_times_us(call, samples)))
    _warm_up(call)
    before = _readings(sensors)
    pairs = _queued(call, samples)
    during = _readings(sensors)
    torch.cuda.synchronize()
    times_us = tuple(1e3 * began.elapsed_time(ended) for began, ended in pairs)
    return Trial(times_us, before + during + _readings(sensors))


def _readings(sensors: Sensors | None) -> tuple[Reading, ...]:
    return () if sensors is None else (sensors.read(),)


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


def _cpu_times_us(call: Call, samples: int) -> list[float]:
    began, calls = time.process_time(), 0
    while time.process_time() - began < CPU_SAMPLE_SECONDS:
        call()
        calls += 1
    return [_cpu_time_us(call, calls) for _ in range(samples)]


def _cpu_time_us(call: Call, calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        call()
    return max(1e6 * (time.process_time() - began), 1.0) / calls


def _warm_up(call: Call, clock: Clock = time.monotonic) -> None:
    began, calls = clock(), 0
    while calls < WARM_UP_CALLS or clock() - began < WARM_UP_SECONDS:
        call()
        torch.cuda.synchronize()
        calls += 1


def _queued(call: Call, samples: int) -> list[tuple[Any, Any]]:
    """Events before and after each call, a flushed L2 cache before each; all are queued, none is waited for."""
    flush = torch.empty(L2_FLUSH_BYTES, dtype=torch.int8, device="cuda")
    pairs = [(torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)) for _ in range(samples)]
    torch.cuda._sleep(HOLD_CYCLES)  # noqa: SLF001
    for before, after in pairs:
        flush.zero_()
        before.record()
        call()
        after.record()
    return pairs
