"""Scores that float32 cannot hold are refused, never ranked as NaN."""

import numpy as np
import pytest

from dsasim.errors import TraceError
from dsasim.predictors.exact import exact_scores
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.store import trace_in_memory


def test_overflowing_scores_are_refused() -> None:
    huge = np.full((1, 2, 4), 1e20, np.float32)
    layer = LayerArrays(3, huge, huge, huge, huge[0], causal=False, scale=1.0)
    trace = trace_in_memory("huge", [layer], kind="synthetic", dtype="float32")
    with pytest.raises(TraceError, match=r"layer 3 head 0 of the trace: scores .* overflow float32"):
        exact_scores(trace.layer(3), 0)
