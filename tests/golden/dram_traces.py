"""The request traces of tests/golden/dram/traces.csv, made anew; the test checks their SHA-256 against that file.

Written from the recipes of the reference data (golden/dram: traces/manifest.tx*.csv), with the random numbers of
SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

import hashlib
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
LOW_64 = GIB * GIB * 16 - 1


class Trace(NamedTuple):
    """`addresses` int64 [n] in bytes, `writes` bool [n], `not_before` int64 [n]."""

    addresses: NDArray[np.int64]
    writes: NDArray[np.bool_]
    not_before: NDArray[np.int64]

    def sha256(self) -> str:
        """Of the trace as CSV with a header."""
        ops = np.where(self.writes, "W", "R").tolist()
        lines = map("{},{},{}\n".format, ops, self.addresses.tolist(), self.not_before.tolist())
        return hashlib.sha256(("op,addr,not_before\n" + "".join(lines)).encode()).hexdigest()


def random_numbers(seed: int) -> Iterator[int]:
    """SplitMix64."""
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) & LOW_64
        mixed = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & LOW_64
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & LOW_64
        yield mixed ^ (mixed >> 31)


def draw(numbers: Iterator[int], population: int, count: int) -> list[int]:
    """`count` of 0 .. population - 1 without repetition, in the order drawn (Fisher and Yates)."""
    pool = list(range(population))
    for at, number in zip(range(count), numbers, strict=False):
        other = at + number % (population - at)
        pool[at], pool[other] = pool[other], pool[at]
    return pool[:count]


def cut(starts: Iterable[int], size: int, tx: int) -> list[int]:
    """Each run of `size` bytes as bursts of `tx`."""
    return [start + at for start in starts for at in range(0, size, tx)]


def reads(addresses: Iterable[int], not_before: Iterable[int] | int = 0) -> Trace:
    """All of them read."""
    where = np.fromiter(addresses, np.int64)
    return Trace(where, np.zeros(len(where), bool), np.broadcast_to(np.array(not_before, np.int64), len(where)))


def gather(
    seed: int, rows: int, vector: int, stride: int, density: float, groups: int, order: str, tx: int
) -> list[int]:
    """Each group reads its own draw of the vectors."""
    numbers, found = random_numbers(seed), []
    for _ in range(groups):
        chosen = draw(numbers, rows, max(1, round(rows * density)))
        found += cut((at * stride for at in (sorted(chosen) if order == "sorted" else chosen)), vector, tx)
    return found


def mixed(reading: list[int], writing: list[int], num_reads: int, num_writes: int) -> Trace:
    """`num_reads` reads and `num_writes` writes in turn while there are any."""
    sources = (iter(reading), iter(writing))
    found: list[tuple[int, bool]] = []
    while len(found) < len(reading) + len(writing):
        for source, count, write in zip(sources, (num_reads, num_writes), (False, True), strict=True):
            found += [(address, write) for address in islice(source, count)]
    addresses, writes = zip(*found, strict=True)
    return Trace(np.array(addresses), np.array(writes), np.zeros(len(found), np.int64))


def micro(*places: tuple[int, int, int, int]) -> list[int]:
    """Bursts at (row, bank group, bank, column) of DDR4 8 Gb x8, order row, bank, bank group, column."""
    return [((((row * 4 + bank) * 4 + group) * 128) + column) * 64 for row, group, bank, column in places]


def streams(tx: int) -> dict[str, Trace]:
    """Runs, strides and single bursts."""
    found = {f"seq_read_{mib}MiB": reads(cut([0], mib * MIB, tx)) for mib in (1, 2, 4, 8, 16)}
    found["seq_write_4MiB"] = mixed([], cut([0], 4 * MIB, tx), 0, 1)
    for stride in (128, 256, 512, KIB, 2 * KIB, 4 * KIB, 8 * KIB, 16 * KIB, 64 * KIB, 128 * KIB):
        found[f"stride_{stride}"] = reads(range(0, 16384 * stride, stride))
    found["random_read_1GiB"] = reads(number % GIB // tx * tx for number in islice(random_numbers(6), 32768))
    return found


def gathers(tx: int) -> dict[str, Trace]:
    """K and V vectors of query groups."""
    found = {}
    for order in ("sorted", "unsorted"):
        for vector in (64, 128):
            for percent in (5, 10):
                name = f"gather_{order}_4096x{vector}_d{percent:02}"
                found[name] = reads(gather(1, 4096, vector, vector, percent / 100, 32, order, tx))
        found[f"gather_{order}_65536x128_d05"] = reads(gather(2, 65536, 128, 128, 0.05, 4, order, tx))
        strided = gather(3, 4096, 128, 4096, 0.1, 16, order, tx)
        found[f"gather_{order}_4096x128_d10_stride4096"] = reads(strided)
        found[f"gather_{order}_4096x256_d10"] = reads(gather(4, 4096, 256, 256, 0.1, 16, order, tx))
    numbers = random_numbers(5)
    blocks = [block * 2 * KIB for _ in range(16) for block in sorted(draw(numbers, 256, 26))]
    found["gather_block16_4096x128_d10"] = reads(cut(blocks, 2 * KIB, tx))
    return found


def mixes(tx: int) -> dict[str, Trace]:
    """Reads and writes."""
    far = 64 * MIB
    tiles = [([tile * 32 * KIB], [far + tile * 16 * KIB]) for tile in range(128)]
    parts = [mixed(cut(r, 32 * KIB, tx), cut(w, 16 * KIB, tx), MIB, MIB) for r, w in tiles]
    numbers = random_numbers(8)
    coin = [(next(numbers) % 2 == 1, next(numbers) % GIB // tx * tx) for _ in range(32768)]
    gathered = gather(7, 65536, 128, 128, 0.05, 4, "sorted", tx)
    return {
        "mix_stream_2R1W": mixed(cut([0], 4 * MIB, tx), cut([far], 2 * MIB, tx), 2, 1),
        "mix_stream_1R1W": mixed(cut([0], 2 * MIB, tx), cut([far], 2 * MIB, tx), 1, 1),
        "mix_tile_16K_2R1W": Trace(*(np.concatenate(column) for column in zip(*parts, strict=True))),
        "mix_gather_write": mixed(gathered, cut([far], 256 * KIB, tx), 8, 1),
        "mix_random_50_50": Trace(
            np.array([address for _, address in coin]),
            np.array([write for write, _ in coin]),
            np.zeros(len(coin), np.int64),
        ),
    }


def probes(tx: int) -> dict[str, Trace]:
    """One read at a time, and loads below saturation."""
    often = np.arange(2000) * 400
    found = {
        "probe_random_idle": reads((n % GIB // tx * tx for n in islice(random_numbers(9), 2000)), often),
        "probe_seq_idle": reads(range(0, 2000 * tx, tx), often),
    }
    numbers = random_numbers(10)
    for gap in (64, 32, 16, 12, 8, 6, 4):
        addresses = [number % GIB // tx * tx for number in islice(numbers, 8192)]
        found[f"load_random_gap{gap}"] = reads(addresses, np.arange(8192) * gap)
    return found


def micros() -> dict[str, Trace]:
    """A few commands each, on DDR4."""
    sixteen = range(16)
    there, back = micro(*((5, 0, 0, c) for c in range(32))), micro(*((5, 0, 0, 64 + c) for c in range(32)))
    return {
        "m01_single_read": reads(micro((5, 0, 0, 0))),
        "m02_row_hit_pair": reads(micro((5, 0, 0, 0), (5, 0, 0, 1))),
        "m03_row_conflict_pair": reads(micro((5, 0, 0, 0), (6, 0, 0, 0))),
        "m04_two_bankgroups": reads(micro((5, 0, 0, 0), (5, 1, 0, 0))),
        "m05_same_bankgroup_banks": reads(micro(*((5, 0, bank, 0) for bank in range(4)))),
        "m06_16banks_bgfirst": reads(micro(*((5, at % 4, at // 4, 0) for at in sixteen))),
        "m07_16banks_bankfirst": reads(micro(*((5, at // 4, at % 4, 0) for at in sixteen))),
        "m08_hits_same_bg": reads(micro(*((5, 0, 0, column) for column in range(64)))),
        "m09_hits_bg_rotate": reads(micro(*((5, at % 4, 0, at // 4) for at in range(64)))),
        "m10_wr_then_rd": _writes_then_reads(there, back),
        "m11_conflict_chain": reads(micro(*((row, 0, 0, 0) for row in range(64)))),
        "m12_conflict_2banks": reads(micro(*((at // 2, at % 2, 0, 0) for at in range(128)))),
        "m13_refresh_probe": reads(micro(*((5, 0, 0, at % 128) for at in range(1000))), np.arange(1000) * 50),
    }


def _writes_then_reads(writing: list[int], reading: list[int]) -> Trace:
    writes = np.repeat([True, False], [len(writing), len(reading)])
    return Trace(np.array(writing + reading), writes, np.zeros(len(writes), np.int64))


@cache
def make_traces(tx: int) -> dict[str, Trace]:
    """All traces of `tx`-byte bursts by name."""
    return streams(tx) | gathers(tx) | mixes(tx) | probes(tx) | (micros() if tx == 64 else {})
