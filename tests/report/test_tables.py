"""Numbers of printed tables by hand: overlaps, sizes of a trace, and a replayed request trace."""

import io
import re
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from dsasim.api import load_trace
from dsasim.baseline.gpu import GpuBaseline
from dsasim.config.loader import load_arch
from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import find_preset
from dsasim.model.dram_replay import replay_trace
from dsasim.quality.overlap import HeadOverlap, LayerOverlap
from dsasim.report.dram import print_replay
from dsasim.report.listing import print_trace_info
from dsasim.report.overlap import Comparison, overlap_json, print_overlap
from dsasim.report.style import new_console
from dsasim.report.text import _gpu_table
from dsasim.trace.info import trace_info
from dsasim.trace.requests import Requests
from dsasim.trace.store import open_trace
from dsasim.trace.synthetic import Synthetic, write_synthetic


def rows_of(text: str) -> dict[str, list[str]]:
    """The cells of each row by its first one; cells stand at least two spaces apart."""
    split = (re.split(r" {2,}", line.strip()) for line in text.splitlines())
    return {label: cells for label, *cells in split}


@pytest.fixture
def comparison() -> Comparison:
    """A layer of three heads and one of one head."""
    trace = load_trace("minilm-l128")
    heads = [(0.2, 0.05, 0.1, 0.3), (0.5, 0.06, 0.2, 0.4), (0.8, 0.07, 0.3, 0.5)]
    first = LayerOverlap(2, tuple(HeadOverlap(at, *figures) for at, figures in enumerate(heads)))
    return Comparison(
        trace, trace, load_arch("dsa-decoupled"), (first, LayerOverlap(4, (HeadOverlap(0, 1, 0.1, 1, 0),)))
    )


def test_the_overlap_of_a_layer_and_of_all_heads(comparison: Comparison) -> None:
    out = io.StringIO()
    print_overlap(comparison, new_console(out))
    rows = rows_of(out.getvalue())
    assert rows["2"] == ["3", "0.500", "0.200", "0.800", "0.060", "20.0 %", "40.0 %"]
    assert rows["4"] == ["1", "1.000", "1.000", "1.000", "0.100", "100.0 %", "0.0 %"]
    assert rows["all"] == ["4", "0.625", "0.200", "1.000", "0.070", "40.0 %", "30.0 %"]


def test_overlaps_as_json_are_the_means_of_all_heads(comparison: Comparison) -> None:
    found = overlap_json(comparison)
    names = ("iou_ratio", "chance_iou_ratio", "density_a", "density_b")
    assert [found[name] for name in names] == pytest.approx([0.625, 0.07, 0.4, 0.3])


@pytest.mark.parametrize("channels", [1, 4])
def test_the_peak_is_that_of_all_channels_and_open_rows_are_over_all_time(channels: int) -> None:
    """DDR4-2400 moves 64 B in 4 cycles of 0.833 ns a channel: 19.2 GB/s."""
    preset = find_preset("DDR4_2400")
    use = MemoryUse("row-bank-bankgroup-rank-column", channels, 1, False, "open")
    count = 64
    reads = Requests(np.arange(count), np.zeros(count, np.uint8), np.zeros(count, np.int64), share_read=1.0)
    result = replay_trace(preset, use, iter([reads]), channels)
    out = io.StringIO()
    print_replay(result, "DDR4_2400", preset, use, new_console(out))
    peak_gbps = channels * 64 / (4 * 0.833)
    share = re.search(r"([\d.]+) % of the peak of ([\d.]+) GB/s", out.getvalue())
    assert share is not None
    assert float(share[2]) == pytest.approx(peak_gbps, rel=1e-3)
    assert float(share[1]) == pytest.approx(100 * count * 64 / result.time_ns / peak_gbps, abs=0.06)
    for at, channel in enumerate(result.channels):
        label = "all" if channels == 1 else f"channel {at}"
        active = channel["active_cycles"] / (channel["active_cycles"] + channel["idle_cycles"])
        assert rows_of(out.getvalue())[label][-1] == f"{100 * active:.1f} %"


def test_sizes_of_a_trace_stand_under_their_names(tmp_path: Path) -> None:
    """4 heads over 2 kv heads, 8 of 16 positions ask; d_model is heads x d_head."""
    path = tmp_path / "t.safetensors"
    write_synthetic(path, Synthetic("window", Decimal("0.25"), 8, 16, num_heads=4, num_kv_heads=2, d_head=32))
    out = io.StringIO()
    print_trace_info(trace_info(open_trace(path)), new_console(out))
    lines = [line.split() for line in out.getvalue().splitlines()]
    assert ["layer", "heads", "kv", "heads", "L_q", "L_k", "d_head", "d_model", "attention", "sigma", "fitted"] in lines
    assert ["0", "4", "2", "8", "16", "32", "128", "cross", "none"] in lines


def test_each_ratio_of_a_gpu_stands_under_its_own_name() -> None:
    """A GPU of 2 ms, half of it launches: 3 times ours as it is, 50 times for its peak, 7 for its bandwidth."""
    entry = GpuBaseline("H100", "fused", "roofline", False, True, 2e6, 1e6, 3.0, 50.0, 7.0, "here")
    out = io.StringIO()
    new_console(out).print(_gpu_table([asdict(entry)]))
    rows = rows_of(out.getvalue())
    assert dict(zip(rows["GPU"], rows["H100"], strict=True)) == {
        "kernel": "fused",
        "time": "2 ms",
        "launches": "50.0 %",
        "speed-up": "3.00x",
        "for its peak": "50.0x",
        "for its GB/s": "7.00x",
        "from": "roofline",
    }
