"""A design on a trace, by the twin alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import yaml

import dsasim
from dsasim.trace.attention import AttentionTrace
from twin.layer import LayerJobs
from twin.machine import STREAMS, Machine
from twin.memory import Memory, Use


@dataclass(frozen=True)
class Outcome:
    """What both simulators are asked for."""

    cycles: int
    heads: list[list[int]]
    """Cycles of each query head, layer by layer."""
    books: dict[str, dict[str, int]]
    """Cycles of each unit by owner, without zeros."""
    counts: dict[str, int]


def presets() -> dict[str, Any]:
    """The table of DRAM presets, as data."""
    text = (Path(dsasim.__file__).parent / "model" / "dram_presets.yaml").read_text(encoding="utf-8")
    table: dict[str, Any] = yaml.safe_load(text)
    return table


def run_twin(
    arch: Any, trace: AttentionTrace, selection: Mapping[int, Sequence[int]], timing: Mapping[str, int] | None = None
) -> Outcome:
    """Every core cycle of the run; `timing` replaces cycles of the DRAM preset."""
    preset = presets()[arch.dram.preset]
    preset["timing_cycles"] |= timing or {}
    access_bytes = preset["data_width_bits"] * preset["burst_length"] // 8
    ratio = Fraction(preset["tck_ps"]) * Fraction(*arch.clock_ghz.as_integer_ratio()) / 1000
    dram = arch.dram
    use = Use(
        channels=dram.channels,
        ranks=dram.ranks,
        mapping=dram.mapping,
        refresh=dram.refresh,
        closed_page=dram.page == "closed",
        outstanding=arch.dma.outstanding_bursts,
        streams=len(STREAMS),
    )
    memory = Memory(preset, use, ratio)
    machine = Machine(arch.pe_array.lanes, arch.dma.open_transfers, memory)
    layers: list[LayerJobs] = []
    for number, heads in sorted(selection.items()):
        before = layers[-1].sequence[-1] if layers else None
        layers.append(LayerJobs(arch, trace.layer(number), len(layers), list(heads), access_bytes, before))
        machine.add(layers[-1].jobs)
    cycles = machine.run()
    counts: Counter[str] = sum((layer.counts for layer in layers), Counter())
    memory_counts = {
        "dram_read_bursts": memory.counts["RD"],
        "dram_write_bursts": memory.counts["WR"],
        "dram_activates": memory.counts["ACT"],
        "dram_precharges": memory.counts["PRE"] + memory.counts["PREA"],
        "dram_refreshes": memory.counts["REF"],
        "dram_forwarded_reads": memory.counts["forwarded"],
        "dram_merged_writes": memory.counts["merged"],
        "dram_row_hits": memory.counts["hits"],
        "dram_row_misses": memory.counts["misses"],
        "dram_row_conflicts": memory.counts["conflicts"],
    }
    books = {unit: {owner: n for owner, n in owners.items() if n} for unit, owners in machine.books().items()}
    reads = {name: counts[name] for name in ("k_vector_reads", "v_vector_reads")}
    return Outcome(cycles, _head_cycles(layers), books, reads | memory_counts)


def _head_cycles(layers: list[LayerJobs]) -> list[list[int]]:
    """From the previous head's last output in DRAM to its own; none if that was earlier."""
    began, cycles = 0, []
    for layer in layers:
        of_layer = []
        for head in sorted({head for tile in layer.tiles for head in tile.heads}):
            end = max(tile.made["written"].ended or 0 for tile in layer.tiles if head in tile.heads)
            of_layer.append(max(0, end - began))
            began = max(began, end)
        cycles.append(of_layer)
    return cycles
