"""A million events of a timeline, gzipped: at most 5 s of CPU (issue 6, item 7)."""

import time
from pathlib import Path

import pytest

from dsasim.machine.job import Job, Place
from dsasim.machine.waits import Wait
from dsasim.report.files import open_output
from dsasim.sim.timeline import Timeline

EVENTS = 1_000_000


@pytest.mark.benchmark
def test_a_million_events(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    begun = time.process_time()
    with open_output(str(path), "--timeline") as out, Timeline(out) as timeline:
        for at in range(EVENTS // 4):
            start = 1000 * at
            job = Job("pe_array", "SDDMM", Place(at >> 12, heads=(at >> 6 & 63,), tile=at & 63), 900)
            timeline.idle("lane_0", [Wait("operand", start, start + 7), Wait("dram", start + 7, start + 100)])
            timeline.job("lane_0", job, start + 100, 700 + at % 13, 200 - at % 13, 0)
    seconds = time.process_time() - begun
    print(f"\n{EVENTS:,} events in {seconds:.2f} s of CPU, {path.stat().st_size / 1e6:.1f} MB")
    assert seconds <= 5
