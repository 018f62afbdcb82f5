"""Energy and area of a design: counted events x shipped tables.

How far to trust these numbers
------------------------------
They rank designs; they are not a sign-off. In falling order of weight:

* Node scaling (Stillmaker & Baas 2017) is off by about 25 % either way against foundry data (the abstract of Sarangi &
  Baas, ISCAS 2021, reports 24 % area and 25 % power error of a method of this type), more for SRAM below 22 nm, whose
  cells stopped shrinking with logic: we scale both alike.
* A whole PE is its bare MAC times `cost.pe_overhead_ratio`, a knob with an assumed default: figures remembered from
  papers, unchecked, put it between 2.7 and 5. MACs are fixed-point; a floating-point MAC of 16 bits takes about 1.8
  times the energy (1.5 against 0.86 pJ at 45 nm). Logic areas are our own synthesis in an open 45 nm library, 1.2 to
  2.2 times those of the usual tables; 45 nm numbers taken at 0.9 to 1.1 V are used as they stand.
* SRAM is CACTI 7.0: a neighbouring size may jump by 1.8 times, writes of small wide arrays are pessimistic, and each
  access pays the tree between all banks. HP leakage is far above real compilers: hence `cost.leakage_ratio`.
* DDR4 uses data-sheet maxima (typical parts draw about half) plus an assumed I/O energy; only the device is charged,
  not our controller and PHY. Standby is with rows open, for the whole run.
* Not modelled: clock tree beyond the PE overhead, DMA engines, the network between buffers and lanes beyond CACTI's
  tree, voltage or frequency other than nominal, wires of large chips, activity of the data.

Numbers nobody has checked are called `assumed` in `Cost.sources`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dsasim.config.schema import MachineConfig
from dsasim.cost.dram import dram_energy
from dsasim.errors import InvariantError
from dsasim.machine.spec import Silicon
from dsasim.model.dram_preset import load_presets
from dsasim.sim.engine import design_of

STANDBY = ("standby_mw", "precharged_mw")
MEMORY_FREE = frozenset(
    (
        "dram_read_bytes",  # in the bursts
        "dram_write_bytes",
        "dram_precharges",  # in the activates
        "dram_row_hits",  # why a burst waited, not what it costs
        "dram_row_misses",
        "dram_row_conflicts",
        "dram_open_edges",  # time, see dram_background
        "dram_forwarded_reads",  # never reached the device
        "dram_merged_writes",
    )
)
"""Counters of the memory that cost nothing by themselves; units and buffers declare theirs (`machine.spec.Silicon`)."""


class CountedRun(Protocol):
    """What of a run the cost depends on; `sim.result.MachineResult` is one."""

    @property
    def cycles(self) -> int:
        """Length of the run in core cycles."""

    @property
    def counters(self) -> Mapping[str, int]:
        """Events of the run by name."""


@dataclass(frozen=True)
class Cost:
    """Energy and area by component, each dict with its `total`; `sources` says what each component rests on.

    `energy_pj` is empty where no run was given. `dram` and `dram_background` are outside the chip and have no area;
    `leakage` is that of all components on the chip.
    """

    energy_pj: dict[str, float]
    area_mm2: dict[str, float]
    sources: dict[str, str]


def estimate_cost(arch: MachineConfig, machine: CountedRun | None = None) -> Cost:
    """Area of a design and, given a run of it, the run's energy.

    Raises InvariantError if the run lacks a counter the model charges, has one it does not know, or counts traffic of
    a buffer the design does not have.
    """
    chip = _chip(arch)
    dram = _dram(arch)
    area = {name: unit.area_mm2 for name, unit in chip.items()}
    return Cost(
        energy_pj={} if machine is None else _with_total(_energy(arch, chip, dram, machine)),
        area_mm2=_with_total(area),
        sources={name: "; ".join(unit.sources) for name, unit in chip.items()} | _other_sources(arch, dram),
    )


def _chip(arch: MachineConfig) -> dict[str, Silicon]:
    """Everything on the die, as the design declares it: units, then buffers."""
    design = design_of(arch)
    units = {unit.name: unit.silicon for unit in design.units() if unit.silicon is not None}
    return units | {f"buffer_{buffer.name}": buffer.silicon for buffer in design.buffers()}


def _dram(arch: MachineConfig) -> Silicon:
    """The DRAM's events."""
    device = dram_energy(arch.dram.preset)
    energy_pj = {
        "dram_activates": device.activate_pj,
        "dram_read_bursts": device.read_burst_pj,
        "dram_write_bursts": device.write_burst_pj,
        "dram_refreshes": device.refresh_pj,
    }
    return Silicon(0.0, 0.0, energy_pj, device.sources)


def _standby_pj(arch: MachineConfig, open_cycles: int, time_ns: float) -> float:
    """Standby of all channels: that with a row open for `open_cycles` of the memory, summed over channels.

    DDR4-3200 (0.625 ns a memory cycle), 2 channels, 1000 ns, 800 cycles with a row open = 500 ns: 2000 x 355.2 + 500 x
    (499.2 - 355.2) = 782400 pJ.
    """
    device = dram_energy(arch.dram.preset)
    open_ns = open_cycles * float(load_presets()[arch.dram.preset].tick_ps) / 1000
    one_rank = device.precharged_mw * arch.dram.channels * time_ns
    return arch.dram.ranks * (one_rank + (device.standby_mw - device.precharged_mw) * open_ns)


def _energy(arch: MachineConfig, chip: dict[str, Silicon], dram: Silicon, machine: CountedRun) -> dict[str, float]:
    """Energy by component; time = cycles / clock, and 1 mW for 1 ns is 1 pJ (2000 cycles at 2 GHz, 3 mW: 3000 pJ)."""
    counted = chip | {"dram": dram}
    _check_counters(counted, machine.counters)
    time_ns = machine.cycles / float(arch.clock_ghz)
    energy = {
        name: sum((machine.counters[counter] * pj for counter, pj in unit.energy_pj.items()), 0.0)
        for name, unit in counted.items()
    }
    energy["dram_background"] = _standby_pj(arch, machine.counters["dram_open_edges"], time_ns)
    energy["leakage"] = sum(unit.leakage_mw for unit in chip.values()) * time_ns
    return energy


def _check_counters(counted: dict[str, Silicon], counters: Mapping[str, int]) -> None:
    priced = {counter for unit in counted.values() for counter in unit.events}
    if missing := sorted(priced - counters.keys()):
        raise InvariantError(f"the run lacks the counters {', '.join(missing)}, which the cost model charges")
    if unknown := sorted(counters.keys() - priced - MEMORY_FREE):
        raise InvariantError(f"the cost model has no price for the counters {', '.join(unknown)}")
    for name, unit in counted.items():
        if unit.absent and any(counters[counter] for counter in unit.events):
            raise InvariantError(f"the run counts events of {name}, which the design does not have or use")


def _other_sources(arch: MachineConfig, dram: Silicon) -> dict[str, str]:
    """Sources of what is energy only; leakage's are with each component."""
    channels = f"{arch.dram.channels} channels in standby, with a row open or precharged"
    return {
        "dram": "; ".join(source for source in dram.sources if not source.startswith(STANDBY)),
        "dram_background": "; ".join((*(s for s in dram.sources if s.startswith(STANDBY)), channels)),
        "leakage": "leakage of every component above x run time; SRAM's x cost.leakage_ratio",
    }


def _with_total(parts: dict[str, float]) -> dict[str, float]:
    return parts | {"total": sum(parts.values())}
