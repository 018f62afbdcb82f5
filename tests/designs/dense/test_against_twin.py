"""Random layers on random machines: the engine and its cycle-stepped twin agree on every cycle of every unit."""

from collections.abc import Callable
from random import Random

import pytest
from machine_twin import Twin
from recorded_program import recorded

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.design import DenseMachine
from dsasim.designs.dense.mapping import layer_mapping
from dsasim.designs.dense.room import tile_bytes
from dsasim.trace.attention import AttentionTrace

Make = Callable[..., DenseConfig]
MakeTrace = Callable[..., AttentionTrace]


def random_layer(rng: Random, make_trace: MakeTrace) -> AttentionTrace:
    kv_heads, shared, d_head = rng.randint(1, 2), rng.randint(1, 3), rng.choice([1, 4, 6])
    L_q, causal = rng.choice([1, 2, 5, 9]), rng.random() < 0.5
    L_k = rng.choice([L_q, rng.randint(1, 12)])
    return make_trace(
        kv_heads * shared, kv_heads, L_q, L_k, d_head, causal=causal and L_k >= L_q, layers=rng.randint(1, 2)
    )


def random_config(rng: Random, make: Make, trace: AttentionTrace) -> DenseConfig:
    """A mapping at random, in buffers that hold what they must and a little more at most."""
    parts = rng.choice([1, 2])
    chosen = {
        "mapping.query_rows": rng.randint(1, 6),
        "mapping.keys": rng.randint(1, 6),
        "mapping.sub_arrays": parts,
        "mapping.key_splits": rng.choice([1, parts]),
        "softmax.pipeline_depth_cycles": rng.choice([0, 3]),
        "rescaler.pipeline_depth_cycles": rng.choice([0, 2]),
        "dma.open_transfers": rng.randint(1, 3),
        "array.columns": rng.choice([2, 4]),
        "buffers.k.banks": rng.choice([1, 4]),
        "buffers.k.port_bytes": rng.choice([4, 32]),
    }
    layer = next(iter(trace))
    roomy = make(*(f"{key}={value}" for key, value in chosen.items()))
    group, mapping = layer_mapping(roomy, layer, range(layer.num_heads))
    for name, least in {"q": 1, "k": 2, "v": 2, "score": 2, "output": 1}.items():
        chosen[f"buffers.{name}.bytes"] = tile_bytes(roomy, group, mapping)[name] * (least + rng.randint(0, 2))
    return make(*(f"{key}={value}" for key, value in chosen.items()))


@pytest.mark.parametrize("first", range(0, 100, 25))
def test_engine_and_twin_agree(small_config: Make, make_trace: MakeTrace, first: int) -> None:
    for seed in range(first, first + 25):
        rng = Random(seed)
        trace = random_layer(rng, make_trace)
        program, run, _ = recorded(DenseMachine(random_config(rng, small_config, trace)), trace)
        twin = Twin(program).run()
        assert run.cycles == twin.cycles, seed
        assert run.spent == twin.spent, seed


def test_most_owners_are_met(small_config: Make, make_trace: MakeTrace) -> None:
    """Or the comparison would be of little."""
    owners = set()
    for seed in range(40):
        rng = Random(seed)
        trace = random_layer(rng, make_trace)
        _, run, _ = recorded(DenseMachine(random_config(rng, small_config, trace)), trace)
        owners |= {owner for spent in run.spent.values() for owner in spent}
    assert owners == {"busy", "bank_conflict", "output_full", "dram", "dependency", "operand", "drained"}
