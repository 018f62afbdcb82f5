"""How near the shipped machine comes to its bounds, that it beats the older dense machines, and laws of any shape."""

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapes import zeros

from dsasim.api import simulate
from dsasim.config.loader import load_arch
from dsasim.designs.dense.config import DenseConfig
from dsasim.sim.efficiency import dense_efficiency_ratio
from dsasim.sim.engine import run_machine
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.find import find_trace
from dsasim.trace.store import open_trace

Make = Callable[..., DenseConfig]
MakeTrace = Callable[..., AttentionTrace]


def all_heads(trace: AttentionTrace) -> dict[int, range]:
    return {layer.number: range(layer.num_heads) for layer in trace}


def efficiency(config: DenseConfig, trace: AttentionTrace) -> float:
    cycles = run_machine(config, trace, all_heads(trace)).cycles
    return dense_efficiency_ratio(config, trace, all_heads(trace), cycles)


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize(("length", "least"), [(512, 0.95), (1024, 0.97), (4096, 0.99), (8192, 0.99)])
def test_prefill(make_config: Make, make_trace: MakeTrace, length: int, least: float, causal: bool) -> None:
    assert efficiency(make_config(), make_trace(1, 1, length, length, 64, causal=causal)) > least


def test_prefill_of_16384_tokens(make_config: Make, make_trace: MakeTrace) -> None:
    assert efficiency(make_config(), make_trace(1, 1, 16384, 16384, 64, causal=True)) > 0.99


@pytest.mark.parametrize(("heads", "kv_heads"), [(1, 1), (4, 1), (9, 3), (8, 1), (16, 1), (32, 8)])
def test_decode(make_config: Make, make_trace: MakeTrace, heads: int, kv_heads: int) -> None:
    assert efficiency(make_config(), make_trace(heads, kv_heads, 1, 4096, 64, causal=True)) > 0.91


def test_keys_and_values_are_read_once_in_decode(make_config: Make, make_trace: MakeTrace) -> None:
    trace = make_trace(9, 3, 1, 4096, 64, causal=True)
    counters = run_machine(make_config(), trace, all_heads(trace)).counters
    assert counters["k_buffer_write_bytes"] == counters["v_buffer_write_bytes"] == 3 * 4096 * 128
    assert counters["dram_read_bytes"] == 2 * 3 * 4096 * 128 + 9 * 128


@pytest.mark.parametrize(
    "shape",
    [
        (2, 2, 512, 512, 64, True),
        (2, 2, 512, 512, 64, False),
        (6, 2, 512, 512, 64, True),
        (4, 4, 128, 128, 32, False),
        (2, 1, 1, 512, 64, True),
    ],
)
@pytest.mark.parametrize("dataflow", ["systolic", "token_parallel"])
def test_no_slower_than_whole_rows_of_scores(
    make_config: Make, make_trace: MakeTrace, shape: tuple[int, ...], dataflow: str
) -> None:
    trace = make_trace(*shape[:5], causal=bool(shape[5]))
    whole_rows = run_machine(load_arch("dense-16x16", [f"pe_array.dataflow={dataflow}"]), trace, all_heads(trace))
    assert run_machine(make_config(), trace, all_heads(trace)).cycles < whole_rows.cycles


def test_it_has_the_resources_of_dsa_decoupled(make_config: Make) -> None:
    dense, sparse = make_config(), load_arch("dsa-decoupled")
    assert dense.macs == sparse.macs
    assert sum(buffer.bytes for _, buffer in dense.buffers) == sum(buffer.bytes for _, buffer in sparse.buffers)
    for name in ("clock_ghz", "technology_nm", "dma", "dram", "cost"):
        assert getattr(dense, name) == getattr(sparse, name)
    assert dense.array.bits == sparse.pe_array.bits
    assert dense.softmax.exp_per_cycle == sparse.softmax.exp_per_cycle


@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40), st.integers(0, 40), st.integers(1, 24)),
    st.booleans(),
    st.sampled_from([1, 2, 4]),
    st.sampled_from([1, 2, 4]),
)
@settings(max_examples=40, deadline=None)
def test_laws_hold_for_any_shape(
    shape: tuple[int, int, int, int, int], causal: bool, sub_arrays: int, layers: int
) -> None:
    """MACs are twice the allowed positions times d_head, tensors cross the bus, and the bounds are bounds."""
    kv_heads, shared, L_q, more, d_head = shape
    trace = zeros(kv_heads * shared, kv_heads, L_q, L_q + more, d_head, causal=causal, layers=layers)
    config = load_arch("dense-flash", [f"mapping.sub_arrays={sub_arrays}"])
    result = run_machine(config, trace, all_heads(trace))
    assert all(result.invariants.values())
    positions = layers * kv_heads * shared * int(next(iter(trace)).allowed_counts.sum())
    assert result.counters["macs_sddmm"] == result.counters["macs_spmm"] == positions * d_head
    assert result.counters["q_buffer_write_bytes"] == layers * kv_heads * shared * L_q * d_head * 2
    assert 0 < dense_efficiency_ratio(config, trace, all_heads(trace), result.cycles) < 1


def test_a_shipped_trace_through_the_door(make_config: Make) -> None:
    """Masks are whole, quality is that of no approximation, and nothing is compared with itself."""
    result = simulate(make_config(), open_trace(find_trace("minilm-l128")), layers=[0], heads=[0, 5])
    assert result.quality is not None
    assert result.quality.density == 1
    assert result.quality.ours.captured_mass_ratio == pytest.approx(1)
    assert result.baseline is None
    assert result.cost.energy_pj["rescaler"] > 0
