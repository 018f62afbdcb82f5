"""Models compared with what is captured of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_rebuilt import rebuilt, rel_l2

LIMITS = {"float32": 1e-5, "float16": 1e-2}


class Reference:
    """What each module that ends in one of `names` was given: the attention outputs [B, L_q, H x d_head] by name."""

    def __init__(self, model: Any, names: tuple[str, ...]) -> None:
        self.seen: list[np.ndarray] = []
        self._handles = [
            module.register_forward_pre_hook(self._keep)
            for name, module in model.named_modules()
            if name.endswith(names)
        ]

    def _keep(self, module: Any, args: Any) -> None:
        self.seen.append(args[0].detach().float().numpy().copy())

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()


@pytest.fixture
def check_against_modules(tmp_path: Path) -> Callable[..., Any]:
    """Run a model twice, plainly with its output projections watched and captured; compare layer by layer."""
    import torch

    from dsasim import capture
    from dsasim.trace.store import open_trace

    def check(
        model: Any,
        inputs: dict[str, Any],
        projections: tuple[str, ...],
        dtype: str = "float32",
        run: Callable[[], Any] | None = None,
        **options: Any,
    ):
        run = run or (lambda: model(**inputs))
        reference = Reference(model, projections)
        with torch.no_grad():
            plain = run()
        reference.remove()
        with torch.no_grad(), capture(model, dtype=dtype, **options) as trace:
            again = run()
        assert torch.equal(plain[0], again[0])
        trace.save(tmp_path / "captured.safetensors")
        read = open_trace(tmp_path / "captured.safetensors")
        assert len(list(read)) == len(reference.seen)
        for layer, wanted in zip(read, reference.seen, strict=True):
            merged = rebuilt(layer).transpose(1, 0, 2).reshape(layer.L_q, -1)
            assert rel_l2(merged, wanted[options.get("sample", 0)]) < LIMITS[dtype]
        return read

    return check
