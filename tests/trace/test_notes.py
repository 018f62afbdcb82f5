"""What must stand beside every figure of a trace."""

from dataclasses import replace

from dsasim.api import load_arch
from dsasim.sim.engine import run_notes
from dsasim.trace.notes import SELF
from dsasim.trace.store import trace_in_memory


def test_only_the_predictor_that_is_used_is_said_to_have_seen_the_trace(make_layer, make_fit):
    own, other = replace(make_fit("0.25"), fitted_on=SELF), make_fit("0.5")
    trace = trace_in_memory(
        "two", [make_layer(0, predictors=(other,)), make_layer(1, predictors=(own, other))], kind="real"
    )
    (note,) = run_notes(load_arch("dsa-decoupled"), trace)
    assert "fitted on this very trace" in note
    assert run_notes(load_arch("dsa-decoupled", ["predictor.sigma=0.5"]), trace) == ()
    assert run_notes(load_arch("dsa-decoupled", ["predictor.method=oracle_topk"]), trace) == ()


def test_a_synthetic_trace_says_so_whatever_predicts(make_layer):
    trace = trace_in_memory("made", [make_layer()], provenance={"pattern": "random"})
    for method in ("dsa2021", "oracle_topk"):
        (note,) = run_notes(load_arch("dsa-decoupled", [f"predictor.method={method}"]), trace)
        assert note.startswith("synthetic: random masks mislead")
