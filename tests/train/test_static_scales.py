"""Scales are of all that they quantise: queries and keys, on the codes of the steps before."""

import numpy as np
import pytest

from dsasim.predictors.integer_path import projection_factor
from dsasim.predictors.quantise import least_squares_scale
from dsasim.train.static_scales import scales_at


@pytest.mark.parametrize("larger", ["queries", "keys", "columns"])
def test_one_scale_of_z_serves_both_inputs_of_cross_attention(larger: str) -> None:
    """XP of 5 queries and 7 keys, one of them or a column beside them 20 times the rest."""
    rng = np.random.default_rng(0)
    xp_q, xp_k = (rng.integers(-50, 50, (rows, 4)).astype(np.int32) for rows in (5, 7))
    xp_q, xp_k = xp_q * (20 if larger == "queries" else 1), xp_k * (20 if larger == "keys" else 1)
    extra_q, extra_k = (rng.normal(size=(rows, 1)).astype(np.float32) for rows in (5, 7))
    extra_k *= 20 if larger == "columns" else 1
    w_q, w_k = (rng.normal(size=(heads, 5, 2)).astype(np.float32) for heads in (2, 1))
    scale_x = 0.01
    found = scales_at(4, [xp_q], [xp_k], scale_x, [(extra_q, extra_k)], w_q, w_k)
    real = [xp.ravel() * scale_x * projection_factor(4) for xp in (xp_q, xp_k)]
    expected = least_squares_scale(np.concatenate([real[0], extra_q.ravel(), extra_k.ravel(), real[1]]), 4)
    assert found["xp"] == pytest.approx([expected], rel=1e-6)
    assert {name: scale.shape for name, scale in found.items()} == {
        "x": (1,),
        "xp": (1,),
        "w_q": (2, 2),
        "w_k": (1, 2),
        "q": (2,),
        "k": (1,),
    }
