"""What `dsasim dram` prints: a replayed request trace, or a preset with the source of each value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from dsasim.report.style import new_grid, new_table, percent, time_text

if TYPE_CHECKING:
    from dsasim.model.dram_memory import MemoryUse
    from dsasim.model.dram_preset import DramPreset
    from dsasim.model.dram_replay import ReplayResult

BAR_COLUMNS = 40
SOURCE_KINDS = {"table": "", "computed": "computed: ", "assumed": "assumed: "}


def print_replay(result: ReplayResult, name: str, preset: DramPreset, use: MemoryUse, console: Console) -> None:
    """Print `result` on `console`, at most 100 columns wide."""
    peak_gbps = use.channels * _channel_gbps(preset)
    ranks = f" of {use.ranks} ranks" if use.ranks > 1 else ""
    refresh = "refresh" if use.refresh else "no refresh"
    console.print(
        f"{result.requests:,} requests on {use.channels} x {name}{ranks}, {use.mapping}, {use.page} page, {refresh}",
        style="bold",
    )
    console.print(
        f"{time_text(result.time_ns)} ({result.cycles_drained:,} {_ticks(preset)}), {result.bandwidth_gbps:.4g} GB/s, "
        f"{percent(result.bandwidth_gbps / peak_gbps)} of the peak of {peak_gbps:.4g} GB/s"
    )
    if result.wrapped_requests:
        capacity_mib = preset.channel_bytes * use.channels * use.ranks >> 20
        past = f"{result.wrapped_requests:,} requests lie past the {capacity_mib:,} MiB and begin again at 0"
        console.print(past, style="yellow")
    console.print(_requests(result))
    console.print(_commands(result))
    if result.latency_histogram:
        mean = result.avg_read_latency_cycles
        mean_time = time_text(mean * float(preset.tick_ps) / 1000)
        console.print(f"read latency, {mean:,.1f} {_ticks(preset)} ({mean_time}) on average", style="bold")
        console.print(_latencies(result, _ticks(preset)))


def _requests(result: ReplayResult) -> Table:
    table = new_table("requests", "count", "share")
    rows = {
        "reads": result.reads,
        "writes": result.requests - result.reads,
        "row hits": result.row_hits,
        "row misses (bank closed)": result.row_misses,
        "row conflicts (other row open)": result.row_conflicts,
        "reads forwarded from the write queue": result.commands["forwarded_reads"],
        "writes merged into the write queue": result.commands["merged_writes"],
    }
    for label, count in rows.items():
        table.add_row(label, f"{count:,}", percent(count / result.requests))
    return table


def _commands(result: ReplayResult) -> Table:
    """Commands and open rows of each channel, then of all."""
    names = ("act", "pre", "rd", "wr", "ref")
    table = new_table("commands", *map(str.upper, names), "a row open")
    rows = {f"channel {at}": channel for at, channel in enumerate(result.channels)} if len(result.channels) > 1 else {}
    total = {name: sum(channel[name] for channel in result.channels) for name in result.channels[0]}
    for label, channel in {**rows, "all": total}.items():
        active, idle = channel["active_cycles"], channel["idle_cycles"]
        open_share = percent(active / (active + idle)) if active + idle else "-"
        table.add_row(label, *(f"{channel[name]:,}" for name in names), open_share)
    return table


def _latencies(result: ReplayResult, unit: str) -> Table:
    most = max(reads for _, reads in result.latency_histogram)
    table = new_table(unit, "reads", "")
    table.columns[-1].justify = "left"
    for first, reads in result.latency_histogram:
        bar = "█" * max(1, round(BAR_COLUMNS * reads / most))
        table.add_row(f"{first:,} to {2 * first - 1:,}", f"{reads:,}", bar)
    return table


def print_preset(name: str, preset: DramPreset, console: Console) -> None:
    """Print every value of a preset beside the number of its source, and the sources, at most 100 columns wide."""
    console.print(f"{name}: {preset.standard}, a channel of {preset.channel}", style="bold")
    console.print(
        f"a channel holds {preset.channel_bytes >> 20:,} MiB a rank and moves at most {_channel_gbps(preset):.4g} GB/s "
        f"in bursts of {preset.access_bytes} bytes;"
    )
    console.print(f"n... are clock cycles of {preset.tck_ps} ps")
    table = new_table("value", "", "ns", "source")
    for number, group in enumerate(preset.sources, start=1):
        for key, value in group.values.items():
            cycles = preset.timing_cycles.get(key)
            in_ns = "" if cycles is None else f"{cycles * preset.tck_ps / 1000:,.2f}"
            table.add_row(key, _words(value), in_ns, f"[{number}]")
    console.print(table)
    sources = new_grid(gap=1)
    for number, group in enumerate(preset.sources, start=1):
        sources.add_row(f"[{number}]", SOURCE_KINDS[group.source.kind] + group.source.text)
    console.print(sources)


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {ticks}" for key, ticks in value.items())
    return f"{value:,}" if isinstance(value, int) else str(value)


def _ticks(preset: DramPreset) -> str:
    """What the controller counts."""
    return "cycles" if preset.ticks_per_cycle == 1 else "half cycles"


def _channel_gbps(preset: DramPreset) -> float:
    return float(preset.bytes_per_tick / preset.tick_ps * 1000)
