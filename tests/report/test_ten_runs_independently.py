"""Figures of the ten runs that no one line gives: a twin counts every cycle and command, and plain sums price them."""

import numpy as np
import pytest
from prices import Prices
from ten_runs import CASES, Run, expected_quality, highest, positions, run, scores
from twin.run import run_twin

from dsasim.baseline.dense import dense_arch, lane_split
from dsasim.quality.references import random_mask, sink_window_mask


@pytest.fixture(params=CASES)
def one(request: pytest.FixtureRequest) -> Run:
    """Each of the runs."""
    return run(request.param)


def everything(one: Run) -> dict[int, list[int]]:
    """All heads of all layers."""
    return {layer.number: list(range(layer.num_heads)) for layer in one.trace}


def test_the_twin_counts_the_same(one: Run) -> None:
    twin, document = run_twin(one.result.arch, one.trace, everything(one), one.case.scope), one.document
    assert twin.cycles == document["cycles"]
    for unit, books in twin.books.items():
        said = document["units"][unit]
        owners = {"busy": said["busy_cycles"]} | said["stall_cycles"]
        assert {owner: cycles for owner, cycles in owners.items() if cycles} == books, unit
    assert {name: document["counters"][name] for name in twin.counts} == twin.counts
    assert document["dram_channels"] == twin.channels
    ended = [cycles for layer in document["layers"] for cycles in layer["dense_cycles"].values()]
    ended += [head["cycles"] for layer in document["layers"] for head in layer["heads"]]
    assert sorted(ended) == sorted(cycles for work in twin.heads for cycles in work)


def test_the_twin_counts_the_rival_too(one: Run) -> None:
    arch, baseline, heads = one.result.arch, one.document["baseline"], everything(one)
    dense = dense_arch(arch, baseline["dense_mapping"], lane_split(arch, one.trace, heads))
    assert run_twin(dense, one.trace, heads, one.case.scope).cycles == baseline["dense_cycles"]


def test_energy_is_counters_times_tables(one: Run) -> None:
    found = Prices(one.document["arch"]).energies(one.document["counters"], one.document["cycles"])
    assert found == pytest.approx(one.document["energy_pj"], rel=1e-9)


@pytest.mark.parametrize("name", [name for name in CASES if name != "masks only"])
def test_quality_of_the_other_masks(name: str) -> None:
    """Of as many keys in every row: the masks are those of `quality.references`, whose tests have twins of them."""
    one = run(name)
    keeps: dict[str, list[np.ndarray]] = {"oracle": [], "random": [], "sink_window": []}
    for each, keep in zip(one.case.layers, one.keep, strict=True):
        allowed, counts, (L_q, L_k) = positions(each), keep.sum(axis=2), keep.shape[1:]
        drawn = [random_mask(allowed, row, (each.number, head)) for head, row in enumerate(counts)]
        near = [sink_window_mask(allowed, row, L_k - L_q) for row in counts]
        keeps["oracle"].append(highest(scores(each), counts))
        keeps["random"].append(np.stack([mask.to_dense() for mask in drawn]))
        keeps["sink_window"].append(np.stack([mask.to_dense() for mask in near]))
    for mask, found in keeps.items():
        expected = expected_quality(one.case.layers, found)
        assert one.document["quality"][mask] == pytest.approx(expected, rel=1e-4, abs=1e-6), mask
