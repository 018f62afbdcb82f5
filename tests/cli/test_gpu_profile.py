"""`dsasim run --gpu-profile` and what of `dsasim validate` times a device."""

import json
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest
from gpu_profiles import dense_row, profile_of

SMALL = ("--layers", "13", "--heads", "0")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ceilings are measured, samples are short, and only the trend compiles FlexAttention."""
    pytest.importorskip("torch")
    for name in ("matmul_tflops", "copy_gbps", "launch_us"):
        monkeypatch.setattr(f"dsasim.validate.gpu.hardware.{name}", lambda *_: 5.0)
    monkeypatch.setattr("dsasim.validate.gpu.timing.CPU_SAMPLE_SECONDS", 0.01)
    monkeypatch.setattr("dsasim.validate.sparse_output.no_compiler", lambda _: "not compiled")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A device of 16 units that took 2 ms for 2 dense heads of 512 tokens."""
    made = profile_of(dense_row())
    path = tmp_path / "gpu.json"
    path.write_text(json.dumps(made))
    return path


def test_a_measured_gpu_takes_its_roofline_s_place(dsasim: Callable, tmp_path: Path, profile: Path) -> None:
    """A kernel that was not measured is left out: nothing of the roofline stands under the measured name."""
    out = tmp_path / "run.json"
    ended = dsasim("run", *SMALL, "--gpu-profile", str(profile), "--json", str(out))
    assert ended.status == 0, ended.err
    entries = {(entry["gpu"], entry["kernel"]): entry for entry in json.loads(out.read_text())["baseline"]["gpu"]}
    assert entries["H100", "fused"]["basis"] == "measured"
    assert entries["H200", "fused"]["basis"] == "roofline"
    assert ("H100", "unfused") not in entries
    assert " measured" in ended.out


def test_a_bad_profile_is_one_message(dsasim: Callable, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{}")
    ended = dsasim("run", *SMALL, "--gpu-profile", str(bad), "--json", str(tmp_path / "run.json"))
    assert ended.status == 2
    assert "not a GPU profile" in ended.err
    assert not (tmp_path / "run.json").exists()


def test_validate_writes_a_profile_that_run_takes(
    dsasim: Callable, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsasim.validate.gpu import profile as profiles

    monkeypatch.setattr(profiles, "GRIDS", {"cpu": profiles.Grid((64, 128), (16,), (0.5,), 1, 2, 1)})
    monkeypatch.setattr("shutil.which", lambda name, *rest: None if name == "g++" else which(name, *rest))
    path, times = tmp_path / "cpu.json", tmp_path / "times.csv"
    profiled = ("validate", *SMALL, "--device", "cpu", "--profile", str(path), "--csv", str(times))
    ended = dsasim(*profiled, "--minutes", "0")
    assert ended.status == 0, ended.err
    assert "lacks" in ended.err
    assert "run the command again" in ended.err
    some = json.loads(path.read_text())["rows"]
    ended = dsasim(*profiled)
    assert ended.status == 0, ended.err
    assert "lacks" not in ended.err
    assert json.loads(path.read_text())["rows"][: len(some)] == some
    assert times.read_text().count("\n") == 1 + 2 * (len(json.loads(path.read_text())["rows"]) - len(some))
    kernels = {row["kernel"] for row in json.loads(path.read_text())["rows"]}
    assert {"sdpa_math", "prediction"} <= kernels
    ended = dsasim("run", *SMALL, "--gpu-profile", str(path))
    assert ended.status == 0, ended.err
    assert " extrapolated" in ended.out  # 512 tokens from 128


def test_validate_shows_the_trend(
    dsasim: Callable, tmp_path: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it passes on a busy machine is not asked here; that it is measured, judged and printed is."""
    pytest.importorskip("torch")
    from dsasim.validate.gpu import trend

    monkeypatch.setattr(trend, "LENGTHS", {"cpu": (256,)})
    monkeypatch.setattr(trend, "SAMPLES", {"cpu": 1})
    times, figures = tmp_path / "times.csv", tmp_path / "r.json"
    ended = dsasim("validate", *SMALL, "--device", "cpu", "--trend", "--csv", str(times), "--json", str(figures))
    assert ended.status in (0, 1)
    assert "what the times say (synthetic: random operands, random blocks)" in ended.out
    assert "prediction included (real)" in ended.out
    checks = {check["name"]: check for check in json.loads(figures.read_text())["checks"]}
    assert {"break_even_same_macs", "break_even_equal_area"} == set(checks["break_even"]["figures"])
    header, *samples = times.read_text().splitlines()
    assert header.startswith("kernel,L,")
    timed = next(table for table in checks["trend"]["tables"] if table["title"] == "times")["rows"]
    assert len(samples) == sum(row["samples"] for row in timed) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--csv", "t.csv"), "--csv writes the times of --trend and --profile; neither was asked for"),
        (("--minutes", "5"), "--minutes is for --profile"),
        (("--trend", "--csv", "-"), "--csv -: it is written to a file"),
        (("--profile", "-"), "--profile -: it is written to a file"),
    ],
)
def test_what_is_asked_for_must_make_sense(arguments: tuple, message: str, dsasim: Callable) -> None:
    ended = dsasim("validate", *SMALL, *arguments)
    assert (ended.status, message in ended.err) == (2, True)


def test_a_profile_of_another_device_is_not_overwritten(
    dsasim: Callable, profile: Path, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = profile.read_text()
    with monkeypatch.context() as patched:
        patched.setattr("dsasim.validate.run.validate", lambda *_: pytest.fail("minutes of checks before the answer"))
        ended = dsasim("validate", *SMALL, "--device", "cpu", "--profile", str(profile))
    assert (ended.status, profile.read_text()) == (2, before)
    assert "the profile there is of another device: NVIDIA H100 80GB HBM3, here " in ended.err
