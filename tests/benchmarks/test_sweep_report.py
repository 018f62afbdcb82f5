"""A report of 100,000 points: seconds of processor time and peak memory, on rows that vary one real row."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.sweep.proof import signed
from dsasim.sweep.store import RESULTS

POINTS = 100_000
MAX_SECONDS = 60
MAX_BYTES = 600 << 20

AXES = {
    "pe_array.lanes": list(range(1, 11)),
    "pe_array.macs_per_row": [4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048],
    "predictor.array_rows": list(range(8, 88, 8)),
    "mask_generator.num_selectors": list(range(1, 11)),
    "mask_generator.density": [at / 100 for at in range(1, 11)],
}

REPORT = """
import resource, sys, time
from dsasim.cli import main
sys.argv = ["dsasim", "report", *sys.argv[1:]]
try:
    main()
finally:
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(used.ru_utime + used.ru_stime, used.ru_maxrss * 1024)
"""


def real_row() -> dict[str, Any]:
    """A point of a sweep of one layer of MiniLM: its head, its objectives, and its result without sources."""
    result = simulate(
        load_arch("dsa-decoupled"), load_trace("minilm-l128"), [2], quality=True, baselines=False
    ).to_json()
    del result["cost_sources"], result["dram_sources"]
    head = {
        "point": 0,
        "status": "ok",
        "axes": {},
        "schema_version": 1,
        "dsasim_version": "0",
        "sweep_sha256": "0" * 64,
    }
    asked = {"strategy": "grid", "evaluation": 0, "senses": {"cycles": "min", "energy_pj": "min", "area_mm2": "min"}}
    return head | asked | {"trace": None, "reason": None, "objectives": {}} | json.loads(json.dumps(result))


def write_rows(path: Path, points: int) -> int:
    """`points` rows that differ in their axes and figures; returns the bytes written."""
    row = real_row()
    with path.open("wb") as file:
        for number in range(points):
            at, axes = number, {}
            for key, values in AXES.items():
                at, index = divmod(at, len(values))
                axes[key] = values[index]
            size = axes["pe_array.lanes"] * axes["pe_array.macs_per_row"]
            wobble = 1 + (number * 2654435761 % 1000) / 1e4
            row |= {"point": number, "evaluation": number, "axes": axes, "cycles": int(4e8 / size * wobble) + 1000}
            figures = {"energy_pj": row["energy_pj"] | {"total": 1e7 * wobble * (1 + size / 1e4)}}
            figures |= {"area_mm2": row["area_mm2"] | {"total": 0.5 + size / 3e3 * wobble}}
            objectives = {name: figures[name]["total"] for name in figures}
            file.write(signed(row | figures | {"objectives": {"cycles": row["cycles"]} | objectives}))
        return file.tell()


@pytest.mark.benchmark
def test_a_report_of_many_points_fits_a_laptop(tmp_path: Path, capsys: object) -> None:
    path = tmp_path / RESULTS
    size = write_rows(path, POINTS)
    began = time.monotonic()
    command = [sys.executable, "-c", REPORT, str(path), "--out", str(tmp_path / "r.html")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, peak = (float(word) for word in done.stdout.split())
    with capsys.disabled():  # type: ignore[attr-defined]
        print(
            f"\nload of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {POINTS:,} points, "
            f"{size / 1e6:.0f} MB of rows: {seconds:.1f} s of processor time, {time.monotonic() - began:.1f} by the "
            f"clock, {peak / (1 << 20):.0f} MB at most; a page of {(tmp_path / 'r.html').stat().st_size / 1e6:.1f} MB"
        )
    assert seconds <= MAX_SECONDS
    assert peak <= MAX_BYTES
