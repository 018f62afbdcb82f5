"""From a plan and a design to the array's work: vectors in whole cycles and whole port reads."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.dataflows.plan import make_plan
from dsasim.dataflows.token_parallel import array_work, vector_timing
from dsasim.masks import KeepMask

ONE_KEY = make_plan(KeepMask.from_dense(np.ones((1, 1), np.bool_)), "in_order", 1)


@pytest.mark.parametrize(
    ("d_head", "macs", "port_bytes", "busy", "cycles"),
    [
        (64, 16, 32, 4, 4),  # 4 cycles of 16 MACs; 128 bytes in 4 reads of 32
        (65, 16, 33, 5, 5),  # one element more is one cycle more
        (64, 16, 31, 4, 5),  # one byte less a port is one read more
        (64, 64, 128, 1, 1),
        (64, 64, 127, 1, 2),
    ],
)
def test_cycles_of_one_vector(
    make_arch: Callable[..., ArchConfig], d_head: int, macs: int, port_bytes: int, busy: int, cycles: int
) -> None:
    arch = make_arch(
        "pe_array.lanes=2", f"pe_array.macs_per_row={macs}", "pe_array.bits=16", f"buffers.k.port_bytes={port_bytes}"
    )
    work = array_work(arch.pe_array, ONE_KEY, 1, vector_timing(arch, d_head, arch.buffers.k))
    assert work.cycles.tolist() == [cycles]
    assert work.busy_cycles.tolist() == [[busy, 0]]
    assert work.conflict_cycles.tolist() == [[cycles - busy, 0]]
    assert work.vector_reads == 1


def test_lanes_on_their_own_do_not_wait_for_each_other(make_arch: Callable[..., ArchConfig]) -> None:
    """Two lanes of one row, two banks, vectors of 2 cycles: the worked example of kernels.array_independent."""
    keep = KeepMask.from_dense(np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.bool_))
    plan = make_plan(keep, "in_order", 1)
    cycles = {}
    for sync in ("lock_step", "independent"):
        arch = make_arch(
            f"pe_array.lane_sync={sync}",
            "pe_array.lanes=2",
            "pe_array.macs_per_row=32",
            "scheduler.token_parallelism=1",
            "buffers.k.banks=2",
        )
        cycles[sync] = array_work(arch.pe_array, plan, 2, vector_timing(arch, 64, arch.buffers.k)).cycles.tolist()
    assert cycles == {"lock_step": [8], "independent": [6]}


@pytest.mark.parametrize("v_banks", [32, 1])
def test_each_product_takes_the_time_of_its_own_buffer(make_arch: Callable[..., ArchConfig], v_banks: int) -> None:
    """Four keys in one step: 32 banks hide the reads, one bank shows 8 cycles; K keeps its 32 banks."""
    arch = make_arch("buffers.k.banks=32", f"buffers.v.banks={v_banks}")
    plan = make_plan(KeepMask.from_dense(np.eye(4, dtype=np.bool_)), "in_order", 4)
    assert array_work(arch.pe_array, plan, 1, vector_timing(arch, 64, arch.buffers.k)).cycles.tolist() == [4]
    assert array_work(arch.pe_array, plan, 1, vector_timing(arch, 64, arch.buffers.v)).cycles.tolist() == (
        [4] if v_banks == 32 else [8]
    )
