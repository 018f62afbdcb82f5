"""Profiles: what a grid asks for, rows that grow over several calls, and what is not recorded."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from dsasim.baseline.gpu_profile import measured_gpu
from dsasim.errors import ConfigError
from dsasim.validate.gpu import profile as profiles
from dsasim.validate.gpu.case import Case
from dsasim.validate.gpu.energy import Energy
from dsasim.validate.gpu.kernels import DENSE, Kernel, UnavailableError, prediction_roofline_us
from dsasim.validate.gpu.profile import Grid, measure_profile, resumed
from dsasim.validate.gpu.samples import TimeSample, samples_csv, samples_of
from dsasim.validate.gpu.sensors import Reading
from dsasim.validate.gpu.timing import Timing, Trial

GRID = Grid((64, 128), (16,), (0.5,), 2, 1, 2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No ceilings are measured, times are 10 us a token, and there is no compiler."""
    monkeypatch.setattr(profiles.hardware, "matmul_tflops", lambda *_: 1.0)
    monkeypatch.setattr(profiles.hardware, "copy_gbps", lambda *_: 100.0)
    monkeypatch.setattr(profiles.hardware, "launch_us", lambda *_: 5.0)
    monkeypatch.setattr(profiles, "measure_in_turns", lambda calls, *_: {name: timing() for name in calls})


def timing(*clocks_mhz):
    readings = tuple(Reading(mhz, 2619, 45, 300_000) for mhz in clocks_mhz)
    return Timing((Trial((9.0, 10.0), readings), Trial((10.0, 12.0))), 1)


def keys(measured):
    return [(row.kernel, row.L, row.causal) for row in measured.profile.rows]


def test_every_kernel_that_runs_has_rows_causal_and_not_the_longest_first():
    measured = measure_profile("cpu", grid=GRID)
    dense = [name for name in ("sdpa_flash", "sdpa_math") if ("sdpa_flash", 64, True) in keys(measured)]
    assert dense, "this PyTorch has no FlashAttention on CPUs"
    here = (*dense, "prediction")
    assert keys(measured) == [(name, L, causal) for L in (128, 64) for causal in (False, True) for name in here]
    assert set(measured.profile.unavailable) == {
        "sdpa_efficient",
        "sdpa_cudnn",
        "flex_blocks",
        "vectors_1x4",
        "vectors_1x8",
    }
    assert measured.missing == 0
    row = measured.profile.rows[0]
    assert (row.samples, row.trials, row.rejected, row.median_us) == (2, 2, 1, 10.0)


def test_a_profile_is_gone_on_with_and_nothing_is_measured_twice():
    """A clock of 100 s a look: a shape takes 100 s, so in 7 minutes two shapes fit, and a third would not."""
    whole = measure_profile("cpu", grid=GRID)
    known, calls, saved = None, 0, []
    while known is None or len(known.rows) < len(whole.profile.rows):
        now = iter(range(0, 100_000, 100))
        measured = measure_profile(
            "cpu", grid=GRID, known=known, minutes=7, save=saved.append, clock=lambda now=now: float(next(now))
        )
        known, calls = measured.profile, calls + 1
        assert measured.missing == len(whole.profile.rows) - len(known.rows)
    assert calls == 2
    assert [len(grown.rows) for grown in saved] == [3, 6, 9, 12]
    assert keys(measured) == keys(whole)


def test_a_call_always_gets_somewhere():
    """However little time there is, one shape is measured."""
    assert len(measure_profile("cpu", grid=GRID, minutes=0.0).profile.rows) == 3


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"device": "another"}, "device"),
        ({"versions": {"torch": "1.0"}}, "versions"),
        ({"clocks": {"driver": "1"}}, "driver"),
        ({"dtype": "float16"}, "dtype"),
    ],
)
def test_a_profile_of_another_machine_is_not_gone_on_with(change, word):
    known, here = profiles.empty_profile("cpu", None), profiles.identity("cpu", None)
    assert resumed(known, here) is known
    with pytest.raises(ConfigError, match=f"of another {word}: "):
        resumed(known.model_copy(update=change), here)


def test_a_row_whose_clock_moved_is_rejected_and_said(monkeypatch):
    monkeypatch.setattr(profiles, "measure_in_turns", lambda calls, *_: {name: timing(1980, 1700) for name in calls})
    measured = measure_profile("cpu", grid=Grid((64,), (16,), (0.5,), 2, 1))
    assert measured.profile.rows == ()
    assert measured.profile.unavailable["sdpa_math L 64 d_head 16 causal density 1"] == (
        "rejected: the SM clock moved by 14.1%"
    )
    assert measured.missing == 6  # and tried again by the next call
    assert {sample.sm_mhz_low for sample in measured.samples} == {1700, None}


def test_energy_is_measured_where_the_grid_says(monkeypatch):
    """5 s a row: dense rows and those of one density, at some lengths, not causal."""
    sensors = SimpleNamespace(read=lambda: Reading(1980, 2619, 45, 1), driver=lambda: "1")
    monkeypatch.setattr(profiles, "open_sensors", lambda _: sensors)
    monkeypatch.setattr(profiles, "idle_power_mw", lambda _: 70_000.0)
    monkeypatch.setattr(profiles, "energy_of", lambda call, *_: Energy(15.0, 10.0, "counter"))
    grid = Grid((64, 128), (16,), (0.5, 0.25), 2, 1, 1, (128,), 0.25)
    rows = measure_profile("cpu", grid=grid).profile.rows
    having = {(row.kernel, row.L, row.causal, row.asked_density) for row in rows if row.energy_uj is not None}
    dense = {(name, 128, False, 1.0) for name in DENSE if any(row.kernel == name for row in rows)}
    assert having == dense | {("prediction", 128, False, 0.25)}
    assert {row.energy_above_idle_uj for row in rows if row.energy_uj} == {10.0}


def test_a_row_is_of_what_its_kernel_computes_and_its_energy_is_told_apart():
    """Of 3 blocks a row a tenth is one: a third of the positions, where other kernels compute what was asked."""
    case = Case(384, 2, 16, 0.1, "cpu", torch.float32)
    energy = Energy(board_uj=15.0, above_idle_uj=10.0, basis="power")
    blocks, keys = (profiles.measured_row(name, case, timing(), energy) for name in ("flex_blocks", "vectors_1x4"))
    assert (blocks.density, blocks.asked_density) == (pytest.approx(1 / 3), 0.1)
    assert (keys.density, keys.asked_density) == (0.1, 0.1)
    assert (keys.energy_uj, keys.energy_above_idle_uj, keys.energy_basis) == (15.0, 10.0, "power")
    assert (keys.L, keys.num_heads, keys.d_head, keys.causal) == (384, 2, 16, False)
    without = profiles.measured_row("vectors_1x4", case, timing())
    assert (without.energy_uj, without.energy_above_idle_uj, without.energy_basis) == (None, None, None)


def test_clocks_of_a_row_are_medians_of_what_the_sensors_said():
    row = profiles.measured_row("sdpa_math", Case(64, 2, 16, 1.0, "cpu", torch.float32), timing(1980, 1950, 1965))
    assert (row.sm_mhz, row.memory_mhz, row.temperature_c, row.power_mw) == (1965, 2619, 45, 300_000)
    assert row.drift_ratio == pytest.approx(30 / 1980)


def test_a_profile_that_lacks_shapes_gets_those_and_no_others():
    """Other lengths, head sizes and densities; dense kernels do not depend on the density."""
    known = measure_profile("cpu", grid=GRID).profile
    per_shape = len(known.rows) // 4
    for grid, new in (
        (Grid((64, 128), (16, 32), (0.5,), 2, 1, 2), 4 * per_shape),
        (Grid((64, 256), (16,), (0.5,), 2, 1, 2), 2 * per_shape),
        (Grid((64,), (16,), (0.5, 0.25), 2, 1, 2), 2),  # the prediction, causal or not
        (Grid((64,), (16,), (0.5,), 2, 1, 2), 0),
    ):
        grown = measure_profile("cpu", grid=grid, known=known)
        assert len(grown.profile.rows) - len(known.rows) == new
        assert grown.profile.rows[: len(known.rows)] == known.rows


def test_samples_are_numbered_within_their_trials():
    case = Case(64, 2, 16, 0.5, "cpu", torch.float32)
    readings = (Reading(1980, 2619, 45, 1), Reading(1950, 2619, 45, 1))
    found = samples_of("sdpa_math", case, Timing((Trial((1.0, 2.0, 3.0)), Trial((4.0, 5.0), readings))))
    assert [(each.trial, each.sample, each.us) for each in found] == [
        *((0, 0, 1.0), (0, 1, 2.0), (0, 2, 3.0)),
        *((1, 0, 4.0), (1, 1, 5.0)),
    ]
    assert [(each.sm_mhz_low, each.sm_mhz_high) for each in found] == [(None, None)] * 3 + [(1950, 1980)] * 2
    assert samples_csv(found).splitlines()[3:5] == [
        "sdpa_math,64,2,16,False,0.5,0,2,3.0,,",
        "sdpa_math,64,2,16,False,0.5,1,0,4.0,1950,1980",
    ]


def test_a_kernel_that_computes_something_else_is_not_timed():
    case = Case(64, 2, 16, 1.0, "cpu", torch.float32)
    sound = DENSE["sdpa_math"]
    sound.checked(case)
    wrong = Kernel(lambda case: lambda: 1.01 * sound.build(case)(), sound.kept)
    with pytest.raises(UnavailableError, match=r"wrong: rel\. L2 0\.01 of head 0, gate 1e-05"):
        wrong.checked(case)
    blind = Kernel(lambda case: lambda: torch.full((2, 64, 16), torch.nan), sound.kept)
    with pytest.raises(UnavailableError, match=r"wrong: rel\. L2 nan"):
        blind.checked(case)


def test_a_device_out_of_memory_leaves_the_kernel_out():
    def full(case):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB\nand more")

    with pytest.raises(UnavailableError, match=r"out of memory\. Tried to allocate 2 GiB$"):
        Kernel(full, None).checked(Case(64, 2, 16, 1.0, "cpu", torch.float32))


def test_causal_blocks_lie_on_and_below_the_diagonal():
    """4 block rows of 128 see 1, 2, 3 and 4 blocks; half of them rounded up are 1, 1, 2, 2.

    4 diagonal blocks of 8256 positions and 2 of 16384 of 131328: 0.501 of the positions seen.
    """
    case = Case(512, 2, 16, 0.5, "cpu", torch.float32, causal=True)
    assert case.blocks.sum(2).tolist() == [[1, 1, 2, 2]] * 2
    assert not case.blocks.triu(1).any()
    assert case.block_density == pytest.approx((4 * 8256 + 2 * 16384) / 131328)


def test_prediction_roofline_worked_example():
    gpu = measured_gpu(profiles.empty_profile("cpu", None).model_copy(update={"dtype": "float16"}))
    gpu = gpu.__class__(**{**gpu.__dict__, "memory_gbps": gpu.memory_gbps.__class__(1000.0, "here", "B")})
    assert prediction_roofline_us(gpu, 1024, 2, 64) == pytest.approx(104.7, abs=0.05)


def test_a_csv_has_one_line_a_time():
    text = samples_csv([TimeSample("sdpa_math", 64, 2, 16, False, 1.0, 0, 1, 2.5, None, None)])
    header, line = text.splitlines()
    assert header.split(",")[-5:] == ["trial", "sample", "us", "sm_mhz_low", "sm_mhz_high"]
    assert line == "sdpa_math,64,2,16,False,1.0,0,1,2.5,,"
    measured = measure_profile("cpu", grid=Grid((64,), (16,), (0.5,), 2, 1))
    assert len(measured.samples) == 4 * len(measured.profile.rows)
