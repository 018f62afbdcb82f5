"""Laws that every run must obey, checked at its end; one that fails is a bug in dsasim and stops the run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from dsasim.config.schema import ArchConfig
from dsasim.errors import InvariantError
from dsasim.machine.transfer import Transfer
from dsasim.designs.dsa.dense_work import DenseWork
from dsasim.model.dram_preset import core_cycles_per_edge, load_presets, peak_bytes_per_cycle
from dsasim.designs.dsa.work import LayerWork, TileWork
from dsasim.sim.result import LayerReport, UnitReport
from dsasim.trace.attention import LayerTrace


@dataclass(frozen=True)
class LayerDemand:
    """What a layer asked for, taken from its jobs and transfers and not from what the machine counted."""

    nnz: int
    d_head: int
    busy_cycles: int
    """Cycles of all jobs of all units, one after the other; DMA apart."""
    transfers: int
    bursts: int
    num_bytes: int
    """Compulsory: Q, output, and K and V where they are kept whole, from the trace's own sizes."""
    macs_dense: int = 0


def demand_of(work: LayerWork, layer: LayerTrace, element_bytes: int, access_bytes: int) -> LayerDemand:
    """Sum up a layer's jobs and transfers, and the tensors that must cross the memory bus."""
    tiles = work.tiles
    parts = [part for tile in tiles for part in (*tile.sddmm, *tile.spmm)]
    keys = [kv_head.key_prediction for kv_head in work.kv_heads]
    stages = [job for t in tiles for job in (t.prediction, t.mask_generation, t.scheduling, t.softmax)]
    jobs = [job for job in (*work.projections, *keys, *stages, *(part.job for part in parts)) if job is not None]
    moves = [work.projection_read, *work.input_reads]
    moves += [move for kv_head in work.kv_heads for move in (kv_head.k_read, kv_head.v_read, kv_head.weights_read)]
    moves += [move for tile in tiles for move in (tile.q_read, tile.output_write)]
    moves += [way for t in tiles for way in _spill_ways(t)]
    moves += [part.fetch.transfer for part in parts if part.fetch is not None]
    transfers = [move for move in moves if move is not None]
    return LayerDemand(
        nnz=sum(head.nnz for head in work.heads),
        d_head=layer.d_head,
        busy_cycles=sum(job.cycles for job in jobs),
        transfers=len(transfers),
        bursts=sum(transfer.bursts(access_bytes) for transfer in transfers),
        num_bytes=_compulsory_vectors(work, layer) * layer.d_head * element_bytes,
    )


def _compulsory_vectors(work: LayerWork, layer: LayerTrace) -> int:
    """Rows of Q and output of every query head, and of K and V of their kv heads where these are kept whole."""
    first, heads = work.kv_heads[0], [head.head for head in work.heads]
    whole = (first.k_read is not None) + (first.v_read is not None)
    kv_heads = {layer.kv_head(head) for head in heads}
    return 2 * len(heads) * layer.L_q + whole * len(kv_heads) * layer.L_k


def _spill_ways(tile: TileWork) -> Iterator[Transfer]:
    """S~ goes out and comes back once, S twice."""
    for spill, times in ((tile.predicted_spill, 1), (tile.score_spill, 2)):
        if spill is not None:
            yield from (spill.write, spill.read) * times


def dense_demand(work: DenseWork, access_bytes: int) -> LayerDemand:
    """The same of a phase of dense products."""
    transfers = [(transfer.bursts(access_bytes), transfer.num_bytes) for transfer in work.transfers()]
    return LayerDemand(
        nnz=0,
        d_head=0,
        busy_cycles=sum(job.cycles for _, job in work.jobs()),
        transfers=len(transfers),
        bursts=sum(bursts for bursts, _ in transfers),
        num_bytes=sum(num_bytes for _, num_bytes in transfers),
        macs_dense=sum(placed.product.macs for placed in work.products),
    )


def check(
    arch: ArchConfig,
    cycles: int,
    units: Mapping[str, UnitReport],
    counters: Mapping[str, int],
    layers: Sequence[LayerReport],
    demands: Sequence[LayerDemand],
) -> dict[str, bool]:
    """Check all laws; return them by name, or raise InvariantError naming those that failed."""
    moved = counters["dram_read_bytes"] + counters["dram_write_bytes"]
    sparse_macs = counters["macs_sddmm"] + counters["macs_spmm"]
    macs = sparse_macs + counters["macs_dense"]
    spared = counters["dram_forwarded_reads"] + counters["dram_merged_writes"]
    access_bytes = load_presets()[arch.dram.preset].access_bytes
    peak = peak_bytes_per_cycle(arch)
    laws = {
        "busy_plus_stalls_is_total": all(
            unit.busy_cycles + sum(unit.stall_cycles.values()) == unit.instances * cycles for unit in units.values()
        ),
        "no_negative_cycles": all(min(unit.busy_cycles, *unit.stall_cycles.values()) >= 0 for unit in units.values()),
        "macs_are_two_nnz_d_head": sparse_macs == sum(2 * demand.nnz * demand.d_head for demand in demands),
        "dense_macs_are_the_products": counters["macs_dense"] == sum(demand.macs_dense for demand in demands),
        "dram_moves_at_least_the_tensors": moved + spared * access_bytes >= sum(demand.num_bytes for demand in demands),
        "dram_bursts_are_those_asked_for": moved // access_bytes + spared == sum(demand.bursts for demand in demands),
        "bandwidth_at_most_peak": moved <= peak * cycles,
        "utilisation_at_most_one": all(0 <= unit.utilisation_ratio <= 1 for unit in units.values()),
        "cycles_at_least_roofline": cycles >= max(Fraction(macs, arch.macs), moved / peak),
        "cycles_at_most_serial": cycles <= serial_cycles(arch, demands),
        "layers_sum_to_total": cycles == sum(layer.cycles for layer in layers),
    }
    if failed := [law for law, held in laws.items() if not held]:
        raise InvariantError(f"the run of {arch.name} broke {', '.join(failed)}: a bug in dsasim, please report it")
    return laws


def serial_cycles(arch: ArchConfig, demands: Sequence[LayerDemand]) -> Fraction:
    """An upper bound: every job after the other, every burst a row conflict after a write, every transfer rounded up.

    A burst then takes write recovery (nCWL + nBL + nWR), nRP, nRC (more than nRCD), nCL and nBL, one edge to be
    admitted and, where ACT has two steps, nAAD and two for CAS. With refresh, each rank takes as much and nRFC besides
    out of every nREFI.
    """
    t = load_presets()[arch.dram.preset].ticks
    burst_edges = t["nCWL"] + t["nBL"] + t["nWR"] + t["nRP"] + t["nRC"] + t["nCL"] + t["nBL"] + 1
    burst_edges += t.get("nAAD", -2) + 2
    edge = core_cycles_per_edge(arch)
    jobs = sum(demand.busy_cycles for demand in demands)
    bursts = sum(demand.bursts for demand in demands)
    transfers = sum(demand.transfers for demand in demands)
    cycles = jobs + bursts * burst_edges * edge + transfers * (1 + edge)
    if not arch.dram.refresh:
        return cycles
    preset = load_presets()[arch.dram.preset]
    lost_edges = arch.dram.ranks * preset.pseudo_channels * (t["nRFC"] + burst_edges)
    return (cycles + lost_edges * edge) * t["nREFI"] / max(t["nREFI"] - lost_edges, 1)
