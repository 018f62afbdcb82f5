"""Every command of Ramulator 2.1 on thirteen micro traces, at its cycle (provenance: tests/golden/dram/README.md)."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest
from simpy import Environment

from dsasim.config.loader import load_arch
from dsasim.kernels import dram as kernel
from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_queue as queue
from dsasim.kernels import dram_timing as timing
from dsasim.machine.transfer import Transfer
from dsasim.model.dram import Dram

GOLDEN = Path(__file__).parent / "dram"
TRACES = sorted(path.stem for path in (GOLDEN / "commands").glob("*.csv"))
NAMES = {timing.ACT: "ACT", timing.PRE: "PREpb", timing.RD: "RD", timing.WR: "WR"}
AS_RAMULATOR = (
    "clock_ghz=1",
    "dram.preset=DDR4_2400",
    "dram.channels=1",
    "dram.refresh=false",
    "dram.mapping=row-bank-bankgroup-column-channel",
    "dma.open_transfers=64",
    "dma.outstanding_bursts=4096",
)
"""One stream that is never limited, so that only the controller's queues hold requests back."""


def rows_of(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file, gzipped or not."""
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return list(csv.DictReader(text.decode().splitlines()))


def replay(requests: list[dict[str, str]]) -> tuple[Dram, list[int]]:
    """Post the requests in order, each not before its cycle; the end cycle of each."""
    dram = Dram(
        Environment(), load_arch("dsa-decoupled", AS_RAMULATOR), num_streams=1, log_commands=10 * len(requests) + 1
    )
    room = np.zeros((1, len(requests), kernel.TRANSFER_FIELDS), np.int64)
    dram.state = dram.state._replace(transfers=room, runs=np.zeros((len(requests), 1, 2), np.int64))
    finished = np.empty((len(requests), 2), np.int64)
    ends: list[int] = []

    def advance_to(last: int) -> None:
        remaining = 1
        while remaining and int(dram.state.scalars[kernel.CYCLE]) < last:
            first = int(dram.state.scalars[kernel.CYCLE])
            completions, remaining = kernel.advance(dram.memory, dram.state, first, last, finished)
            ends.extend(finished[:completions, 1].tolist())

    for request in requests:
        advance_to(int(request["not_before"]))
        kernel.catch_up(dram.memory, dram.state, int(request["not_before"]))
        dram._enqueue(0, Transfer.run(request["op"] == "W", int(request["addr"]), 64))
    advance_to(queue.NEVER)
    return dram, ends


@pytest.mark.parametrize("name", TRACES)
def test_commands_and_totals(name: str) -> None:
    dram, ends = replay(rows_of(GOLDEN / "requests" / f"{name}.csv.gz"))
    log = dram.memory.log[1 : dram.memory.log[0, 0] + 1].tolist()
    found = [(cycle, NAMES[command], bank // 4, bank % 4) for cycle, command, bank, _ in log]
    rows = [row for _, command, _, row in log if command != timing.PRE]
    golden = rows_of(GOLDEN / "commands" / f"{name}.csv")
    assert found == [(int(g["clock"]), g["command"], int(g["BankGroup"]), int(g["Bank"])) for g in golden]
    assert rows == [int(g["Row"]) for g in golden if g["command"] != "PREpb"]
    totals = {total["trace"]: total for total in rows_of(GOLDEN / "totals.csv")}[name]
    assert max(ends) == int(totals["cycles_drained"])
    counts = dram.counts[0]
    assert counts[controller.HITS] == int(totals["row_hits"])
    assert counts[controller.MISSES] == int(totals["row_misses"])
    assert counts[controller.CONFLICTS] == int(totals["row_conflicts"])


def test_all_thirteen_are_here() -> None:
    assert [name[:3] for name in TRACES] == [f"m{number:02d}" for number in range(1, 14)]
