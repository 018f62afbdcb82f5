"""Scores of dsa2021 and exact scores: dsasim's, integer for integer, against the twin's plain numbers."""

from random import Random

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsasim.errors import ConfigError
from dsasim.methods.base import NO_STATE
from dsasim.methods.dsa2021 import Dsa2021
from dsasim.trace.positions import RowBlock
from dsasim.trace.scores import exact_scorer
from twin.cases import arch_of, random_case, selection_of, trace_of
from twin.predict import Predicted, exact_scores

FEW = settings(deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))


@FEW
@given(rng=st.randoms(use_true_random=False))
def test_scores_equal_the_twins(rng: Random) -> None:
    case = random_case(rng, "dsa2021")
    arch, trace = arch_of(case), trace_of(case)
    for number, heads in selection_of(case).items():
        layer = trace.layer(number)
        whole = RowBlock(0, layer.L_q, layer.L_k)
        try:
            predictor = Dsa2021(arch, layer, NO_STATE)
        except ConfigError:
            continue
        twin = Predicted(arch, layer)
        for head in heads:
            assert predictor.scorer(head)(whole).tolist() == twin.scores(head)
            assert np.array_equal(exact_scorer(layer, head)(whole), np.array(exact_scores(layer, head), np.float32))
