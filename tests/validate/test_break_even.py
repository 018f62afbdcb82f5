"""Beginnings of a trace, and what their runs say of the break-even length."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dsasim.api import load_arch, load_trace
from dsasim.predictors import load_predictor
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory
from dsasim.validate.break_even import beginning, check_break_even
from dsasim.validate.statistics import break_even


def test_the_beginning_of_a_causal_input_is_predicted_as_in_the_whole() -> None:
    """Rows of a causal layer see earlier keys only: the scores of the first 64 tokens are those of the whole trace."""
    arch, trace = load_arch("dsa-decoupled"), load_trace("smollm2-l512")
    layer = trace.layer(13)
    shorter = trace_in_memory("t", [beginning(layer, 64, arch)], dtype="float32").layer(13)
    block, whole = next(iter(shorter.row_blocks())), next(iter(layer.row_blocks()))
    ours = load_predictor(arch, shorter).scorer(2)(block)
    assert np.array_equal(ours, load_predictor(arch, layer).scorer(2)(whole)[:64, : ours.shape[1]])
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
