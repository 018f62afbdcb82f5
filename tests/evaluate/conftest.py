"""A small decoder, what a capture makes of it, and predictors fitted to that."""

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

TOKENS = 24


@dataclass(frozen=True)
class Captured:
    model: Any
    ids: Any
    path: Path


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Captured:
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from dsasim import capture
    from dsasim.train.self_fit import fit_trace

    torch.manual_seed(0)
    widths = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.LlamaConfig(vocab_size=50, num_key_value_heads=2, **widths)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.3)
    ids = torch.randint(3, 50, (1, TOKENS))
    with torch.no_grad(), capture(model.model) as trace:
        model.model(input_ids=ids)
    folder = tmp_path_factory.mktemp("captured")
    trace.save(folder / "plain.safetensors")
    fit_trace(folder / "plain.safetensors", folder / "llama.safetensors", [Decimal("0.25")], rotary_base=10000.0)
    return Captured(model, ids, folder / "llama.safetensors")
