"""Masks by hand: each way a model writes one, and what the trace says instead."""

import numpy as np
import pytest

pytest.importorskip("torch")

from dsasim.trace.capture.mask import OTHER_HEADS_ONLY, positions

pytestmark = pytest.mark.torch
T, F = True, False
INF = -np.inf


def test_no_mask():
    found = positions(None, 3, 3, causal=False)
    assert (found.causal, found.allowed, found.bias) == (False, None, None)


def test_causal_of_equal_lengths_needs_no_mask():
    found = positions(None, 3, 3, causal=True)
    assert (found.causal, found.allowed) == (True, None)


def test_causal_of_pytorch_starts_at_the_first_key_and_that_of_a_trace_ends_at_the_last():
    found = positions(None, 2, 3, causal=True)
    assert found.causal
    assert found.allowed.tolist() == [[T, F, F], [T, T, F]]


@pytest.mark.parametrize("low", [INF, -1e9, -10000.0, float(np.finfo(np.float32).min)])
def test_an_additive_causal_mask_is_causality(low):
    mask = np.triu(np.full((1, 3, 3), low, dtype=np.float32), 1)
    found = positions(mask, 3, 3, causal=False)
    assert (found.causal, found.allowed, found.bias) == (True, None, None)


def test_padding_is_allowed_positions():
    found = positions(np.array([[[T, T, F]] * 3]), 3, 3, causal=False)
    assert not found.causal
    assert found.allowed.tolist() == [[T, T, F]] * 3
    assert found.bias is None


def test_a_bias_is_kept_and_is_zero_where_nothing_is_allowed():
    mask = np.array([[[0.5, INF], [-1.0, 2.0]]], dtype=np.float32)
    found = positions(mask, 2, 2, causal=False)
    assert (found.causal, found.allowed) == (True, None)
    assert found.bias.tolist() == [[[0.5, 0.0], [-1.0, 2.0]]]


def test_masks_of_two_heads_become_their_union_and_a_bias():
    mask = np.array([[[T, F, F]], [[F, T, F]]])
    found = positions(mask, 1, 3, causal=False)
    assert found.differs_between_heads
    assert found.allowed.tolist() == [[T, T, F]]
    assert found.bias.tolist() == [[[0, OTHER_HEADS_ONLY, 0]], [[OTHER_HEADS_ONLY, 0, 0]]]
