"""A trace with a memory: the same results to the last bit, and masks made once."""

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.predictors.dsa2021 import Dsa2021
from dsasim.trace.memory import Memory

VARIANTS = (
    (),
    ("pe_array.lanes=2",),
    ("mask_generator.num_selectors=4", "predictor.array_rows=16"),
    ("mask_generator.comparators=8",),
    ("mask_generator.top_k_unit=bitonic",),
    ("mask_generator.density=0.2",),
    ("mask_generator.selection=threshold", "mask_generator.threshold=0.5"),
    ("predictor.rank=4",),
    ("predictor.bits=2",),
    ("predictor.method=oracle_topk",),
    ("predictor.method=dense",),
)


def test_designs_one_after_another_give_what_each_gives_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    trace = load_trace("minilm-l128")
    remembering = trace.remembering(Memory(1 << 24))
    for overrides in (*VARIANTS, *VARIANTS):
        arch = load_arch("dsa-decoupled", overrides)
        alone, after = (
            simulate(arch, each, layers=[0, 2], heads=[1], baselines=False).to_json() for each in (trace, remembering)
        )
        assert alone == after, overrides


def test_a_mask_is_made_once_for_all_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    select = Dsa2021.select
    monkeypatch.setattr(Dsa2021, "select", lambda self, head: made.append(head) or select(self, head))
    trace = load_trace("minilm-l128").remembering(Memory(1 << 24))
    for overrides in ((), ("pe_array.lanes=2",), ("predictor.array_rows=16",), ("mask_generator.density=0.2",)):
        simulate(load_arch("dsa-decoupled", overrides), trace, layers=[2], heads=[0, 1], baselines=False)
    assert made == [0, 1, 0, 1]


def test_the_least_recently_used_is_forgotten_first() -> None:
    memory, computed = Memory(20), []

    def recall(key: str) -> None:
        memory.recall(key, lambda: computed.append(key) or np.zeros(1), lambda value: value.nbytes)

    for key in "abacbab":  # 8 bytes each: two are held
        recall(key)
    # c drives out b, b drives out a, a drives out c
    assert computed == ["a", "b", "c", "b", "a"]
