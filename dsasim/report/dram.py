"""The printed result of a replayed request trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from dsasim.report.style import new_table, percent, time_text

if TYPE_CHECKING:
    from dsasim.model.dram_memory import MemoryUse
    from dsasim.model.dram_preset import DramPreset
    from dsasim.model.dram_replay import ReplayResult

BAR_COLUMNS = 40


def print_replay(result: ReplayResult, name: str, preset: DramPreset, use: MemoryUse, console: Console) -> None:
    """Print `result` on `console`, at most 100 columns wide."""
    peak_gbps = float(preset.bytes_per_tick * use.channels / preset.tick_ps * 1000)
    console.print(f"{result.requests:,} requests on {use.channels} x {name}, {use.mapping}", style="bold")
    console.print(
        f"{time_text(result.time_ns)} ({result.cycles_drained:,} cycles), {result.bandwidth_gbps:.4g} GB/s, "
        f"{percent(result.bandwidth_gbps / peak_gbps)} of the peak of {peak_gbps:.4g} GB/s\n"
    )
    table = new_table("", "count", "a request")
    rows = {
        "reads": result.reads,
        "writes": result.requests - result.reads,
        "row hits": result.row_hits,
        "row misses (bank closed)": result.row_misses,
        "row conflicts (other row open)": result.row_conflicts,
        **{f"commands {name.upper().replace('_', ' ')}": count for name, count in result.commands.items()},
    }
    for label, count in rows.items():
        table.add_row(label, f"{count:,}", f"{count / result.requests:.3f}" if result.requests else "-")
    console.print(table)
    if not result.latency_histogram:
        return
    console.print(f"read latency, {result.avg_read_latency_cycles:,.1f} cycles on average", style="bold")
    most = max(reads for _, reads in result.latency_histogram)
    latencies = new_table("cycles", "reads", "")
    latencies.columns[-1].justify = "left"
    for first, reads in result.latency_histogram:
        bar = "█" * max(1, round(BAR_COLUMNS * reads / most))
        latencies.add_row(f"{first:,} to {2 * first - 1:,}", f"{reads:,}", bar)
    console.print(latencies)
