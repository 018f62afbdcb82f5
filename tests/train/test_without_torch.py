"""The message where PyTorch is missing."""

import pytest

from dsasim.errors import TraceError
from dsasim.train.dsa import attach


def test_a_missing_pytorch_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    with pytest.raises(
        TraceError, match=r"training DSA needs torch, which is not installed: pip install 'dsasim\[torch]'"
    ):
        attach(None, [], sigma="0.25", bits=4)
