"""The tasks' figures by hand."""

import math
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from dsasim.evaluate.task import TextTask, _next_tokens, pair_accuracy

pytestmark = pytest.mark.torch


def test_next_tokens_are_scored_against_the_logits_before_them():
    logits = torch.log(torch.tensor([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [1 / 3, 1 / 3, 1 / 3]]))
    model = SimpleNamespace(base_model=lambda input_ids: [logits[None]], get_output_embeddings=lambda: lambda x: x)
    found = _next_tokens(model, torch.tensor([[2, 1, 2]]))
    torch.testing.assert_close(found, torch.tensor([[math.log(4), -math.log(0.7)], [0.0, 1.0]]))
    task = TextTask("m", model, "perplexity", torch.tensor([[2, 1, 2]]))
    figures = task.figures([found], [found])
    assert figures["perplexity"] == pytest.approx(math.sqrt(4 / 0.7))
    assert figures["next_token_accuracy_ratio"] == 0.5


def test_cosine_is_to_the_dense_embedding():
    task = TextTask("m", None, "cosine", None)
    dense = [torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])]
    figures = task.figures([torch.tensor([3.0, 0.0]), torch.tensor([1.0, 1.0])], dense)
    assert figures["cosine"] == pytest.approx((1 + math.sqrt(0.5)) / 2)
    assert math.isnan(figures["pair_accuracy_ratio"])


def test_pairs_are_neighbours():
    near = torch.tensor([[1.0, 0.1, 0], [1, 0, 0.1], [0, 1, 0], [0, 1, 0.2]])
    assert pair_accuracy(near) == 1.0
    assert pair_accuracy(near[[0, 2, 1, 3]]) == 0.0
    assert pair_accuracy(torch.cat([near, torch.zeros(1, 3)])) == 1.0
