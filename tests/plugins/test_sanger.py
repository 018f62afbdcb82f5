"""Sanger: masks against a few lines of NumPy, a tiny case by hand, and its dense rival."""

from collections.abc import Callable
from math import ceil

import numpy as np
import pytest
from plugin_files import watched, yaml_of

from dsasim.config.loader import load_arch
from dsasim.cost.model import estimate_cost
from dsasim.silicon.operations import multiply_accumulate
from dsasim.sim.engine import design_of
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

TINY = (
    "sanger.threshold=0.1",
    "sanger.low_rows=4",
    "sanger.low_columns=4",
    "sanger.rows=2",
    "sanger.width=2",
    "sanger.ports=4",
    "sanger.tile_rows=4",
)


@pytest.fixture(autouse=True)
def known(by_file: Callable[..., None]) -> None:
    by_file("sanger")


@pytest.mark.parametrize(("name", "head"), [("minilm-l128", 3), ("smollm2-l512", 4)])
def test_masks_are_softmax_weights_above_the_threshold(name: str, head: int) -> None:
    layer = next(iter(open_trace(find_trace(name))))
    q, k = layer.q(head).astype(float), layer.k(layer.kv_head(head)).astype(float)
    q_length, k_length = np.linalg.norm(q, axis=1)[:, None], np.linalg.norm(k, axis=1)[:, None]
    q_scale, k_scale = np.abs(q / q_length).max() / 7, np.abs(k / k_length).max() / 7
    codes = np.rint(q / q_length / q_scale), np.rint(k / k_length / k_scale)
    scores = codes[0] @ codes[1].T * q_scale * k_scale * q_length * k_length.T * layer.scale
    weights = np.exp(np.where(layer.allowed(), scores, -np.inf))
    share = weights / weights.sum(axis=1, keepdims=True)
    found = design_of(load_arch(yaml_of("sanger"))).mask(layer, head).to_dense()
    sure = np.abs(share - 0.02) > 1e-6  # elsewhere float32 lengths decide
    assert sure.mean() > 0.999
    assert np.array_equal(found[sure], (share > 0.02)[sure])


def test_one_tile_by_hand(small: Callable[..., AttentionTrace]) -> None:
    """All 8 weights are 1/8 and kept; 8 tokens by 4 numbers, tiles of 4 rows.

    S~: two folds of 4 on 4 x 4 PEs, 4 + 4 + 2 * 4 + 4 - 2 = 18 cycles. Packing: two passes over 4 rows of 2 groups, 16.
    A row keeps 4 keys of each group, two sub-rows: 8 sub-rows a group, 4 batches; 8 batches of 4 + 2 + 4 cycles and
    2 + 2 - 2 to the end, 82.
    """
    jobs, result = watched(load_arch(yaml_of("sanger"), TINY), small())
    assert jobs.cycles["low_array"] == [18] * 4
    assert jobs.cycles["packer"] == [16] * 4
    assert jobs.cycles["sparse_array"] == [82] * 4
    low = 2 + 2  # codes of 4 numbers, and a length
    assert jobs.moved["dma_predictor"] == [8 * low, *[4 * low] * 4]
    assert jobs.moved["dma_k"] == jobs.moved["dma_v"] == [8 * 8]
    counters = result.counters
    assert counters["macs_sddmm"] == counters["macs_spmm"] == 2 * 64 * 4
    assert counters["exponentials"] == 2 * 64
    assert counters["weights_compared"] == 2 * 64
    assert counters["k_buffer_read_bytes"] == 4 * 8 * 4 * 8  # tiles, batches, keys of a group, bytes
    assert counters["q_buffer_read_bytes"] == 4 * 16 * 8  # tiles, sub-rows, bytes
    assert counters["mask_buffer_write_bytes"] == counters["mask_buffer_read_bytes"] == 4 * 16 * 1
    assert counters["output_buffer_read_bytes"] == 4 * 4 * 8 + 4 * (16 - 4) * 4 * 5  # to memory, and sums again
    assert [head.plan_steps for head in result.layers[0].heads] == [16, 16]
    assert [head.k_loads for head in result.layers[0].heads] == [64, 64]


def test_the_docstring_s_batch(small: Callable[..., AttentionTrace]) -> None:
    """64 sub-rows of one group on 64 x 16 PEs, d_head 64: 222 cycles."""
    arch = load_arch(yaml_of("sanger"), ["sanger.threshold=0.05"])
    jobs, _ = watched(arch, small(L=16, d_head=64))
    assert jobs.cycles["sparse_array"] == [64 + 16 + 64 + 64 + 16 - 2] * 2


def test_batches_are_counted_group_by_group(small: Callable[..., AttentionTrace]) -> None:
    layer = small(causal=True, seed=3).layer(0)
    arch = load_arch(yaml_of("sanger"), TINY)
    keep = design_of(arch).mask(layer, 0).to_dense()
    assert not keep[0, 1:].any()
    assert 0 < keep.sum() < 36
    jobs, _ = watched(arch, small(causal=True, seed=3))
    for tile in range(2):
        rows = keep[4 * tile : 4 * tile + 4].reshape(4, 2, 4).sum(axis=2)
        batches = sum(ceil(sum(ceil(count / 2) for count in group) / 2) for group in rows.T.tolist())
        assert jobs.cycles["sparse_array"][tile] == batches * 10 + 2


def test_keys_stay_until_the_last_head_that_wants_them(small: Callable[..., AttentionTrace]) -> None:
    one_slot = [f"buffers.{name}.{key}" for name in ("k", "v") for key in ("double_buffered=false", "num_slots=null")]
    jobs, _ = watched(load_arch(yaml_of("sanger"), [*TINY, *one_slot]), small())
    assert len(jobs.moved["dma_k"]) == 1
    assert len(jobs.moved["dma_output"]) == 4


def test_a_batch_is_each_sequence_alone_one_after_the_other(small: Callable[..., AttentionTrace]) -> None:
    """Masks, jobs and transfers of 8 and of 12 tokens; each job says which sequence it is for."""
    arch = load_arch(yaml_of("sanger"), TINY)
    jobs, result = watched(arch, small(causal=True, seed=3, others=[(12, 4)]))
    parts = [watched(arch, small(causal=True, seed=3)), watched(arch, small(causal=True, L=12, seed=4))]
    for unit in ("low_array", "packer", "sparse_array"):
        assert jobs.cycles[unit] == [*parts[0][0].cycles[unit], *parts[1][0].cycles[unit]]
        assert {job.place.sequence for job in jobs.done[unit]} == {0, 1}
    assert jobs.moved["dma_k"] == [*parts[0][0].moved["dma_k"], *parts[1][0].moved["dma_k"]]
    assert [layer.sequence for layer in result.layers] == [0, 1]
    for layer, (_, alone) in zip(result.layers, parts, strict=True):
        assert [head.nnz for head in layer.heads] == [head.nnz for head in alone.layers[0].heads]


def test_the_rival_is_dense_with_as_many_macs() -> None:
    arch = load_arch(yaml_of("sanger"))
    design = design_of(arch)
    rival = design.rival()
    assert rival is not None
    assert rival.macs == design.macs().array == 1024
    assert (rival.predictor.method, rival.clock_ghz, rival.dram) == ("dense", arch.clock_ghz, arch.dram)
    assert (design.macs().predictor, design.macs().predictor_bits) == (4096, 4)
    odd = design_of(load_arch(yaml_of("sanger"), ["sanger.rows=6", "sanger.tile_rows=7"])).rival()
    assert (odd.macs, odd.scheduler.token_parallelism, odd.scheduler.tile_rows) == (96, 2, 8)


def test_area_and_energy_are_those_of_the_parts() -> None:
    arch = load_arch(yaml_of("sanger"))
    low = multiply_accumulate(4, 24, 65)
    assert estimate_cost(arch).area_mm2["low_array"] == pytest.approx(3 * 4096 * low.area_mm2)
    (unit, *_) = design_of(arch).units()
    assert unit.silicon.energy_pj == {"macs_predictor": pytest.approx(3 * low.energy_pj)}
