"""What waits in a channel: the worked example, and the definitions of hit, miss and wanted command in any state."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from dsasim.kernels import dram_commands as commands
from dsasim.kernels import dram_queue as queue
from dsasim.kernels import dram_timing as timing
from dsasim.kernels.bits import lowest_bit
from dsasim.kernels.dram import MemoryState
from dsasim.kernels.dram_replay import BINS, SCALARS, replay
from dsasim.kernels.dram_timing import ACT, PRE, RD, WR
from dsasim.model.dram_memory import MemoryUse, new_memory
from dsasim.model.dram_preset import load_presets
from dsasim.model.dram_rules import constraints

PRESETS = ("DDR4_2400", "LPDDR5_6400", "GDDR6", "HBM2", "HBM3")


def chain_of(memory: MemoryState, bank: int, write: int) -> list[int]:
    """The slots that wait at a bank, oldest first, read backwards as well."""
    found, at = [], int(memory.banks[bank, timing.FIRST + write])
    while at != timing.NOTHING:
        found.append(at)
        at = int(memory.requests[at, queue.LATER])
    back, at = [], int(memory.banks[bank, timing.LAST + write])
    while at != timing.NOTHING:
        back.append(at)
        at = int(memory.requests[at, queue.EARLIER])
    assert found == back[::-1]
    return found


def wanted_by(memory: MemoryState, bank: int, write: int) -> set[int]:
    """ACT, PRE, RD: what the bits of the bank's unit say."""
    unit, at = divmod(bank, 1 << int(memory.fixed[timing.UNIT_SHIFT]))
    bits = memory.units[unit, timing.WANTED + 3 * write :][:3]
    return {command for command in (ACT, PRE, RD) if bits[command] >> at & 1}


def by_definition(memory: MemoryState, bank: int, write: int) -> tuple[int, int, set[int]]:
    """HIT, MISS and the commands wanted, from the chain and the open row alone."""
    requests, row = memory.requests, memory.banks[bank, timing.OPEN_ROW]
    chain = chain_of(memory, bank, write)
    assert np.all(np.diff(requests[chain, queue.AGE]) > 0)
    hits = [at for at in chain if requests[at, queue.ROW] == row]
    misses = [at for at in chain if requests[at, queue.ROW] != row]
    wanted = {RD} if hits else set()
    if misses and row == timing.CLOSED:
        wanted.add(ACT)
    if misses and row >= 0 and memory.banks[bank, timing.HOLDER] == timing.NOTHING:
        arrived = requests[misses[0], queue.ARRIVED]
        if all(requests[hit, queue.ARRIVED] > arrived for hit in hits):
            wanted.add(PRE)
    return hits[0] if hits else timing.NOTHING, misses[0] if misses else timing.NOTHING, wanted


@settings(deadline=None, max_examples=40)
@given(
    preset=st.sampled_from(PRESETS),
    page=st.sampled_from(["open", "closed"]),
    seed=st.integers(0, 10**6),
    number=st.integers(1, 150),
)
def test_what_is_at_hand_is_what_the_chains_say(preset: str, page: str, seed: int, number: int) -> None:
    """In the middle of a replay: a first part of a trace is offered, so requests still wait."""
    rng = np.random.default_rng(seed)
    memory = new_memory(load_presets()[preset], MemoryUse("mop4", channels=2, page=page))  # type: ignore[arg-type]
    bursts = rng.integers(0, 40, number) * 64 + rng.integers(0, 2, number) * (1 << 16)
    writes = (rng.random(number) < 0.4).astype(np.uint8)
    not_before = np.zeros(number, np.int64)
    scalars, histogram = np.zeros(SCALARS, np.int64), np.zeros(BINS, np.int64)
    replay(memory, scalars, histogram, bursts, writes, not_before, 2, False)
    waiting = np.zeros((2, 2), np.int64)
    per_channel = len(memory.banks) // 2
    for bank in range(len(memory.banks)):
        for write in (0, 1):
            hit, miss, wanted = by_definition(memory, bank, write)
            assert memory.banks[bank, timing.HIT + write] == hit
            assert memory.banks[bank, timing.MISS + write] == miss
            assert wanted_by(memory, bank, write) == wanted
            waiting[bank // per_channel, write] += len(chain_of(memory, bank, write))
    assert memory.channel[:, [commands.WAITING_READS, commands.WAITING_WRITES]].tolist() == waiting.tolist()
    assert memory.written.sum(axis=1).tolist() == waiting[:, 1].tolist()
    slots = len(memory.requests) // 2
    free, at = 0, int(memory.channel[1, commands.FREE])
    while at != timing.NOTHING:
        free, at = free + 1, int(memory.requests[at, queue.LATER])
    activated = int((memory.banks[per_channel:, timing.HOLDER] != timing.NOTHING).sum())
    assert free + activated + waiting[1].sum() == slots


def test_worked_example() -> None:
    """Reads of rows 7, 5, 7 at a bank whose row 7 is open: RD only; once the first is served, RD and PRE."""
    memory = new_memory(load_presets()["DDR4_2400"], MemoryUse("row-bank-bankgroup-rank-column"))
    tables = (memory.fixed, memory.units, memory.banks, memory.requests)
    memory.banks[3, timing.OPEN_ROW] = 7
    for at, row in enumerate((7, 5, 7)):
        memory.requests[at, [queue.BANK, queue.ROW, queue.IS_WRITE, queue.ARRIVED]] = 3, row, 0, at
        queue.append(*tables, at)
    assert (memory.banks[3, timing.HIT], memory.banks[3, timing.MISS]) == (0, 1)
    assert wanted_by(memory, 3, 0) == {RD}
    queue.remove_hit(*tables, 0)
    assert (memory.banks[3, timing.HIT], memory.banks[3, timing.MISS]) == (2, 1)
    assert wanted_by(memory, 3, 0) == {RD, PRE}


@pytest.mark.parametrize("page", ["open", "closed"])
@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("HBM")])
def test_commands_of_two_buses_hold_each_other_back_in_their_own_bank_only(name: str, page: str) -> None:
    """What `dram_channel` relies on when it keeps what it found for the other bus."""
    rows, columns = {ACT, PRE}, {RD, WR}
    for scope, first, then, _ in constraints(load_presets()[name].ticks, {}, closed_page=page == "closed"):
        if {first, then} <= rows | columns and (first in rows) != (then in rows):
            assert scope == timing.IN_BANK


@njit
def _lowest(value: int) -> int:
    return int(lowest_bit(value))


@pytest.mark.parametrize(("value", "bit"), [(1, 0), (0b1010, 1), (1 << 62, 62), (-(1 << 63), 63)])
def test_lowest_bit(value: int, bit: int) -> None:
    assert _lowest(value) == bit
