"""From a plan and a design to the array's work: vectors in whole cycles and whole port reads."""

from collections.abc import Callable

import numpy as np
import pytest

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.plan import make_plan
from dsasim.dataflow.token_parallel import array_work
from dsasim.predictors.base import KeepMask

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
    work = array_work(arch, ONE_KEY, 1, d_head, arch.buffers.k)
    assert work.cycles.tolist() == [cycles]
    assert work.busy_cycles.tolist() == [[busy, 0]]
    assert work.conflict_cycles.tolist() == [[cycles - busy, 0]]
    assert work.vector_reads == 1
