"""Points on other heads, layers and traces are other points, and each row is its own point's."""

from collections.abc import Callable
from pathlib import Path

import sweep_tasks as tasks

from dsasim.sweep import load_sweep
from dsasim.sweep.row import Outcome
from dsasim.sweep.runner import SweepResult
from dsasim.sweep.space import DesignSpace

ONE = "{trace: minilm-l128, layers: 2, heads: 0}"
OTHERS = [
    "{trace: minilm-l128, layers: 2, heads: 1}",
    "{trace: minilm-l128, layers: 3, heads: 0}",
    "{trace: minilm-l128, layers: 2}",
    "{trace: minilm-l128, heads: 0}",
    "{trace: smollm2-l512, layers: 4, heads: 0}",
]


def test_each_selection_of_a_trace_is_a_run_of_its_own(spec: Callable) -> None:
    space = DesignSpace(spec(traces=f"[{', '.join((ONE, *OTHERS, ONE))}]", axes="{pe_array.lanes: [2, 4]}"))
    keys = [space.point(number).key for number in range(space.num_points)]
    assert len(set(keys[:6] + keys[7:13])) == 12
    assert (keys[6], keys[13]) == (keys[0], keys[7])  # the last selection is the first again


def test_each_trace_has_its_front(spec: Callable) -> None:
    """Points 0, 2, 4, 6 are on the first trace: every one of the second beats them all, and none is compared."""
    asked = spec(traces=f"[{ONE}, {OTHERS[0]}]", objectives="[cycles]")
    result = SweepResult(asked, DesignSpace(asked))
    result.outcomes = {at: Outcome("ok", (100.0 + at - 50 * (at % 2),), "") for at in range(8)}
    assert (result.front(0), result.front(1)) == ([0], [1])


def test_a_row_that_is_copied_says_when_its_own_point_was_asked_for(
    spec: Callable, sweep: Callable, tmp_path: Path
) -> None:
    """Two designs, three times each: five rows are copies or runs, and each has its own number and place."""
    sweep(spec(axes="{pe_array.lanes: [2, 4, 2, 4, 2, 4]}"), tasks.quick, workers=1)
    rows = load_sweep(tmp_path / "out")
    assert [(row["point"], row["evaluation"], row["axes"]["pe_array.lanes"]) for row in rows] == [
        (at, at, (2, 4)[at % 2]) for at in range(6)
    ]
