"""A trace of several sequences against each of them alone: masks, work and traffic, on random small machines."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plugin_files import watched
from twin.cases import METHODS, alone, arch_of, random_case, selection_of, trace_of

from dsasim import registry
from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.machine.job import Place
from dsasim.model.dram_preset import load_presets
from dsasim.sim.engine import run_machine
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

Case = dict[str, Any]
Masks = dict[tuple[int, int, int], list[list[bool]]]


def run_of(case: Case) -> tuple[MachineResult, Masks] | None:
    """A run and its masks by layer, sequence and head; None where the design cannot hold the trace."""
    masks: Masks = {}

    def observe(layer: Any, head: int, keep: Any) -> None:
        masks[layer.number, layer.sequence, head] = keep.block(0, layer.L_q).to_dense().tolist()

    try:
        result = run_machine(arch_of(case), trace_of(case), selection_of(case), observe, scope=case["scope"])
    except ConfigError:
        return None
    return result, masks


def heads_of(result: MachineResult) -> dict[tuple[int, int], list[tuple[int, ...]]]:
    """What is known of each head but when it ended, by layer and sequence."""
    return {
        (layer.layer, layer.sequence or 0): [
            (head.head, head.nnz, head.density, head.k_loads, head.plan_steps) for head in layer.heads
        ]
        for layer in result.layers
    }


def counted(result: MachineResult, preset: str) -> Counter[str]:
    """All that was counted on the chip, and the bytes of the bursts that were asked for."""
    found = Counter({name: n for name, n in result.counters.items() if not name.startswith("dram_")})
    spared = result.counters["dram_forwarded_reads"] + result.counters["dram_merged_writes"]
    moved = result.counters["dram_read_bytes"] + result.counters["dram_write_bytes"]
    found["asked bytes"] = moved + spared * load_presets()[preset].access_bytes
    return found


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(rng=st.randoms(use_true_random=False), others=st.integers(1, 2))
def test_a_batch_does_what_its_sequences_do_alone(method: str, rng: Random, others: int) -> None:
    """GQA, decode, causal or not, cross-attention, masks only, thresholds: whatever the cases of the twin are."""
    case = random_case(rng, method, others)
    together, each = run_of(case), [run_of(alone(case, sequence)) for sequence in range(others + 1)]
    if together is None:
        assert None in each or case["scope"] != "attention"
        return
    runs = [run for run in each if run is not None]
    assert len(runs) == len(each)
    heads, masks = heads_of(together[0]), together[1]
    assert list(heads) == [(layer, s) for layer in range(len(case["layers"])) for s in range(others + 1)]
    for sequence, (result, its_masks) in enumerate(runs):
        assert {key[0]: value for key, value in heads.items() if key[1] == sequence} == {
            layer: value for (layer, _), value in heads_of(result).items()
        }
        assert {(n, head): keep for (n, s, head), keep in masks.items() if s == sequence} == {
            (n, head): keep for (n, _, head), keep in its_masks.items()
        }
    preset = case["design"]["dram.preset"]
    total, parts = +counted(together[0], preset), sum((counted(run, preset) for run, _ in runs), Counter[str]())
    if case["scope"] != "attention":  # weights are read once for all: blocks, and so their traffic, are others
        total, parts = ({name: c[name] for name in c if name.startswith("macs")} for c in (total, parts))
    assert total == parts


def test_two_equal_sequences_are_twice_one(masked: Callable, tiny: Callable, run: Callable) -> None:
    """Twice the MACs and bytes, and twice the cycles: sequences of a layer follow each other."""
    one, two = masked(np.ones((2, 3, 5), bool)), masked(np.ones((2, 3, 5), bool), sequences=2)
    ours, doubled = run(tiny(), one), run(tiny(), two)
    for name in ("macs_sddmm", "macs_spmm", "dram_read_bytes", "dram_write_bytes", "k_buffer_read_bytes"):
        assert doubled.counters[name] == 2 * ours.counters[name] > 0, name
    assert [layer.sequence for layer in doubled.layers] == [0, 1]
    assert [layer.sequence for layer in ours.layers] == [None]
    assert "sequence" not in ours.layers[0].to_json()
    assert doubled.layers[1].to_json()["sequence"] == 1


def test_layers_run_one_after_the_other_and_in_each_the_sequences(masked: Callable, tiny: Callable) -> None:
    """Each job says which sequence it is for, where there are several."""
    keep = np.ones((2, 1, 4, 4), bool)  # layers, heads
    (jobs, _), (single, _) = watched(tiny(), masked(keep, sequences=2)), watched(tiny(), masked(keep))
    places = list(dict.fromkeys(job.place[:1] + (job.place.sequence,) for job in jobs.done["lane_0"]))
    assert places == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert {job.place.sequence for job in single.done["lane_0"]} == {None}
    assert str(Place(0, heads=(3,), tile=2, sequence=1)) == "layer 0 sequence 1 head 3 tile 2"
    assert "K of layer 1 sequence 1 kv head 0" in jobs.ends
    assert "K of layer 1 kv head 0" in single.ends


def test_projections_of_a_batch_read_their_weights_once() -> None:
    """Two sequences of 8 rows are one of 16 to a projection; d_model 4, one head of 4 and d_ff 8.

    Q, K, V and O have weights of 32 bytes, up and down of 64: a burst of 64 bytes each.
    """
    case = random_case(Random(7), "dense", 1) | {"scope": "layer"}
    first = alone(case, 0)["layers"][0]
    shape = {**first["shape"], "L_q": 8, "L_k": 8, "causal": False, "cross": False, "padding": 0, "holes": False}
    shape |= {"d_head": 4, "kv_heads": 1, "sharing": 1, "d_model": 4, "d_ff": 8, "gated": False, "bias": False}
    layer = {"shape": shape, "heads": [0], "seed": 1}
    one, two = ({**case, "layers": [layer | {"batch": [layer] * others}]} for others in (0, 1))
    arch = load_arch("dense-16x16")
    ours, doubled = (run_machine(arch, trace_of(each), {0: [0]}, scope="layer") for each in (one, two))
    assert doubled.counters["macs_dense"] == 2 * ours.counters["macs_dense"] == 2 * 8 * (4 * 16 + 2 * 32)
    assert doubled.counters["dram_read_bytes"] == 2 * ours.counters["dram_read_bytes"] - 6 * 64
    assert [bool(layer.dense_cycles) for layer in doubled.layers] == [True, False]
    assert sum(layer.cycles for layer in doubled.layers) == doubled.cycles


STATEFUL = """
import numpy as np
from dsasim.predictors.base import KeepMask
from dsasim.predictors.method import Method


class Counting(Method):
    def mask(self, head):
        keep = np.zeros((self.layer.L_q, self.layer.L_k), bool)
        keep[:, : 1 + self.state.values.get("seen", 0)] = True
        return KeepMask.from_dense(keep)

    def after(self):
        return self.state.with_value("seen", self.layer.L_k - 2)


METHODS = {"counting": Counting}
"""


def test_what_a_layer_leaves_is_for_the_next_layer_on_its_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_of_lengths: AttentionTrace
) -> None:
    """A row keeps one key in the first layer, then all but one: 3 of 4 in sequence 0, 5 of 6 in sequence 1."""
    path = tmp_path / "counting.py"
    path.write_text(STATEFUL)
    monkeypatch.setenv(registry.VARIABLE, "")
    registry.use_plugins([str(path)])
    arch: ArchConfig = load_arch("dsa-decoupled", ("predictor.method=counting",))
    result = run_machine(arch, batch_of_lengths, {0: [0], 1: [0]})
    nnz = {(layer.layer, layer.sequence): layer.heads[0].nnz for layer in result.layers}
    assert nnz == {(0, 0): 4, (0, 1): 6, (1, 0): 4 * 3, (1, 1): 6 * 5}


@pytest.fixture
def batch_of_lengths() -> AttentionTrace:
    """Two layers of one head on sequences of 4 and 6 tokens."""
    case = random_case(Random(7), "dense", 1)
    layers = []
    for seed in (1, 2):
        shape = {**alone(case, 0)["layers"][0]["shape"], "causal": False, "cross": False, "padding": 0, "holes": False}
        shape |= {"kv_heads": 1, "sharing": 1, "d_head": 4, "bias": False}
        short, long = ({"shape": shape | {"L_q": L, "L_k": L}, "heads": [0], "seed": seed} for L in (4, 6))
        layers.append(short | {"batch": [long]})
    return trace_of({**case, "layers": layers})
