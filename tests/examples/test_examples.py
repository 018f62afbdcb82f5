"""Every example runs as a user would run it, and the README's picture is what its script draws of the golden run."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsasim.sweep.space import Space
from dsasim.sweep.spec import load_sweep_spec

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("run_from_python.py", "of the softmax mass is kept"),
        ("compare_designs.py", "dense-16x16"),
        ("density_sweep.py", "0.02"),
        ("own_mask.py", "kept positions are served by"),
    ],
)
def test_runs_and_prints(script: str, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / script],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert said in done.stdout


@pytest.mark.parametrize(("spec", "points"), [("array_split", 18), ("buffer_traffic", 24), ("token_parallelism", 8)])
def test_every_point_of_the_example_sweeps_can_be_built(spec: str, points: int) -> None:
    space = Space(load_sweep_spec(EXAMPLES / f"sweep_{spec}.yaml"))
    assert [space.point(number).status for number in range(space.num_points)] == ["ready"] * points


def test_the_picture_is_of_the_golden_run(tmp_path: Path) -> None:
    golden = ROOT / "tests" / "golden" / "runs" / "dsa-decoupled_smollm2-l512.json"
    drawn = tmp_path / "run.svg"
    subprocess.run([sys.executable, EXAMPLES / "plot_run.py", golden, drawn], check=True)
    assert drawn.read_bytes() == (EXAMPLES / "default_run.svg").read_bytes()


needs_amaranth = pytest.mark.skipif(importlib.util.find_spec("amaranth") is None, reason="amaranth is not installed")


@needs_amaranth
def test_verilog_of_the_hardware_is_written_and_missing_yosys_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "synthesise.py", tmp_path],
        env=os.environ | {"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "no yosys here; the cells need it: apt install yosys\n")
    for name in ("scheduler", "mask_generator", "pe_lane"):
        assert f"module {name}(" in (tmp_path / f"{name}.v").read_text(encoding="utf-8")


@needs_amaranth
@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
def test_the_hardware_synthesises(tmp_path: Path) -> None:
    """ID queues of 2 x 3 x 8 entries of 8 bits are 384 of the scheduler's flip-flops."""
    done = subprocess.run(
        [sys.executable, EXAMPLES / "synthesise.py", tmp_path], capture_output=True, text=True, check=True
    )
    rows = dict(line.split(maxsplit=1) for line in done.stdout.splitlines()[2:])
    cells, flip_flops, sram_blocks = rows["scheduler"].replace(",", "").split()
    assert int(cells) > int(flip_flops) > 384
    assert int(sram_blocks) == 2
    assert len(rows) == 7
