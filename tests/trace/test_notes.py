"""What must stand beside every figure of a trace."""

from dataclasses import replace
from decimal import Decimal

from dsasim.trace.notes import SELF, trace_notes
from dsasim.trace.store import trace_in_memory


def test_only_the_predictor_that_is_used_is_said_to_have_seen_the_trace(make_layer, make_fit):
    own, other = replace(make_fit("0.25"), fitted_on=SELF), make_fit("0.5")
    trace = trace_in_memory(
        "two", [make_layer(0, predictors=(other,)), make_layer(1, predictors=(own, other))], kind="real"
    )
    (note,) = trace_notes(trace, Decimal("0.25"))
    assert "fitted on this very trace" in note
    assert trace_notes(trace, Decimal("0.5")) == ()
    assert trace_notes(trace, None) == ()


def test_a_synthetic_trace_says_so_whatever_predicts(make_layer):
    trace = trace_in_memory("made", [make_layer()], provenance={"pattern": "random"})
    for sigma in (None, Decimal("0.25")):
        (note,) = trace_notes(trace, sigma)
        assert note.startswith("synthetic: random masks mislead")
