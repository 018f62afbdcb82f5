"""`dsasim run --gpu-profile` and what of `dsasim validate` times a device."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

SMALL = ("--layers", "13", "--heads", "0")


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """A device of 16 units that took 2 ms for 2 dense heads of 512 tokens."""
    row = {"kernel": "sdpa_flash", "L": 512, "num_heads": 2, "d_head": 64, "causal": False, "density": 1.0}
    made = {
        "profile_version": 1,
        "device": "NVIDIA H100 80GB HBM3",
        "dtype": "float16",
        "parallel_units": 16,
        "matmul_tflops": 1.0,
        "copy_gbps": 1000.0,
        "launch_us": 5.0,
        "versions": {},
        "clocks": {},
        "unavailable": {},
        "rows": [row | {"median_us": 2000.0, "p20_us": 1990.0, "p80_us": 2010.0}],
    }
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
    dsasim: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    from dsasim.validate.gpu import profile as profiles

    monkeypatch.setattr(profiles, "GRIDS", {"cpu": profiles.Grid((64, 128), (16,), (0.5,), 1, 2)})
    path = tmp_path / "cpu.json"
    ended = dsasim("validate", *SMALL, "--device", "cpu", "--profile", str(path))
    assert ended.status == 0, ended.err
    kernels = {row["kernel"] for row in json.loads(path.read_text())["rows"]}
    assert {"sdpa_math", "prediction"} <= kernels
    ended = dsasim("run", *SMALL, "--gpu-profile", str(path))
    assert ended.status == 0, ended.err
    assert " measured" in ended.out


def test_validate_shows_the_trend(dsasim: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it passes on a busy machine is not asked here; that it is measured, judged and printed is."""
    pytest.importorskip("torch")
    from dsasim.validate.gpu import trend

    monkeypatch.setattr(trend, "LENGTHS", {"cpu": (256,)})
    ended = dsasim("validate", *SMALL, "--device", "cpu", "--trend")
    assert ended.status in (0, 1)
    assert "accelerator" in ended.out
