"""The rotary base that a capture notes for `dsasim trace fit-predictor`."""

from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from dsasim.trace.capture.architecture import rotary_base

pytestmark = pytest.mark.torch


@pytest.mark.parametrize(
    ("config", "base"),
    [
        ({"rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}}, 5e5),
        ({"rope_theta": 1e4}, 1e4),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e6}, "sliding_attention": {"rope_theta": 1e4}}}, None),
        ({}, None),
    ],
)
def test_by_configuration(config: dict[str, object], base: float | None) -> None:
    assert rotary_base(SimpleNamespace(config=SimpleNamespace(**config))) == base


def test_a_text_model_inside_another_says_it_itself() -> None:
    outer = SimpleNamespace(get_text_config=lambda: SimpleNamespace(rope_theta=100.0))
    assert rotary_base(SimpleNamespace(config=outer)) == 100.0
    assert rotary_base(object()) is None
