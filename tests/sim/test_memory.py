"""A trace with a cache: the same results to the last bit, and masks made once."""

from pathlib import Path

import numpy as np
import pytest

from dsasim.api import load_arch, load_trace, simulate
from dsasim.dataflows import base
from dsasim.methods.dsa2021 import Dsa2021
from dsasim.quality import measure
from dsasim.trace.cache import OVERHEAD_BYTES, Codec, MemoryCache
from dsasim.trace.disk_cache import DiskCache

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
    cached = trace.with_cache(MemoryCache(1 << 24))
    for overrides in (*VARIANTS, *VARIANTS):
        arch = load_arch("dsa-decoupled", overrides)
        alone, after = (
            simulate(arch, each, layers=[0, 2], heads=[1], baselines=False).to_json() for each in (trace, cached)
        )
        assert alone == after, overrides


def test_what_other_processes_computed_gives_the_same(tmp_path: Path) -> None:
    """Every design on a trace with an empty cache, so that all but the first read masks and figures from disk."""
    trace = load_trace("minilm-l128")
    for overrides in VARIANTS:
        arch = load_arch("dsa-decoupled", overrides)
        traces = (trace, *(trace.with_cache(MemoryCache(1 << 24, _cache(tmp_path))) for _ in range(2)))
        results = [simulate(arch, each, layers=[2], heads=[1], baselines=False).to_json() for each in traces]
        assert results[0] == results[1] == results[2], overrides


def test_masks_and_figures_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []
    for where, name in ((Dsa2021, "scorer"), (measure, "_computed")):
        original = getattr(where, name)
        spied = lambda *args, name=name, original=original: computed.append(name) or original(*args)  # noqa: E731
        monkeypatch.setattr(where, name, spied)
    for _ in range(2):
        trace = load_trace("minilm-l128").with_cache(MemoryCache(1 << 24, _cache(tmp_path)))
        simulate(load_arch("dsa-decoupled"), trace, layers=[2], heads=[0], baselines=False)
    assert sorted(computed) == ["_computed", "scorer"]


def test_equal_masks_planned_alike_are_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planned = []
    make = base.make_plan
    monkeypatch.setattr(base, "make_plan", lambda *args: planned.append(args[1:]) or make(*args))
    trace = load_trace("minilm-l128").with_cache(MemoryCache(1 << 24))
    for overrides in ((), ("pe_array.lanes=2",), ("scheduler.order=in_order",), ("scheduler.token_parallelism=2",)):
        simulate(load_arch("dsa-decoupled", overrides), trace, layers=[2], heads=[0], baselines=False, quality=False)
    assert planned == [("reordered", 4), ("in_order", 4), ("reordered", 2)]


def _planned(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, *overrides: str) -> tuple[int, dict]:
    """How many plans two processes made that ran one head after the other, and what the second one found."""
    made = []
    make = base.make_plan
    with monkeypatch.context() as patched:
        patched.setattr(base, "make_plan", lambda *args: made.append(args[1:]) or make(*args))
        for _ in range(2):
            trace = load_trace(name).with_cache(MemoryCache(1 << 26, DiskCache(folder, 1 << 30, name)))
            layer = trace.layer_numbers[-1]
            result = simulate(load_arch("dsa-decoupled", overrides), trace, [layer], [0], baselines=False)
    return len(made), result.to_json()


def test_plans_that_are_read_sooner_than_made_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head of 512 tokens reordered; not in order, and not one of 128 tokens."""
    once, read = _planned(tmp_path / "a", monkeypatch, "smollm2-l512")
    assert once == 1
    assert (
        read == simulate(load_arch("dsa-decoupled"), load_trace("smollm2-l512"), [24], [0], baselines=False).to_json()
    )
    assert _planned(tmp_path / "b", monkeypatch, "smollm2-l512", "scheduler.order=in_order")[0] == 2
    assert _planned(tmp_path / "c", monkeypatch, "minilm-l128")[0] == 2


def test_a_damaged_plan_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = _planned(tmp_path, monkeypatch, "smollm2-l512")
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-8])
    assert _planned(tmp_path, monkeypatch, "smollm2-l512") == (1, whole)


def _cache(folder: Path) -> DiskCache:
    return DiskCache(folder, 1 << 30, "minilm-l128")


def test_a_mask_is_made_once_for_all_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    scorer = Dsa2021.scorer
    monkeypatch.setattr(Dsa2021, "scorer", lambda self, head: made.append(head) or scorer(self, head))
    trace = load_trace("minilm-l128").with_cache(MemoryCache(1 << 24))
    for overrides in ((), ("pe_array.lanes=2",), ("predictor.array_rows=16",), ("mask_generator.density=0.2",)):
        simulate(load_arch("dsa-decoupled", overrides), trace, layers=[2], heads=[0, 1], baselines=False)
    assert made == [0, 1, 0, 1]


ARRAY = Codec(lambda value: {"x": value}, lambda arrays: arrays["x"])


def test_the_least_recently_used_is_evicted_first() -> None:
    cache, computed = MemoryCache(2 * (OVERHEAD_BYTES + 8) + 7), []

    def take(key: str) -> None:
        cache.get_or_compute(key, lambda: computed.append(key) or np.zeros(1), ARRAY)

    for key in "abacbab":  # 8 bytes and what is beside them: two are held
        take(key)
    # c drives out b, b drives out a, a drives out c
    assert computed == ["a", "b", "c", "b", "a"]
