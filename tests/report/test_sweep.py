"""The printed result of a sweep."""

import io
from pathlib import Path
from types import SimpleNamespace

from dsasim.report.style import new_console, short_keys
from dsasim.report.sweep import _cell, print_sweep
from dsasim.sweep.metrics import METRICS
from dsasim.sweep.runner import Outcome, SweepResult


def result(names: tuple[str, ...], count: int, **meta: object) -> SweepResult:
    """A sweep of one axis in which every point is on the front."""
    axis = SimpleNamespace(keys=(("pe_array", "lanes"),), values=tuple((at,) for at in range(count)))
    spec = SimpleNamespace(
        name="s",
        axes=(axis,),
        objectives=tuple(METRICS[name] for name in names),
        traces=(SimpleNamespace(meta=SimpleNamespace(**{"name": "t", "kind": "real"} | meta)),),
    )
    space = SimpleNamespace(num_points=count, point=lambda at: SimpleNamespace(axes={"pe_array.lanes": at}))
    outcomes = {at: Outcome("ok", (at * 1e6, -at * 1e6, *[0.5] * (len(names) - 2)), "") for at in range(count)}
    return SweepResult(spec, space, outcomes, count, 2.0)


def printed(found: SweepResult) -> str:
    out = io.StringIO()
    print_sweep(found, Path("out"), new_console(out))
    return out.getvalue()


def test_counts_rate_and_front_with_units() -> None:
    text = printed(result(("energy_pj", "cycles"), 3))
    assert text.startswith("s: 3 of 3 points: 3 ok (3 runs in 2.0 s, 1.5 a second)")
    assert "Pareto front on t: 3 of 3 points" in text
    heads, _, *rows = [line.split() for line in text.split("\n")[4:9]]
    assert heads == ["point", "lanes", "energy", "µJ", "↓", "cycles", "↓"]
    assert rows[1] == ["1", "1", "1", "-1,000,000"]


def test_a_synthetic_trace_is_said_so() -> None:
    text = printed(result(("energy_pj", "cycles"), 3, kind="synthetic", provenance={"pattern": "random"}))
    assert "Pareto front on t: 3 of 3 points\nsynthetic: random masks mislead: near rows share hardly a key" in text
    assert "synthetic" not in printed(result(("energy_pj", "cycles"), 3))


def test_long_fronts_are_cut_and_wide_ones_fit() -> None:
    text = printed(result(tuple(METRICS), 40))
    assert "and 10 more" in text
    assert max(map(len, text.split("\n"))) <= 100


def test_each_trace_has_its_own_points_and_front() -> None:
    """Points 0, 2, 4 are on the first trace and 1, 3 on the second; on each no point beats another but the last."""
    found = result(("energy_pj", "cycles"), 5)
    second = SimpleNamespace(meta=SimpleNamespace(name="u", kind="real"))
    found.spec.traces = (*found.spec.traces, second)
    found.outcomes[4] = Outcome("ok", (9e6, 9e6), "")
    text = printed(found)
    assert "Pareto front on t: 2 of 3 points" in text
    assert "Pareto front on u: 2 of 2 points" in text


def test_reasons_are_counted() -> None:
    found = result(("energy_pj", "cycles"), 4)
    found.outcomes |= {
        1: Outcome("invalid", None, "why"),
        2: Outcome("invalid", None, "why"),
        3: Outcome("failed", None, "crash"),
    }
    text = printed(found)
    assert "s: 4 of 4 points: 1 ok, 2 invalid, 1 failed" in text
    assert "invalid\n2  why" in text
    assert "failed\n1  crash" in text


def test_keys_are_as_short_as_they_can_be_told_apart() -> None:
    assert short_keys(["a.b.bytes", "a.c.bytes", "x.lanes"]) == ["b.bytes", "c.bytes", "lanes"]


def test_cells() -> None:
    assert [_cell(value) for value in (None, True, 12345, 0.123456, 1234.5, 2.0, "text")] == [
        *("null", "true", "12,345", "0.1235", "1,234", "2", "text")
    ]


def test_a_constraint_is_one_reason_whatever_value_broke_it() -> None:
    found = result(("energy_pj", "cycles"), 4)
    found.outcomes |= {at: Outcome("infeasible", None, f"constraint area_mm2 < 5: it is 8.{at}") for at in (1, 2, 3)}
    assert "infeasible\n3  constraint area_mm2 < 5\n" in "\n".join(map(str.rstrip, printed(found).split("\n")))
