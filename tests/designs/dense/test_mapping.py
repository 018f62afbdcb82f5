"""The mapping that is found against runs of all that could be."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plugin_files import watched

from dsasim.config.loader import load_arch
from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.estimate import AverageStep, estimate
from dsasim.designs.dense.mapping import TOLERANCE, candidates, find_mapping, layer_mapping, obstacle
from dsasim.designs.dense.room import is_resident, tile_bytes, tile_counts
from dsasim.designs.dense.rules import Mapping, Rules
from dsasim.designs.dense.work import Group, cut, query_tiles, steps
from dsasim.errors import ConfigError
from dsasim.trace.attention import AttentionTrace

Make = Callable[..., DenseConfig]
MakeTrace = Callable[..., AttentionTrace]


SHIPPED = load_arch("dense-flash")


def given_mapping(config: DenseConfig, mapping: Mapping) -> DenseConfig:
    return config.model_copy(update={"mapping": config.mapping.model_copy(update=mapping._asdict())})


def group(heads: int, spans: Sequence[int], d_head: int) -> Group:
    return Group(heads, np.array(spans), np.array(spans), d_head)


def estimated(config: DenseConfig, of: Group, mapping: Mapping, kv_heads: int = 1) -> Any:
    return estimate(config, of, kv_heads, mapping, cut(of, mapping.query_rows, config.array.rows // mapping.sub_arrays))


def test_bytes_of_a_tile(small_config: Make) -> None:
    config, pair = small_config(), group(2, [3, 3], 4)
    wanted = {"q": 32, "k": 24, "v": 24, "score": 24, "output": 112}
    assert tile_bytes(config, pair, Mapping(2, 3)) == wanted
    assert tile_bytes(config, pair, Mapping(2, 3, 2, 2))["output"] == 4 * (8 * 5 + 8)


def test_as_many_tiles_as_fit_but_of_queries_two(small_config: Make) -> None:
    counts = {"q": 2, "k": 8, "v": 8, "score": 4, "output": 9}
    assert tile_counts(small_config(), group(1, [8] * 8, 4), Mapping(8, 8)) == counts


@pytest.mark.parametrize(("keys", "stays"), [(64, True), (65, False)])
def test_keys_stay_if_all_tiles_of_them_fit(small_config: Make, keys: int, stays: bool) -> None:
    """512 bytes of 8 a key."""
    assert is_resident(small_config(), group(1, [keys], 4), Mapping(1, 4)) is stays
    assert not is_resident(small_config("buffers.v.bytes=504"), group(1, [64], 4), Mapping(1, 4))


NEAR = ("clock_ghz=0.1",)
"""A memory that answers within a few core cycles: what the estimate leaves out."""

CASES = [
    ((1, 1, 32, 32, 16, True), NEAR, 1.02),
    ((2, 2, 16, 16, 16, False), NEAR, 1.02),
    ((4, 2, 16, 16, 16, True), NEAR, 1.02),
    ((3, 1, 12, 24, 8, False), NEAR, 1.08),  # 24 keys by 16 and 8 in turn: no step is an average one
    ((1, 1, 48, 48, 32, True), (), 1.02),
    ((4, 1, 1, 64, 16, True), (), 1.02),
    ((2, 2, 1, 64, 16, True), (), 1.02),
]


@pytest.mark.parametrize(("shape", "memory", "most"), CASES)
def test_no_mapping_runs_much_faster(
    small_config: Make, make_trace: MakeTrace, shape: tuple[int, ...], memory: Sequence[str], most: float
) -> None:
    """And each takes about as long as its estimate, which leaves out latencies of the memory."""
    config, trace = small_config(*memory), make_trace(*shape[:5], causal=bool(shape[5]))
    layer = trace.layer(0)
    largest, chosen = layer_mapping(config, layer, range(layer.num_heads))
    kv_heads, cycles = layer.num_kv_heads, {}
    for mapping in candidates(config, largest):
        if not obstacle(config, largest, mapping):
            jobs, result = watched(given_mapping(config, mapping), trace)
            cycles[mapping] = result.cycles
            expected = estimated(config, largest, mapping, kv_heads)
            assert 0.75 * result.cycles < expected.cycles < 1.05 * result.cycles, mapping
            assert expected.steps == len(jobs.cycles["softmax"])
            assert expected.dram_bytes == sum(sum(moved) for moved in jobs.moved.values())
    assert len(cycles) > 5
    assert cycles[chosen] <= most * min(cycles.values())


def test_the_choice_is_the_best_estimate_but_for_the_tolerance(make_config: Make) -> None:
    """Among those as fast nobody moves fewer bytes, and of these nobody reads K and V less often."""
    config = make_config()
    for of in (group(1, range(1, 129), 64), group(3, [512] * 4, 32), group(4, [1000], 64)):
        found = {m: estimated(config, of, m, 2) for m in candidates(config, of) if not obstacle(config, of, m)}
        fast = [m for m in found if found[m].cycles <= (1 + TOLERANCE) * min(each.cycles for each in found.values())]
        chosen = find_mapping(config, of, 2)
        assert chosen in fast
        assert found[chosen].dram_bytes == min(found[m].dram_bytes for m in fast)
        least = [m for m in fast if found[m].dram_bytes == found[chosen].dram_bytes]
        assert chosen.sub_arrays == min(m.sub_arrays for m in least)
        assert find_mapping(config, of, 2) == chosen


@given(
    st.integers(1, 3),
    st.lists(st.integers(0, 50), min_size=1, max_size=30),
    st.sampled_from([(1, 1), (2, 1), (2, 2)]),
    st.integers(1, 30),
    st.integers(1, 50),
)
def test_sums_in_closed_form_are_sums_over_steps(
    heads: int, spans: list[int], parts: tuple[int, int], query_rows: int, keys: int
) -> None:
    """What the estimate's average step is of, against each step by itself."""
    config, of = SHIPPED, group(heads, spans, 24)
    mapping = Mapping(min(query_rows, len(spans)), min(keys, of.num_keys), *parts)
    rules = Rules(config, mapping, 24)
    tiles = list(query_tiles(of, mapping.query_rows, rules.block_rows))
    every = list(steps(tiles, mapping.keys, resident=is_resident(config, of, mapping)))
    moved = sum(step.fetched for step in every) * 2 + 2 * heads * len(spans)
    found = estimated(config, of, mapping)
    assert (found.steps, found.dram_bytes) == (len(every), moved * 24 * 2)
    array = sum(int((rules.score_cycles(step.widths) + rules.output_cycles(step.widths)).sum()) for step in every)
    assert found.cycles > 0.99 * array


def test_chains_of_units_bound_a_step() -> None:
    """Array 5 + 5, 4 to leave. Two steps are S, softmax and O of one; but for first ones O waits for rescaled sums."""
    assert AverageStep(5, 5, 5, 1, 4).busy(10, 2) == 100
    assert AverageStep(5, 5, 5, 11, 4).busy(10, 10) == 110
    assert AverageStep(5, 5, 30, 1, 4).busy(10, 2) == 300
    assert AverageStep(5, 5, 9, 1, 4).busy(10, 2) == 10 * (10 + 4 + 9) / 2
    assert AverageStep(5, 5, 5, 9, 4).busy(10, 2) == 2 * 10 + 8 * (5 + 4 + 9)
    assert AverageStep(5, 5, 9, 1, 4).after_scores() == 4 + 9 + 5 + 4 + 1


def test_whole_steps_and_ragged_ones_are_averaged_apart(small_config: Make) -> None:
    """24 keys by 16 and 8: array 64 + 64 and 32 + 32 of 4 rows, d_head 16; softmax of either is 32 + a cycle a 4 keys.

    The whole step's 128 cycles are its array's; half of 64 + 10 + 42 of the ragged one's are fewer than its 64.
    """
    config, rows = small_config("clock_ghz=0.01"), group(1, [24] * 4, 16)
    found = estimated(config, rows, Mapping(4, 16))
    operands, output = (4 + 16) * 32 / 5120, 4 * 32 / 5120
    end = max(0, 10 + 41 - 32) + 10 + (4 + 16) + output
    assert found.cycles == pytest.approx(operands + 128 + 64 + end)


def test_what_is_given_is_kept_as_far_as_there_is_so_much(make_config: Make) -> None:
    of = group(2, [100] * 50, 64)
    fixed = make_config("mapping.query_rows=7", "mapping.keys=40", "mapping.sub_arrays=2", "mapping.key_splits=2")
    assert find_mapping(fixed, of, 1) == Mapping(7, 40, 2, 2)
    large = make_config("mapping.query_rows=4096", "mapping.keys=4096")
    assert find_mapping(large, of, 1)[:2] == (50, 100)
    assert find_mapping(make_config("mapping.key_splits=4"), of, 1)[2:] == (4, 4)


def test_keys_are_split_where_columns_would_idle(make_config: Make) -> None:
    """One row's outputs of d_head 16 are the columns of one of four sub-arrays; those of d_head 64, of all."""
    assert find_mapping(make_config(), group(1, [4096], 64), 1).key_splits == 1
    assert find_mapping(make_config(), group(1, [4096], 16), 1)[2:] == (4, 4)


def test_what_fits_nowhere_is_said(make_config: Make) -> None:
    of = group(3, [64] * 4, 64)
    with pytest.raises(ConfigError, match=r"buffers\.score\.bytes is 100, but tiles of 1 x 3 rows .* need 2 x 96"):
        find_mapping(make_config("buffers.score.bytes=100"), of, 1)
    with pytest.raises(ConfigError, match=r"buffers\.q\.bytes is 383, but tiles of 1 x 3 rows .* need 1 x 384"):
        find_mapping(make_config("buffers.q.bytes=383"), of, 1)
    assert find_mapping(make_config("buffers.q.bytes=384"), of, 1).query_rows == 1
