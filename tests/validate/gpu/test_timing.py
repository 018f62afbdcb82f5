"""Clocks beside times, trials in turns, energy and idle power: with sensors, clocks and events that a test moves."""

import sys
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from dsasim.validate.gpu import timing as timings
from dsasim.validate.gpu.energy import ENERGY_SECONDS, energy_of, idle_power_mw
from dsasim.validate.gpu.hardware import driver_and_clocks
from dsasim.validate.gpu.sensors import Nvml, Reading, drift_ratio, open_sensors
from dsasim.validate.gpu.timing import ATTEMPTS, Timing, Trial, measure_in_turns


class FakeGpu:
    """A GPU whose SM clock follows a list, the last one for good, and whose board takes `watts` whatever it does."""

    def __init__(self, clocks_mhz=(1980,), watts=300.0, counts=True):
        self.clocks_mhz, self.watts, self.counts = list(clocks_mhz), watts, counts
        self.now = 0.0
        self.asked = 0

    def read(self):
        mhz = self.clocks_mhz[min(self.asked, len(self.clocks_mhz) - 1)]
        self.asked += 1
        return Reading(mhz, 2619, 45, round(1e3 * self.watts))

    def energy_mj(self):
        return 1e3 * self.watts * self.now if self.counts else 17.0

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.fixture
def cuda(monkeypatch):
    """CUDA without a GPU: a call takes 2 us a tick of the fake clock, events read it; `order` notes what ran."""
    state = SimpleNamespace(now_us=0.0, order=[])

    class Event:
        def __init__(self, enable_timing):
            assert enable_timing

        def record(self):
            self.at_us = state.now_us

        def elapsed_time(self, other):
            return (other.at_us - self.at_us) / 1e3

    def calls(**took_us):
        def make(name, us):
            def call():
                state.order.append(name)
                state.now_us += us

            return call

        return {name: make(name, us) for name, us in took_us.items()}

    def zero():
        state.order.append("flush")
        state.now_us += 90.0

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "_sleep", lambda cycles: state.order.append("hold"))
    monkeypatch.setattr(torch, "empty", lambda *_, **__: SimpleNamespace(zero_=zero))
    monkeypatch.setattr(timings, "WARM_UP_SECONDS", 0.0)
    state.calls = calls
    return state


def test_each_call_is_timed_alone_after_a_flush(cuda):
    """The flush's 90 us are not part of a call's 5."""
    timing = measure_in_turns(cuda.calls(a=5.0), "cuda", samples=4, trials=1)["a"]
    assert timing.trials[0].times_us == pytest.approx([5.0] * 4)
    assert cuda.order == ["a"] * timings.WARM_UP_CALLS + ["hold"] + ["flush", "a"] * 4


def test_calls_take_turns_trial_by_trial(cuda):
    measure_in_turns(cuda.calls(a=5.0, b=7.0), "cuda", samples=1, trials=3)
    calls = [name for name in cuda.order if name not in ("flush", "hold")]
    each = timings.WARM_UP_CALLS + 1
    assert calls == (["a"] * each + ["b"] * each) * 3


def test_quantiles_are_those_of_all_trials():
    """0 .. 10 in two trials: a fifth of the samples below 2, half below 5."""
    timing = Timing((Trial(tuple(map(float, range(6)))), Trial(tuple(map(float, range(6, 11))))))
    assert timing.quantiles_us == pytest.approx((2.0, 5.0, 8.0))


def test_drift_worked_example():
    assert drift_ratio(Reading(mhz, 0, 0, 0) for mhz in (1980, 1950, 1980)) == pytest.approx(30 / 1980)
    assert drift_ratio([]) == 0


@pytest.mark.parametrize(("low", "retaken"), [(1921, 0), (1920, 1)], ids=["2.98 %", "3.03 %"])
def test_a_trial_whose_clock_moved_by_more_than_3_percent_is_taken_again(low, retaken, cuda):
    gpu = FakeGpu([1980, low, 1980, 1980])
    timing = measure_in_turns(cuda.calls(a=5.0), "cuda", 2, 1, gpu)["a"]
    assert (timing.rejected, timing.steady, len(timing.trials)) == (retaken, True, 1)
    assert len(timing.readings) == 3  # before, during and after the trial that stands


def test_a_clock_that_never_holds_still_is_told_not_hidden(cuda):
    gpu = FakeGpu([1980, 1400] * 50)
    timing = measure_in_turns(cuda.calls(a=5.0), "cuda", 2, 1, gpu)["a"]
    assert (timing.steady, timing.rejected) == (False, ATTEMPTS - 1)


def test_a_clock_that_falls_between_two_trials_is_drift_too(cuda):
    """Each trial is steady in itself, but one was taken at 1980 and the other at 1755 MHz."""
    timing = measure_in_turns(cuda.calls(a=5.0), "cuda", 2, 2, FakeGpu([1980] * 3 + [1755] * 99))["a"]
    assert (timing.steady, timing.rejected) == (False, ATTEMPTS - 1)
    assert timing.drift_ratio == pytest.approx(225 / 1980)


def test_a_gpu_is_warmed_up_for_its_time_too(monkeypatch):
    """Calls of 1 ms and 25 ms of warm-up: 25 calls, not 3."""
    now, calls = [0.0], []

    def call():
        calls.append(1)
        now[0] += 1e-3

    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    timings._warm_up(call, lambda: now[0])
    assert len(calls) == pytest.approx(25, abs=1)


def test_idle_power_is_subtracted():
    """300 W while calls of 50 ms run, 100 W idle: 15 J a call, of them 10 J above idle; at least 5 s of them."""
    gpu = FakeGpu(watts=300.0)

    def call():
        gpu.now += 0.05

    energy = energy_of(call, gpu, 1e5, idle_mw=1e5, clock=gpu.clock, synchronize=lambda: None)
    assert energy.board_uj == pytest.approx(15e6)
    assert energy.above_idle_uj == pytest.approx(10e6)
    assert energy.basis == "counter"
    assert gpu.now >= ENERGY_SECONDS


def test_a_counter_that_does_not_move_gives_way_to_power():
    gpu = FakeGpu(watts=300.0, counts=False)

    def call():
        gpu.now += 0.05

    energy = energy_of(call, gpu, 5e4, idle_mw=1e5, clock=gpu.clock, synchronize=lambda: None)
    assert (energy.board_uj, energy.basis) == (pytest.approx(15e6), "power")
    assert energy.above_idle_uj == pytest.approx(10e6)


def test_idle_power_is_that_of_a_rest():
    """70 W by the counter; 70 W by the power reading where the counter stands still."""
    for counts in (True, False):
        gpu = FakeGpu(watts=70.0, counts=counts)
        assert idle_power_mw(gpu, gpu.clock, gpu.sleep) == pytest.approx(7e4)


class FakeNvml:
    """The calls of pynvml that are made, on one handle."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0

    class NVMLError(Exception):
        pass

    def nvmlDeviceGetClockInfo(self, handle, which):
        assert handle == "handle"
        return {1: 1980, 2: 2619}[which]

    def nvmlDeviceGetTemperature(self, handle, which):
        return 41

    def nvmlDeviceGetPowerUsage(self, handle):
        return 120_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return 5_000

    def nvmlSystemGetDriverVersion(self):
        return "580.65"


def test_what_nvml_says():
    sensors = Nvml(FakeNvml(), "handle")
    assert sensors.read() == Reading(1980, 2619, 41, 120_000)
    assert sensors.energy_mj() == 5000
    assert driver_and_clocks(sensors) == {
        "driver": "580.65",
        "sm_mhz": 1980,
        "memory_mhz": 2619,
        "temperature_c": 41,
        "power_mw": 120_000,
    }
    assert driver_and_clocks(None) == {}


def test_a_board_without_an_energy_counter_has_power_in_its_place():
    """vGPUs and boards before Volta answer Not Supported: the counter stands still, so power times time it is."""
    nvml, gpu = FakeNvml(), FakeGpu(watts=300.0)

    def not_supported(_):
        raise FakeNvml.NVMLError

    def call():
        gpu.now += 0.05

    nvml.nvmlDeviceGetTotalEnergyConsumption = not_supported
    sensors = Nvml(nvml, "handle")
    energy = energy_of(call, sensors, 5e4, idle_mw=2e4, clock=gpu.clock, synchronize=lambda: None)
    assert (energy.board_uj, energy.basis) == (pytest.approx(6e6), "power")  # 120 W, 50 ms


def test_no_gpu_no_sensors():
    assert open_sensors("cpu") is None


@pytest.mark.parametrize("fails", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_an_nvml_that_does_not_answer_is_no_sensors(fails, monkeypatch):
    nvml = FakeNvml()

    def refuse(*_):
        raise FakeNvml.NVMLError

    nvml.nvmlInit = lambda: None
    nvml.nvmlDeviceGetHandleByUUID = lambda uuid: "handle"
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(uuid="1-2"))
    assert open_sensors("cuda") is not None
    setattr(nvml, fails, refuse)
    assert open_sensors("cuda") is None
