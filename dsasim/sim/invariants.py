"""Laws that every run must obey, checked at its end; one that fails is a bug in dsasim and stops the run."""

from collections.abc import Mapping, Sequence
from fractions import Fraction

from dsasim.config.schema import MachineConfig
from dsasim.errors import InvariantError
from dsasim.machine.asked import Asked
from dsasim.machine.spec import UnitSpec
from dsasim.model.dram_preset import core_cycles_per_memory_cycle, load_presets, peak_bytes_per_cycle
from dsasim.sim.design import Demand
from dsasim.sim.result import LayerReport, UnitReport


def check(
    arch: MachineConfig,
    specs: Sequence[UnitSpec],
    cycles: int,
    units: Mapping[str, UnitReport],
    counters: Mapping[str, int],
    layers: Sequence[LayerReport],
    demands: Sequence[Demand],
    asked: Asked,
) -> dict[str, bool]:
    """Check all laws; return them by name, or raise InvariantError naming those that failed."""
    moved = counters["dram_read_bytes"] + counters["dram_write_bytes"]
    sparse_macs, dense_macs = (
        counters.get("macs_sddmm", 0) + counters.get("macs_spmm", 0),
        counters.get("macs_dense", 0),
    )
    spared = counters["dram_forwarded_reads"] + counters["dram_merged_writes"]
    access_bytes = load_presets()[arch.dram.preset].access_bytes
    peak = peak_bytes_per_cycle(arch)
    rates = [spec.rate for spec in specs if spec.rate is not None]
    busiest = max((Fraction(sum(counters[name] for name in r.events), r.per_cycle) for r in rates), default=Fraction(0))
    laws = {
        "busy_plus_stalls_is_total": all(
            unit.busy_cycles + sum(unit.stall_cycles.values()) == unit.instances * cycles for unit in units.values()
        ),
        "no_negative_cycles": all(min(unit.busy_cycles, *unit.stall_cycles.values()) >= 0 for unit in units.values()),
        "macs_are_two_nnz_d_head": sparse_macs == sum(demand.sparse_macs for demand in demands),
        "dense_macs_are_the_products": dense_macs == sum(demand.dense_macs for demand in demands),
        "dram_moves_at_least_the_tensors": moved + spared * access_bytes >= sum(demand.num_bytes for demand in demands),
        "dram_bursts_are_those_asked_for": moved // access_bytes + spared == asked.bursts,
        "bandwidth_at_most_peak": moved <= peak * cycles,
        "utilisation_at_most_one": all(0 <= unit.utilisation_ratio <= 1 for unit in units.values()),
        "cycles_at_least_roofline": cycles >= max(busiest, moved / peak),
        "cycles_at_most_serial": cycles <= serial_cycles(arch, asked),
        "layers_sum_to_total": cycles == sum(layer.cycles for layer in layers),
    }
    if failed := [law for law, held in laws.items() if not held]:
        raise InvariantError(f"the run of {arch.name} broke {', '.join(failed)}: a bug in dsasim, please report it")
    return laws


def serial_cycles(arch: MachineConfig, asked: Asked) -> Fraction:
    """An upper bound: every job after the other, every burst a row conflict after a write, every transfer rounded up.

    A burst then takes write recovery (nCWL + nBL + nWR), nRP, nRC (more than nRCD), nCL and nBL, one edge to be
    admitted and, where ACT has two steps, nAAD and two for CAS. With refresh, each rank takes as much and nRFC besides
    out of every nREFI.
    """
    t = load_presets()[arch.dram.preset].ticks
    burst_edges = t["nCWL"] + t["nBL"] + t["nWR"] + t["nRP"] + t["nRC"] + t["nCL"] + t["nBL"] + 1
    burst_edges += t.get("nAAD", -2) + 2
    edge = core_cycles_per_memory_cycle(arch)
    cycles = asked.job_cycles + asked.bursts * burst_edges * edge + asked.transfers * (1 + edge)
    if not arch.dram.refresh:
        return cycles
    preset = load_presets()[arch.dram.preset]
    lost_edges = arch.dram.ranks * preset.pseudo_channels * (t["nRFC"] + burst_edges)
    return (cycles + lost_edges * edge) * t["nREFI"] / max(t["nREFI"] - lost_edges, 1)
