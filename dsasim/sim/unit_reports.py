"""From the units' statistics to reports: one a unit, and sums over lanes and DMA engines."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_commands as controller
from dsasim.machine.dma import DmaEngine
from dsasim.machine.spec import Rate
from dsasim.machine.statistics import Statistics
from dsasim.machine.system import System
from dsasim.model.dram import Dram
from dsasim.sim.result import STALL_REASONS, UnitReport


def unit_reports(system: System, dram: Dram, cycles: int, counters: Mapping[str, int]) -> dict[str, UnitReport]:
    """Every unit's statistics in the order of the specs, lanes before their sum; then DMA together, and the memory."""
    reports: dict[str, UnitReport] = {}
    for unit in system.units.values():
        if unit.lanes:
            reports |= {lane.name: _report([lane], cycles) for lane in unit.statistics}
        reports[unit.name] = _rated(_report(unit.statistics, cycles), system.specs[unit.name].rate, cycles, counters)
    engines = [unit.statistics[0] for unit in system.units.values() if isinstance(unit, DmaEngine)]
    reports["dma"] = _report(engines, cycles)
    reports["dram"] = _dram_report(dram, cycles)
    return reports


def _rated(report: UnitReport, rate: Rate | None, cycles: int, counters: Mapping[str, int]) -> UnitReport:
    """Utilisation as useful events over what the unit could do in all cycles, where it has a rate."""
    if rate is None:
        return report
    useful = sum(counters[name] for name in rate.events)
    return replace(report, utilisation_ratio=useful / (rate.per_cycle * cycles))


def _report(units: Sequence[Statistics], cycles: int) -> UnitReport:
    busy = sum(unit.busy_cycles for unit in units)
    stalls = sum((unit.stall_cycles for unit in units), Counter())
    share = busy / (len(units) * cycles)
    return UnitReport(busy, {reason: stalls[reason] for reason in STALL_REASONS}, share, len(units))


def _dram_report(dram: Dram, cycles: int) -> UnitReport:
    """A core cycle is busy if it meets a memory cycle in which a data bus moves; else dram if a transfer is open."""
    busy = dram.busy_cycles
    open_cycles, last = 0, 0
    for opened, ended in sorted(dram.open_intervals):
        open_cycles += max(0, ended - max(opened, last))
        last = max(last, ended)
    stalls = dict.fromkeys(STALL_REASONS, 0)
    stalls["dram"] = open_cycles - busy
    stalls["operand"] = last - open_cycles
    stalls["drained"] = cycles - last
    return UnitReport(busy, stalls, busy / cycles)


def dram_counters(dram: Dram) -> dict[str, int]:
    """The memory's counters by name, over all channels; bytes are whole bursts that the device moved."""
    counts = dram.counts.sum(axis=0).tolist()
    access = dram.preset.access_bytes
    return {
        "dram_read_bytes": counts[controller.READS] * access,
        "dram_write_bytes": counts[controller.WRITES] * access,
        "dram_read_bursts": counts[controller.READS],
        "dram_write_bursts": counts[controller.WRITES],
        "dram_forwarded_reads": counts[controller.FORWARDED],
        "dram_merged_writes": counts[controller.MERGED],
        "dram_activates": counts[controller.ACTIVATES],
        "dram_precharges": counts[controller.PRECHARGES] + counts[controller.PRECHARGE_ALLS],
        "dram_row_hits": counts[controller.HITS],
        "dram_row_misses": counts[controller.MISSES],
        "dram_row_conflicts": counts[controller.CONFLICTS],
        "dram_refreshes": counts[controller.REFRESHES],
        "dram_open_edges": counts[controller.OPEN_CYCLES],
    }


def dram_channels(dram: Dram) -> tuple[dict[str, int], ...]:
    """What each channel did, channel 0 first, and for how many memory clock edges it was active, and idle.

    Active: a row is open in any bank (JEDEC's active standby, IDD3N); idle: all banks are precharged (IDD2N). The two
    sum to the edges of the run; `cost.model` charges their power.
    """
    edges = int(dram.state.scalars[kernel.CYCLE])
    return tuple(
        {
            "activates": counts[controller.ACTIVATES],
            "precharges": counts[controller.PRECHARGES] + counts[controller.PRECHARGE_ALLS],
            "read_bursts": counts[controller.READS],
            "write_bursts": counts[controller.WRITES],
            "refreshes": counts[controller.REFRESHES],
            "active_edges": counts[controller.OPEN_CYCLES],
            "idle_edges": edges - counts[controller.OPEN_CYCLES],
        }
        for counts in dram.counts.tolist()
    )
