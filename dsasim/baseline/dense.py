"""Dense baselines: the same machine without prediction, every allowed position computed, run by the same code.

The same-MACs baseline keeps array, softmax unit, Q, K, V, score and output buffers, DMA and DRAM, drops predictor, mask
generator and scheduler, and takes the better of two dataflows: token-parallel (T rows share each key) and systolic
(lanes * T rows by macs_per_row columns, with the design's `stationary` and `pipelined_folds`).

The iso-area baseline spends the area of what was dropped, predictor and mask buffer included, on whole further lanes,
each with its share of the softmax unit, but on no more lanes than a tile of `scheduler.tile_rows` has groups: another
would never work. Its tiles are the largest up to `scheduler.tile_rows` that give every lane the same number of groups.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from dsasim.config.schema import MAX_LANES, ArchConfig
from dsasim.cost.model import Cost, estimate_cost
from dsasim.sim.dense_phase import Scope
from dsasim.sim.engine import Progress, run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

SPARSE_ONLY = ("predictor", "mask_generator", "scheduler", "buffer_predictor", "buffer_mask")
"""Components that a dense machine does without."""

SOFTMAX_RATES = ("exp_per_cycle", "div_per_cycle")
"""Rates of the softmax unit that must follow the lanes, or it would hold a wider machine back."""

DATAFLOWS = ("token_parallel", "systolic")
DENSE_RUNS = 2 * len(DATAFLOWS)
"""Most runs that a baseline takes: every dataflow, with the design's lanes and with those of its area."""


@dataclass(frozen=True)
class IsoArea:
    """A dense machine of the design's area; `speedup_ratio` is its cycles / the design's."""

    lanes: int
    cycles: int
    dataflow: str
    speedup_ratio: float


@dataclass(frozen=True)
class Baseline:
    """Dense machines beside a design; ratios are dense / ours, so above 1 is better."""

    dense_cycles: int
    dense_attention_cycles: int
    """Those of attention alone: all of them, but in a run with dense products around it."""
    dense_mapping: str
    speedup_vs_dense: float
    energy_vs_dense_ratio: float
    iso_area: IsoArea | None
    gpu: tuple[object, ...] = ()


def dense_baseline(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    machine: MachineResult,
    cost: Cost,
    stages: Iterable[Progress | None] = (),
    scope: Scope = "attention",
) -> Baseline:
    """Run the dense machines on the same heads and scope; each run reports to the next of `stages`, if any."""
    following = iter(stages)
    mapping, dense = fastest_dense(arch, trace, selection, following, scope)
    dense_cost = estimate_cost(dense_arch(arch, mapping), dense)
    iso_area = _iso_area(arch, trace, selection, machine.cycles, cost, following, scope)
    return Baseline(
        dense_cycles=dense.cycles,
        dense_attention_cycles=dense.attention_cycles,
        dense_mapping=mapping,
        speedup_vs_dense=dense.cycles / machine.cycles,
        energy_vs_dense_ratio=dense_cost.energy_pj["total"] / cost.energy_pj["total"],
        iso_area=iso_area,
    )


def fastest_dense(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    stages: Iterable[Progress | None] = (),
    scope: Scope = "attention",
) -> tuple[str, MachineResult]:
    """The dense machine of a design's MACs under the better dataflow: (dataflow, its run)."""
    following = iter(stages)
    runs = {
        name: run_machine(dense_arch(arch, name), trace, selection, progress=next(following, None), scope=scope)
        for name in DATAFLOWS
    }
    best = min(runs, key=lambda name: runs[name].cycles)
    return best, runs[best]


def dense_arch(arch: ArchConfig, dataflow: str) -> ArchConfig:
    """The design without its sparse-only parts, checked anew."""
    values = arch.model_dump()
    values["predictor"] = {"method": "dense"}
    values["mask_generator"] = None
    values["scheduler"]["order"] = "in_order"
    values["pe_array"] |= {"dataflow": dataflow, "organisation": "decoupled"}
    if dataflow == "systolic":
        values["pe_array"] |= {"lane_sync": "lock_step", "lane_split": "groups"}
    values["buffers"] |= {"predictor": None, "mask": None}
    return ArchConfig.model_validate(values)


def iso_area_lanes(arch: ArchConfig, cost: Cost) -> int:
    """Lanes of a dense machine with the design's area.

    A lane takes its share of the array and of the softmax unit, which grows with the lanes. Worked example: 4 lanes of
    0.4 mm2 and 0.1 mm2 of softmax each, and 1.2 mm2 of sparse-only parts, make 4 + floor(1.2 / 0.5) = 6 lanes; tiles of
    20 rows in groups of 4 could use 5 of them.
    """
    lane_mm2 = (cost.area_mm2["pe_array"] + cost.area_mm2["softmax"]) / arch.pe_array.lanes
    lanes = arch.pe_array.lanes + int(sum(cost.area_mm2[name] for name in SPARSE_ONLY) / lane_mm2)
    groups = arch.scheduler.tile_rows // arch.scheduler.token_parallelism
    return min(lanes, max(groups, arch.pe_array.lanes))


def _iso_area(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    cycles: int,
    cost: Cost,
    stages: Iterator[Progress | None],
    scope: Scope,
) -> IsoArea | None:
    """None where the design has nothing to trade for a lane, or so much that no array could use it."""
    lanes = iso_area_lanes(arch, cost)
    if not arch.pe_array.lanes < lanes <= MAX_LANES:
        return None
    dataflow, run = fastest_dense(_widened(arch, lanes), trace, selection, stages, scope)
    return IsoArea(lanes, run.cycles, dataflow, run.cycles / cycles)


def _widened(arch: ArchConfig, lanes: int) -> ArchConfig:
    """The design with `lanes` lanes, a softmax unit that grew with them, and tiles that suit them.

    Worked example: from 4 to 13 lanes, 16 exponentials a cycle become ceil(16 * 13 / 4) = 52, and tiles of 64 rows in
    groups of 4 become 52.
    """
    rows = lanes * arch.scheduler.token_parallelism
    tile_rows = arch.scheduler.tile_rows // rows * rows or arch.scheduler.tile_rows
    grown = {name: -(-getattr(arch.softmax, name) * lanes // arch.pe_array.lanes) for name in SOFTMAX_RATES}
    return arch.model_copy(
        update={
            "softmax": arch.softmax.model_copy(update=grown),
            "pe_array": arch.pe_array.model_copy(update={"lanes": lanes, "total_macs": None}),
            "scheduler": arch.scheduler.model_copy(update={"tile_rows": tile_rows}),
        }
    )
