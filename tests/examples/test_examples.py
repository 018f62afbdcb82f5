"""Every example runs as a user would run it, and the README's picture is what its script draws of the golden run."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dsasim.sweep.space import DesignSpace
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
    space = DesignSpace(load_sweep_spec(EXAMPLES / f"sweep_{spec}.yaml"))
    assert [space.point(number).status for number in range(space.num_points)] == ["ready"] * points


def test_the_picture_is_of_the_golden_run(tmp_path: Path) -> None:
    golden = ROOT / "tests" / "golden" / "runs" / "dsa-decoupled_smollm2-l512.json"
    drawn = tmp_path / "run.svg"
    subprocess.run([sys.executable, EXAMPLES / "plot_run.py", golden, drawn], check=True)
    assert drawn.read_bytes() == (EXAMPLES / "default_run.svg").read_bytes()


def test_the_picture_of_training_is_of_the_committed_results(tmp_path: Path) -> None:
    drawn = tmp_path / "training.svg"
    subprocess.run([sys.executable, EXAMPLES / "plot_training.py", EXAMPLES / "train_dsa.jsonl", drawn], check=True)
    assert drawn.read_bytes() == (EXAMPLES / "train_dsa.svg").read_bytes()


def test_every_committed_training_result_has_its_three_seeds() -> None:
    lines = [json.loads(line) for line in (EXAMPLES / "train_dsa.jsonl").read_text(encoding="utf-8").splitlines()]
    seeds: dict[tuple, list[int]] = {}
    for line in lines:
        run = tuple(value for field, value in line.items() if field not in ("seed", "accuracy_ratio"))
        seeds.setdefault(run, []).append(line["seed"])
    assert {tuple(sorted(found)) for found in seeds.values()} == {(0, 1, 2)}


@pytest.mark.parametrize("name", ["array_split", "buffer_traffic", "token_parallelism"])
def test_the_figures_of_sweeps_are_drawn_from_their_results(name: str, tmp_path: Path) -> None:
    """From made-up rows: an SVG that holds a mark for each and a name for each line."""
    space = DesignSpace(load_sweep_spec(EXAMPLES / f"sweep_{name}.yaml"))
    rows = [
        {"point": number, "status": "ok", "axes": space.point(number).axes, "trace": {"name": "made-up"}}
        | {"area_mm2": {"total": 3.0}, "time_ns": 5e4, "counters": {"dram_read_bytes": 2e6, "k_vector_reads": 9e3}}
        for number in range(space.num_points)
    ]
    results, drawn = tmp_path / "results.jsonl", tmp_path / "f.svg"
    results.write_text("".join(json.dumps(row) + "\n" for row in rows))
    subprocess.run([sys.executable, EXAMPLES / "plot_sweep.py", results, name, drawn], check=True)
    assert drawn.read_text().count("<circle") == len(rows)
    shown = (EXAMPLES / f"sweep_{name}.svg").read_text()
    assert shown.count("<circle") == len(rows)
    for words in [line for line in drawn.read_text().split("\n") if 'stroke-width="3"' in line]:
        assert words in shown


def test_numbers_at_points_are_clear_of_marks_and_each_other() -> None:
    """Boxes by rule of thumb: a digit is 7 wide, and 8 high."""
    drawn = (EXAMPLES / "sweep_array_split.svg").read_text()
    marks = re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)" r="([\d.]+)"', drawn)
    boxes = [(float(x) - float(r), float(y) - float(r), float(x) + float(r), float(y) + float(r)) for x, y, r in marks]
    found = re.findall(r'<text x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)" font-size="11"[^>]*>(\d+)<', drawn)
    names = []
    for x, y, anchor, words in found:
        left = float(x) - (7 * len(words) if anchor == "end" else 0)
        names.append((left, float(y) - 8, left + 7 * len(words), float(y)))
    assert (len(boxes), len(names)) == (18, 15)
    for at, (left, top, right, bottom) in enumerate(names):
        for other in (*boxes, *names[at + 1 :]):
            assert right < other[0] or left > other[2] or bottom < other[1] or top > other[3], found[at]


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
