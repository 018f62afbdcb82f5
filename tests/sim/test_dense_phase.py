"""Runs of a whole layer: dense products before and after attention, on small machines that check all laws."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from dsasim.api import simulate
from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.dense_products import job_events
from dsasim.errors import ConfigError, TraceError
from dsasim.mappings.dense_blocks import DenseJob, Span, dense_space
from dsasim.mappings.folds import Traffic
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.store import trace_in_memory

DENSE = ("predictor.method=dense", "pe_array.dataflow=systolic", "mask_generator=null", "scheduler.order=in_order")


def layers_of(
    length: int = 6,
    heads: int = 2,
    kv_heads: int = 1,
    d_head: int = 4,
    d_ff: int | None = 12,
    gated: bool | None = True,
    count: int = 1,
) -> AttentionTrace:
    """Causal self-attention layers of noise; d_model = heads * d_head."""
    random = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return random.standard_normal(shape).astype(np.float32)

    arrays = [
        LayerArrays(
            number,
            noise(heads, length, d_head),
            noise(kv_heads, length, d_head),
            noise(kv_heads, length, d_head),
            noise(length, heads * d_head),
            causal=True,
            scale=0.5,
            d_ff=d_ff,
            gated=gated,
        )
        for number in range(count)
    ]
    return trace_in_memory("layers", arrays, kind="real", dtype="float32")


def run(arch: ArchConfig, trace: AttentionTrace, scope: str) -> MachineResult:
    chosen = {number: range(trace.layer(number).num_heads) for number in trace.layer_numbers}
    return run_machine(arch, trace, chosen, scope=scope)  # type: ignore[arg-type]


def test_a_layer_is_attention_and_four_phases(tiny: Callable[..., ArchConfig]) -> None:
    """6 x 8 inputs: q 8 columns, k and v 4 each; o 8 by 8; up 2 * 12, down 12 by 8."""
    trace = layers_of(count=2)
    result = run(tiny(*DENSE), trace, "layer")
    assert [list(layer.dense_cycles) for layer in result.layers] == [["q, k, v", "o", "up", "down"]] * 2
    assert result.counters["macs_dense"] == 2 * 6 * (8 * 16 + 8 * 8 + 8 * 24 + 12 * 8)
    for layer in result.layers:
        assert layer.cycles == layer.attention_cycles + sum(layer.dense_cycles.values())
        assert min(layer.dense_cycles.values()) > 0
    alone = run(tiny(*DENSE), trace, "attention")
    assert alone.counters["macs_dense"] == 0
    assert [layer.dense_cycles for layer in alone.layers] == [{}, {}]
    assert alone.counters["macs_sddmm"] == result.counters["macs_sddmm"]
    assert alone.cycles == alone.attention_cycles < result.cycles
    # attention finds the memory with other rows open, no more
    assert abs(alone.attention_cycles - result.attention_cycles) < 100


def test_a_model_is_all_its_layers(tiny: Callable[..., ArchConfig]) -> None:
    trace = layers_of(count=2)
    assert run(tiny(*DENSE), trace, "model") == run(tiny(*DENSE), trace, "layer")


@given(
    st.tuples(st.integers(1, 9), st.sampled_from([(1, 1), (2, 1), (4, 2)]), st.sampled_from([2, 4])),
    st.tuples(st.integers(1, 17), st.booleans()),
    st.lists(st.sampled_from([64, 100, 256, 1024]), min_size=3, max_size=3),
    st.sampled_from(["output", "weight", "input"]),
    st.tuples(st.booleans(), st.integers(1, 3), st.sampled_from(["head_contiguous", "token_interleaved"])),
)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_all_laws_hold_for_any_layer(
    tiny: Callable[..., ArchConfig],
    shape: tuple[int, tuple[int, int], int],
    feed_forward: tuple[int, bool],
    sizes: list[int],
    stationary: str,
    rest: tuple[bool, int, str],
) -> None:
    """Blocks of every size, one slot or two, one transfer open or more: the engine checks books, MACs and bytes."""
    length, (heads, kv_heads), d_head = shape
    trace = layers_of(length, heads, kv_heads, d_head, *feed_forward)
    double, transfers, layout = rest
    buffers = [
        setting
        for name, size in zip(("q", "k", "output"), sizes, strict=True)
        for setting in (
            f"buffers.{name}.bytes={size * 2}",
            f"buffers.{name}.double_buffered={str(double).lower()}",
            f"buffers.{name}.num_slots={2 if double else 1}",
        )
    ]
    arch = tiny(
        *DENSE,
        *buffers,
        f"pe_array.stationary={stationary}",
        f"dma.open_transfers={transfers}",
        f"dram.layout={layout}",
    )
    try:
        result = run(arch, trace, "layer")
    except ConfigError:
        reject()
    assert result.cycles == sum(layer.cycles for layer in result.layers)


def test_what_a_job_counts(tiny: Callable[..., ArchConfig]) -> None:
    """The worked example: the second of three jobs along the inner dimension of 2 x 3 by 3 x 4."""
    job = DenseJob(
        "x", Span(0, 2), Span(3, 3), Span(0, 4), 9, 0, Traffic(6, 12, 0), 12, 0, False, False, 0
    )  # fmt: skip
    assert job_events(dense_space(tiny()), job) == {
        "macs_dense": 24,
        "q_buffer_read_bytes": 12,
        "k_buffer_read_bytes": 24,
        "output_buffer_read_bytes": 40,
        "output_buffer_write_bytes": 40,
    }


@pytest.mark.parametrize(
    ("scope", "chosen", "error", "words"),
    [
        ("layer", {"heads": [0]}, ConfigError, "scope layer runs whole layers: leave --heads out"),
        ("model", {"layers": [0]}, ConfigError, "scope model runs all layers of the trace: leave --layers out"),
    ],
)
def test_scopes_are_whole(
    tiny: Callable[..., ArchConfig], scope: str, chosen: dict[str, list[int]], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        simulate(tiny(*DENSE), layers_of(count=2), scope=scope, **chosen)  # type: ignore[arg-type]


def test_a_trace_without_a_feed_forward_part_has_no_layers(tiny: Callable[..., ArchConfig]) -> None:
    with pytest.raises(TraceError, match="has no d_ff or gated"):
        simulate(tiny(*DENSE), layers_of(d_ff=None, gated=None), scope="layer")
    assert simulate(tiny(*DENSE), layers_of(d_ff=None, gated=None)).scope == "attention"


def test_the_baseline_runs_the_same_scope(tiny: Callable[..., ArchConfig]) -> None:
    """A dense design on its own MACs gains nothing, in attention or in the layer."""
    result = simulate(tiny(*DENSE), layers_of(), scope="layer")
    assert result.to_json()["scope"] == "layer"
    assert result.baseline.dense_mapping in ("systolic", "token_parallel")
    assert result.baseline.dense_attention_cycles < result.baseline.dense_cycles <= result.machine.cycles
