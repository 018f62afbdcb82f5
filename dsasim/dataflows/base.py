"""What a dataflow is: the plan of some rows as work of the array and traffic of keys, job by job."""

from collections.abc import Hashable
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dsasim import registry
from dsasim.config.schema import ArchConfig, PEArrayConfig
from dsasim.dataflows.key_blocks import KeyBlocks
from dsasim.dataflows.plan import Plan, make_plan
from dsasim.masks import KeepMask


class ArrayWork(NamedTuple):
    """Time and reads of one product (SDDMM or SpMM) of a head; a job is a tile, or a key block of one.

    A lane that is neither busy nor in conflict waits for other lanes (imbalance).
    """

    cycles: NDArray[np.int64]  # [jobs]
    busy_cycles: NDArray[np.int64]  # [jobs, lanes]
    conflict_cycles: NDArray[np.int64]  # [jobs, lanes]
    vector_reads: NDArray[np.int64]  # [jobs]
    """K or V vectors read from the buffer; one that several lanes want in a step is read once if they step together."""
    rereads: NDArray[np.int64]  # [jobs]
    """Elements of Q or P read beyond once each: a systolic array streams them again for every column fold."""
    partial_sums: NDArray[np.int64]  # [jobs]
    """Sums that leave the array unfinished and return to it from the output's buffer."""


class Rows(NamedTuple):
    """Some rows of a head group: their plan, how far along the keys each may look, and how they are cut into tiles."""

    plan: Plan
    row_spans: NDArray[np.int64]  # [rows of a head]
    tile_rows: int
    groups_per_tile: int
    d_head: int


class Dataflow:
    """Base of all dataflows."""

    summary: ClassVar[str] = ""
    """One line for `dsasim list dataflows`."""

    dense_only: ClassVar[bool] = False
    """Whether it computes every position, whatever a mask keeps."""

    lock_step: ClassVar[bool] = False
    """Whether all lanes move together over the groups of a tile."""

    order: ClassVar[str | None] = None
    """The only `scheduler.order` that goes with it, if there is one."""

    Settings: ClassVar[type[PEArrayConfig]] = PEArrayConfig
    """The section `pe_array` of a design that uses it."""

    def plan(self, arch: ArchConfig, keep: KeepMask, group_rows: int) -> Plan:
        """The array's steps for some rows in groups: which keys are loaded when, for which rows of the group."""
        return make_plan(keep, arch.scheduler.order, group_rows)

    def step_rows(self, arch: ArchConfig) -> int:
        """Rows of PEs that a step of the plan has: those that none of its loads serves are idle in it."""
        return arch.scheduler.token_parallelism

    def planned_alike(self, arch: ArchConfig) -> Hashable:
        """All of a design that its plans depend on: `scheduler.order`, or more where a dataflow plans for itself."""
        if type(self).plan is Dataflow.plan:
            return arch.scheduler.order
        return arch.scheduler.model_dump_json(), arch.pe_array.model_dump_json()

    def key_blocks(self, rows: Rows, capacity: int) -> KeyBlocks:
        """Each tile cut until the keys of a block fit a cache of `capacity` vectors."""
        raise NotImplementedError

    def products(
        self, arch: ArchConfig, rows: Rows, k: KeyBlocks | None, v: KeyBlocks | None
    ) -> tuple[ArrayWork, ArrayWork]:
        """SDDMM and SpMM: a job a tile, or one for each of the key blocks that K (V) is fetched in."""
        raise NotImplementedError


def dataflow_of(arch: ArchConfig) -> Dataflow:
    """The dataflow of a design's array."""
    dataflow: Dataflow = registry.find("dataflows", arch.pe_array.dataflow)()
    return dataflow
