"""A design on a trace, by the twin alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from twin_dram import SlowDram
from twin_presets import chips

from dsasim.trace.attention import AttentionTrace
from twin.dense import DensePhase, phases
from twin.layer import LayerJobs
from twin.machine import STREAMS, Machine
from twin.memory import Memory, Use
from twin.slow_memory import SlowMemory


@dataclass(frozen=True)
class Outcome:
    """What both simulators are asked for."""

    cycles: int
    heads: list[list[int]]
    """Cycles of each query head, layer by layer and sequence by sequence, and of each dense phase around a layer."""
    books: dict[str, dict[str, int]]
    """Cycles of each unit by owner, without zeros."""
    counts: dict[str, int]
    channels: list[dict[str, int]]
    """Of each channel of the memory: commands, and edges with a row open and without."""


def run_twin(
    arch: Any,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    scope: str = "attention",
    timing: Mapping[str, int] | None = None,
) -> Outcome:
    """Every core cycle of the run; `timing` replaces cycles of the DRAM preset."""
    dram = arch.dram
    memory_chips = chips(dram.preset, timing)
    ratio = memory_chips.tick_ps * Fraction(*arch.clock_ghz.as_integer_ratio()) / 1000
    use = Use(
        channels=dram.channels,
        ranks=dram.ranks,
        mapping=dram.mapping,
        refresh=dram.refresh,
        page=dram.page,
        outstanding=arch.dma.outstanding_bursts,
        streams=len(STREAMS),
    )
    if memory_chips.bus == "one":
        memory: Any = Memory(memory_chips, use, ratio)
    else:
        memory = SlowMemory(SlowDram(dram.preset, use, use.streams, use.outstanding, timing), ratio)
    machine = Machine(arch.pe_array.lanes, arch.dma.open_transfers, memory)
    access_bytes, buses = memory_chips.access_bytes, dram.channels * memory_chips.pseudo_channels
    peak = Fraction(access_bytes * buses, memory_chips.t["nBL"]) / ratio
    works: list[LayerJobs | DensePhase] = []

    def take(work: LayerJobs | DensePhase) -> None:
        works.append(work)
        machine.add(work.jobs)

    for number, heads in sorted(selection.items()):
        batch = [trace.layer(number, sequence) for sequence in range(trace.num_sequences)]
        before, after = ([], []) if scope == "attention" else phases(batch)
        for products in before:
            take(DensePhase(arch, batch[0], len(works), products, access_bytes, peak))
        for layer in batch:
            last = works[-1].sequence[-1] if works else None
            take(LayerJobs(arch, layer, len(works), list(heads), access_bytes, last))
        for products in after:
            take(DensePhase(arch, batch[0], len(works), products, access_bytes, peak))
    cycles = machine.run()
    counts = sum((work.counts for work in works if isinstance(work, LayerJobs)), Counter[str]())
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
    channels = [_channel(memory, number) for number in range(dram.channels)]
    return Outcome(cycles, _spent(works), books, reads | memory_counts, channels)


def _channel(memory: Any, number: int) -> dict[str, int]:
    commands = memory.commands_of
    return {
        "activates": commands[number, "ACT"],
        "precharges": commands[number, "PRE"] + commands[number, "PREA"],
        "read_bursts": commands[number, "RD"],
        "write_bursts": commands[number, "WR"],
        "refreshes": commands[number, "REF"],
        "active_edges": memory.open_edges[number],
        "idle_edges": memory.next_edge - memory.open_edges[number],
    }


def _spent(works: list[LayerJobs | DensePhase]) -> list[list[int]]:
    """From the end of the head or phase before to its own; none if that was earlier."""
    began, cycles = 0, []
    for work in works:
        spent = []
        for end in _ends(work):
            spent.append(max(0, end - began))
            began = max(began, end)
        cycles.append(spent)
    return cycles


def _ends(work: LayerJobs | DensePhase) -> list[int]:
    """When the last output of each head was in DRAM; when a dense phase was over."""
    if isinstance(work, DensePhase):
        return [max(job.ended or 0 for job in work.jobs)]
    heads = sorted({head for tile in work.tiles for head in tile.heads})
    return [max(tile.made["written"].ended or 0 for tile in work.tiles if head in tile.heads) for head in heads]
