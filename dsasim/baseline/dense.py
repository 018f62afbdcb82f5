"""Dense baselines: the same machine without prediction, every allowed position computed, run by the same code.

The same-MACs baseline keeps array, softmax unit, Q, K, V, score and output buffers, DMA and DRAM, drops predictor, mask
generator and scheduler, and takes the better of two dataflows: token-parallel (T rows share each key) and systolic
(lanes * T rows by macs_per_row columns, with the design's `stationary` and `pipelined_folds`).

The iso-area baseline spends the area of what was dropped, predictor and mask buffer included, on whole further lanes,
each with its share of the softmax unit, but on no more lanes than a tile of `scheduler.tile_rows` has groups: another
would never work. Its tiles are the largest up to `scheduler.tile_rows` that give every lane the same number of groups.
Where more lanes are slower, the area is not spent.

Neither takes over how a sparse design splits its lanes or keeps K and V: lanes are in lock-step over the groups of a
tile, or over heads where no head has a group for each lane, and K and V are whole where they fit.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from dsasim.baseline.gpu import GpuBaseline, gpu_baselines
from dsasim.baseline.gpu_profile import compared_gpus
from dsasim.baseline.gpu_table import Gpu
from dsasim.baseline.peak import Peak, peak_of
from dsasim.config.schema import MAX_COUNT, MAX_LANES, MAX_TILE_ROWS, ArchConfig, MachineConfig, PEArrayConfig
from dsasim.cost.model import Cost, estimate_cost
from dsasim.sim.design import Progress
from dsasim.sim.engine import design_of, run_machine
from dsasim.sim.result import MachineResult
from dsasim.sim.scope import Scope
from dsasim.trace.attention import AttentionTrace

SPARSE_ONLY = ("predictor", "mask_generator", "scheduler", "buffer_predictor", "buffer_mask")
"""Components that a dense machine does without."""

SOFTMAX_RATES = ("exp_per_cycle", "div_per_cycle")
"""Rates of the softmax unit that must follow the lanes, or it would hold a wider machine back."""

DenseDataflow = Literal["token_parallel", "systolic"]
DATAFLOWS: tuple[DenseDataflow, ...] = get_args(DenseDataflow)
DENSE_RUNS = 2 * len(DATAFLOWS)
"""Most runs that a baseline takes: every dataflow, with the design's lanes and with those of its area."""


@dataclass(frozen=True)
class IsoArea:
    """A dense machine of at most the design's area; `speedup_ratio` is its cycles / the design's."""

    lanes: int
    cycles: int
    dataflow: DenseDataflow
    speedup_ratio: float


@dataclass(frozen=True)
class Baseline:
    """Dense machines beside a design; ratios are dense / ours, so above 1 is better."""

    dense_cycles: int
    dense_attention_cycles: int
    """Those of attention alone: all of them, but in a run with dense products around it."""
    dense_mapping: DenseDataflow
    speedup_vs_dense: float
    energy_vs_dense_ratio: float
    iso_area: IsoArea | None
    gpu: tuple[GpuBaseline, ...]
    peak: Peak
    """The design's own, which the normalised ratios of `gpu` divide by."""


def dense_baseline(
    arch: MachineConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    machine: MachineResult,
    cost: Cost,
    stages: Iterable[Progress | None] = (),
    scope: Scope = "attention",
    gpus: Iterable[Gpu] | None = None,
) -> Baseline | None:
    """Run the dense machines on the same heads and scope; each run reports to the next of `stages`, if any.

    `gpus` stand beside them: those of the shipped table and profiles by default. None for a machine without a rival.
    """
    following = iter(stages)
    rival = design_of(arch).rival()
    if rival is None:
        return None
    mapping, dense = fastest_dense(rival, trace, selection, following, scope)
    dense_cost = estimate_cost(dense_arch(rival, mapping), dense)
    widened = _iso_area(arch, trace, selection, machine.cycles, cost, following, scope)
    if widened is not None and widened.cycles > dense.cycles:
        widened = IsoArea(rival.pe_array.lanes, dense.cycles, mapping, dense.cycles / machine.cycles)
    return Baseline(
        dense_cycles=dense.cycles,
        dense_attention_cycles=dense.attention_cycles,
        dense_mapping=mapping,
        speedup_vs_dense=dense.cycles / machine.cycles,
        energy_vs_dense_ratio=dense_cost.energy_pj["total"] / cost.energy_pj["total"],
        iso_area=widened,
        gpu=gpu_baselines(arch, trace, selection, machine.attention_cycles, compared_gpus() if gpus is None else gpus),
        peak=peak_of(arch),
    )


def fastest_dense(
    arch: ArchConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    stages: Iterable[Progress | None] = (),
    scope: Scope = "attention",
) -> tuple[DenseDataflow, MachineResult]:
    """The dense machine of a design's MACs under the better dataflow: (dataflow, its run)."""
    following = iter(stages)
    split = lane_split(arch, trace, selection)
    runs = {
        name: run_machine(dense_arch(arch, name, split), trace, selection, progress=next(following, None), scope=scope)
        for name in DATAFLOWS
    }
    best = min(runs, key=lambda name: runs[name].cycles)
    return best, runs[best]


def lane_split(arch: ArchConfig, trace: AttentionTrace, selection: Mapping[int, Sequence[int]]) -> str:
    """What the lanes of a token-parallel dense machine share out: heads where no head has a group for each lane.

    That takes tiles of a group for each lane at least; where no design may have so many rows, it stays at groups.
    Worked example: in decode (one query row) 8 heads keep 4 lanes busy, and groups of one head only one lane.
    """
    layers = [layer for layer, _ in trace.chosen(selection)]
    groups = [-(-layer.L_q // arch.scheduler.token_parallelism) for layer in layers]
    heads = max(len(chosen) for chosen in selection.values())
    fits = arch.pe_array.lanes * arch.scheduler.token_parallelism <= MAX_TILE_ROWS
    return "heads" if fits and heads > 1 and max(groups) < arch.pe_array.lanes else "groups"


def dense_arch(arch: ArchConfig, dataflow: str, split: str = "groups") -> ArchConfig:
    """The design without its sparse-only parts, its lanes in lock-step and K and V whole if they fit, checked anew."""
    values = arch.model_dump()
    rows = arch.pe_array.lanes * arch.scheduler.token_parallelism
    if split == "heads":
        values["scheduler"]["tile_rows"] = max(rows, arch.scheduler.tile_rows // rows * rows)
    values["predictor"] = {"method": "dense"}
    values["mask_generator"] = None
    values["scheduler"]["order"] = "in_order"
    values["pe_array"] = {
        name: values["pe_array"][name] for name in PEArrayConfig.model_fields
    }  # a dataflow's own keys go
    values["pe_array"] |= {"dataflow": dataflow, "organisation": "decoupled", "lane_sync": "lock_step"}
    values["pe_array"]["switch_cycles"] = 0
    values["pe_array"]["lane_split"] = split if dataflow == "token_parallel" else "groups"
    for name in ("k", "v"):
        values["buffers"][name]["residency"] = "auto"
    values["buffers"] |= {"predictor": None, "mask": None}
    return ArchConfig.model_validate(values)


def iso_area_lanes(arch: ArchConfig, cost: Cost) -> int:
    """Lanes of a dense machine with the design's area.

    A lane takes its share of the array and of the softmax unit, which grows with the lanes. Worked example: 4 lanes of
    0.4 mm2 and 0.1 mm2 of softmax each, and 1.2 mm2 of sparse-only parts, make 4 + floor(1.2 / 0.5) = 6 lanes; tiles of
    20 rows in groups of 4 could use 5 of them.
    """
    groups = arch.scheduler.tile_rows // arch.scheduler.token_parallelism
    return min(arch.pe_array.lanes + _lanes_paid(arch, cost), max(groups, arch.pe_array.lanes))


def iso_area_obstacle(arch: MachineConfig, cost: Cost) -> str:
    """Why `dense_baseline` found no dense machine of the design's area; empty if nothing stands in its way."""
    if not isinstance(arch, ArchConfig):
        return f"what of {arch.design} only sparse attention needs is not known"
    lanes, tile_rows = arch.pe_array.lanes, arch.scheduler.tile_rows
    if _lanes_paid(arch, cost) == 0:
        return "the area of what only sparse attention needs does not pay for a lane"
    if iso_area_lanes(arch, cost) == lanes:
        return f"a tile of {tile_rows} rows has no group of {arch.scheduler.token_parallelism} for another lane"
    if iso_area_lanes(arch, cost) > MAX_LANES:
        return f"it would have more than {MAX_LANES} lanes"
    if max(_grown_softmax(arch, iso_area_lanes(arch, cost)).values()) > MAX_COUNT:
        return f"its softmax unit would start more than {MAX_COUNT:,} exponentials or divisions a cycle"
    return ""


def _lanes_paid(arch: ArchConfig, cost: Cost) -> int:
    """Whole lanes that the area of the sparse-only parts pays for."""
    lane_mm2 = (cost.area_mm2.get("pe_array", 0.0) + cost.area_mm2.get("softmax", 0.0)) / arch.pe_array.lanes
    return int(sum(cost.area_mm2.get(name, 0.0) for name in SPARSE_ONLY) / lane_mm2) if lane_mm2 else 0


def _iso_area(
    arch: MachineConfig,
    trace: AttentionTrace,
    selection: Mapping[int, Sequence[int]],
    cycles: int,
    cost: Cost,
    stages: Iterator[Progress | None],
    scope: Scope,
) -> IsoArea | None:
    """None where `iso_area_obstacle` says why."""
    if iso_area_obstacle(arch, cost) or not isinstance(arch, ArchConfig):
        return None
    lanes = iso_area_lanes(arch, cost)
    dataflow, run = fastest_dense(_widened(arch, lanes), trace, selection, stages, scope)
    return IsoArea(lanes, run.cycles, dataflow, run.cycles / cycles)


def _widened(arch: ArchConfig, lanes: int) -> ArchConfig:
    """The design with `lanes` lanes, a softmax unit that grew with them, and tiles that suit them.

    Worked example: from 4 to 13 lanes, 16 exponentials a cycle become ceil(16 * 13 / 4) = 52, and tiles of 64 rows in
    groups of 4 become 52.
    """
    rows = lanes * arch.scheduler.token_parallelism
    tile_rows = arch.scheduler.tile_rows // rows * rows or arch.scheduler.tile_rows
    return arch.model_copy(
        update={
            "softmax": arch.softmax.model_copy(update=_grown_softmax(arch, lanes)),
            "pe_array": arch.pe_array.model_copy(update={"lanes": lanes, "total_macs": None}),
            "scheduler": arch.scheduler.model_copy(update={"tile_rows": tile_rows}),
        }
    )


def _grown_softmax(arch: ArchConfig, lanes: int) -> Mapping[str, int]:
    """The softmax unit's rates for `lanes` lanes in place of the design's."""
    return {name: -(-getattr(arch.softmax, name) * lanes // arch.pe_array.lanes) for name in SOFTMAX_RATES}
