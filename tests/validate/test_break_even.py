"""Beginnings of a trace, and what their runs say of the break-even length."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.api import load_arch, load_trace, simulate
from dsasim.baseline.dense import IsoArea
from dsasim.methods.base import NO_STATE
from dsasim.methods.dsa2021 import Dsa2021
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory
from dsasim.validate.break_even import beginning, check_break_even, judged
from dsasim.validate.statistics import break_even


def test_the_beginning_of_a_causal_input_is_predicted_as_in_the_whole() -> None:
    """Rows of a causal layer see earlier keys only: the scores of the first 64 tokens are those of the whole trace."""
    arch, trace = load_arch("dsa-decoupled"), load_trace("smollm2-l512")
    layer = trace.layer(13)
    shorter = trace_in_memory("t", [beginning(layer, 64, arch)], dtype="float32").layer(13)
    block, whole = next(iter(shorter.row_blocks())), next(iter(layer.row_blocks()))
    ours = Dsa2021(arch, shorter, NO_STATE).scorer(2)(block)
    assert np.array_equal(ours, Dsa2021(arch, layer, NO_STATE).scorer(2)(whole)[:64, : ours.shape[1]])
    assert (shorter.L_q, shorter.causal, shorter.scale) == (64, True, layer.scale)


def test_the_lengths_are_those_of_the_table() -> None:
    """The figures are read off the table; at 16 tokens nothing pays."""
    check = check_break_even(load_arch("dsa-decoupled"), load_trace("minilm-l128"), {0: (0, 1)})
    table = check.tables[0]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["L"] for row in rows] == [16, 32, 64, 128]
    assert rows[0]["dense / ours"] < 1
    for figure, column in (("break_even_same_macs", "dense / ours"), ("break_even_equal_area", "at equal area")):
        assert check.figures[figure] == break_even([(row["L"], row[column]) for row in rows])
    assert check.status == "measured"


def test_times_follow_the_clock_and_both_ratios_are_their_own(make_arch: Callable, make_arrays: Callable) -> None:
    """At 2 GHz 2000 cycles are a microsecond; the figures are read off their own columns."""
    trace = trace_in_memory("t", [make_arrays(L_q=64, L_k=64, fitted=True)], dtype="float32")
    check = check_break_even(make_arch("clock_ghz=2", "pe_array.lanes=2"), trace, {5: (0, 1, 2, 3)})
    table = check.tables[0]
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["L"] for row in rows] == [16, 32, 64]
    for row in rows:
        assert row["us"] == row["cycles"] / 2000
        assert row["dense / ours"] == row["dense cycles"] / row["cycles"]
        kept = sum(max(1, -(-3 * n // 10)) for n in range(1, row["L"] + 1))
        assert row["kept"] == pytest.approx(kept / (row["L"] * (row["L"] + 1) / 2))
    for figure, column in (("break_even_same_macs", "dense / ours"), ("break_even_equal_area", "at equal area")):
        assert check.figures[figure] == break_even([(row["L"], row[column]) for row in rows if row[column] != ""])


def test_the_two_lengths_are_told_apart() -> None:
    """Made-up ratios: from 32 tokens on against the same MACs, from 64 on against the same area."""
    run = simulate(load_arch("dsa-edge"), load_trace("minilm-l128"), layers=[0], heads=[0], quality=False)
    area = IsoArea(9, 1, "systolic", 0.5)
    ratios = {16: (0.5, 0.4), 32: (1.5, 0.9), 64: (2.0, 1.1)}
    runs = {
        L: replace(
            run,
            baseline=replace(run.baseline, speedup_vs_dense=same, iso_area=replace(area, speedup_ratio=equal)),
        )
        for L, (same, equal) in ratios.items()
    }
    check = judged(runs)
    assert check.figures == {"break_even_same_macs": 32, "break_even_equal_area": 64}
    assert "the same MACs used densely: from 32 tokens on; a dense machine of its area: from 64 tokens" in check.detail


def test_what_has_no_break_even_is_skipped(make_arch: Callable, make_arrays: Callable) -> None:
    masks = MaskArrays(0, pack_bits(np.ones((1, 12, 12), dtype=bool)), 12, 8, 1, causal=False)
    cases = {
        "masks only": (make_arch(), trace_in_memory("t", [masks], kind="mask"), {0: (0,)}),
        "free of charge": (make_arch("predictor.method=oracle_topk"), trace_in_memory("t", [make_arrays()]), {5: (0,)}),
        "not the same positions": (
            make_arch(),
            trace_in_memory("t", [make_arrays(L_q=9, L_k=24, causal=False)]),
            {5: (0,)},
        ),
        "different lengths": (
            make_arch(),
            trace_in_memory("t", [make_arrays(), replace(make_arrays(L_q=16, L_k=16), number=6)]),
            {5: (0,), 6: (0,)},
        ),
    }
    for reason, case in cases.items():
        check = check_break_even(*case)
        assert (check.status, reason in check.detail) == ("skipped", True), check.detail
