"""The replay of a request trace against the slow twin driven by the same injection rule, in parts cut anywhere."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from twin_dram import SlowDram

from dsasim.model.dram_memory import MemoryUse
from dsasim.model.dram_preset import load_presets
from dsasim.model.dram_replay import ReplayResult, replay_trace
from dsasim.trace.requests import Requests

OFTEN = {"nREFI": 400, "nRFC": 60}
Request = tuple[bool, int, int]
"""Is write, burst, not before."""


def by_twin(name: str, use: MemoryUse, requests: list[Request], per_cycle: int) -> dict[str, Any]:
    """Offer up to `per_cycle` requests before each edge's successor, in order, until one is refused."""
    twin, accepted, edge, upcoming = SlowDram(name, use, timing=OFTEN), {}, 0, 0
    while upcoming < len(requests) or twin.busy:
        if edge > 0:  # the first requests are offered before anything is issued
            twin.issue(edge)
        for _ in range(per_cycle):
            if upcoming == len(requests) or requests[upcoming][2] > edge:
                break
            write, burst, _ = requests[upcoming]
            twin.unissued[upcoming] += 1
            if not twin.offer(burst, write, upcoming, edge):
                twin.unissued[upcoming] -= 1
                break
            accepted[upcoming] = edge
            upcoming += 1
        edge += 1
    reads = {number: twin.ends[number] for number, (write, *_) in enumerate(requests) if not write}
    bins = Counter(1 << (end - accepted[number]).bit_length() - 1 for number, end in reads.items())
    drained = max([0, *reads.values(), *(end for _, end, _ in twin.on_bus)])
    return {
        "last_read": max(reads.values(), default=0),
        "drained": drained,
        "active": twin.open_edges.total() + max(0, drained - edge) * len(twin.open_channels),
        "latency": sum(end - accepted[number] for number, end in reads.items()),
        "histogram": sorted(bins.items()),
        "counts": [twin.counts[name] for name in ("hits", "misses", "conflicts", "ACT", "RD", "WR", "REF")],
    }


def in_words(found: ReplayResult) -> dict[str, Any]:
    counts = (found.row_hits, found.row_misses, found.row_conflicts, *(found.commands[n] for n in ("act", "rd", "wr")))
    return {
        "last_read": found.cycles_last_read,
        "drained": found.cycles_drained,
        "active": sum(channel["active_cycles"] for channel in found.channels),
        "latency": round(found.avg_read_latency_cycles * found.reads),
        "histogram": found.latency_histogram,
        "counts": [*counts, found.commands["ref"]],
    }


REQUESTS = st.lists(
    st.tuples(
        st.sampled_from([False, False, True]),
        st.one_of(st.integers(0, 40), st.sampled_from([2048 * row + at for row in range(4) for at in range(3)])),
        st.sampled_from([0, 0, 0, 50, 400, 2500]),
    ),
    max_size=120,
)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(["DDR4_2400", "LPDDR5_6400", "HBM2", "HBM3"]),
    mapping=st.sampled_from(["row-bank-bankgroup-rank-column", "row-column-bank-bankgroup-rank-channel", "mop4"]),
    channels=st.sampled_from([1, 2, 4]),
    refresh=st.booleans(),
    requests=REQUESTS,
    per_cycle=st.sampled_from([1, 2, 5, 64]),
    cuts=st.lists(st.integers(0, 120), max_size=3),
)
def test_replay_equals_its_twin_wherever_the_trace_is_cut(
    name: str, mapping: str, channels: int, refresh: bool, requests: list[Request], per_cycle: int, cuts: list[int]
) -> None:
    preset = load_presets()[name]
    preset = replace(preset, timing_cycles=preset.timing_cycles | OFTEN)
    use = MemoryUse(mapping, channels, refresh=refresh)
    columns = [np.array(column, np.int64) for column in zip(*requests, strict=True)] or [np.empty(0, np.int64)] * 3
    bounds = [0, *sorted(min(cut, len(requests)) for cut in cuts), len(requests)]
    parts = [
        Requests(columns[1][a:b], columns[0][a:b].astype(np.uint8), columns[2][a:b], 1.0) for a, b in pairwise(bounds)
    ]
    assert in_words(replay_trace(preset, use, parts, per_cycle)) == by_twin(name, use, requests, per_cycle)


def test_what_waits_at_the_first_edge_is_read_first() -> None:
    """DDR4-2400R, eight writes and then a read, all at edge 0: the first tick is at 1 and begins in read mode.

    The read's ACT at 1, RD at 1 + 16, data until 17 + 16 + 4; a tick at 0, with no reads, would have begun write mode.
    """
    bursts = np.arange(9, dtype=np.int64)
    part = Requests(bursts, (bursts < 8).astype(np.uint8), np.zeros(9, np.int64), 1.0)
    use = MemoryUse("row-column-bank-bankgroup-rank")
    assert replay_trace(load_presets()["DDR4_2400"], use, [part], per_cycle=9).cycles_last_read == 37
