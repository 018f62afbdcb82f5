"""Every example runs as a user would run it, and the README's picture is what its script draws of the golden run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def test_the_picture_is_of_the_golden_run(tmp_path: Path) -> None:
    golden = ROOT / "tests" / "golden" / "runs" / "dsa-decoupled_smollm2-l512.json"
    drawn = tmp_path / "run.svg"
    subprocess.run([sys.executable, EXAMPLES / "plot_run.py", golden, drawn], check=True)
    assert drawn.read_bytes() == (EXAMPLES / "default_run.svg").read_bytes()
