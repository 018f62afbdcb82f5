"""Seeing a model's tensor functions as they are called, and below them the operators that no function was seen for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.eager import SOFTMAX, Eager
from dsasim.trace.capture.kernels import fused_call, is_fused, is_kernel, operator_name

OnCall = Callable[[AttentionCall], None]
OURS: ContextVar[bool] = ContextVar("OURS", default=False)
UNSEEN = "code that is not Python (TorchScript, an extension)"


class AttentionMode(TorchFunctionMode):
    """Hands every attention that runs under it to `on_call`, once its output is known; what got lost to `on_lost`.

    PyTorch switches a mode off inside the function that it sees; F.multi_head_attention_forward is Python that calls
    scaled_dot_product_attention or bmm and softmax, so it is run with the mode on again. A subclass may compute
    `attention` and `softmax` otherwise than the model does. `where` names the module that runs.
    """

    def __init__(self, on_call: OnCall, on_lost: Callable[[str], None], where: Callable[[], str]) -> None:
        super().__init__()
        self.on_call, self._on_lost = on_call, on_lost
        self._eager = Eager(on_call, on_lost, where)
        self._running = ""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function, and look at it afterwards."""
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self, overrides_ignored():
                return func(*args, **kwargs)
        name = operator_name(func)
        with self._inside(name):
            if is_fused(name):
                out = self.attention(func, name, args, kwargs)
            elif name in SOFTMAX:
                out = self.softmax(func, name, args, kwargs)
            else:
                out = func(*args, **kwargs)
        if isinstance(out, torch.Tensor) and not is_fused(name):
            with self._losing(name):
                self._eager.follow(func, name, args, kwargs, out)
        return out

    def attention(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run attention that is one call."""
        out = func(*args, **kwargs)
        with self._losing(name):
            self.on_call(fused_call(name, args, kwargs, out))
        return out

    def softmax(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:  # noqa: ARG002
        """Run a softmax."""
        return func(*args, **kwargs)

    def unused(self) -> list[str]:
        """Where a softmax over scores ran whose probabilities met no values, since this was asked last."""
        return self._eager.unused()

    def on_operator(self, func: Any) -> None:
        """Look at an operator on its way to its kernel: attention inside a function that this mode does not read."""
        if is_kernel(func) and not OURS.get() and not (is_fused(self._running) or self._running in SOFTMAX):
            self._on_lost(f"{func} ran inside {self._running or UNSEEN}")

    @contextmanager
    def _losing(self, name: str) -> Iterator[None]:
        """What cannot be looked at, such as a tensor under torch.vmap, is lost; the model goes on."""
        try:
            yield
        except (AttributeError, IndexError, NotImplementedError, RuntimeError, TypeError, ValueError) as error:
            reason = next(iter(str(error).splitlines()), "")
            self._on_lost(f"{name}: {type(error).__name__}: {reason}")

    @contextmanager
    def _inside(self, name: str) -> Iterator[None]:
        outer, self._running = self._running, name
        try:
            yield
        finally:
            self._running = outer


class OperatorMode(TorchDispatchMode):
    """Shows every operator that reaches a kernel to `on_operator`, whoever calls it."""

    supports_higher_order_operators = True

    def __init__(self, on_operator: Callable[[Any], None]) -> None:
        super().__init__()
        self._on_operator = on_operator

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator."""
        self._on_operator(func)
        with torch._C.DisableTorchFunction():  # noqa: SLF001  (a function mode would take it for a call of the model)
            return func(*args, **(kwargs or {}))


@contextmanager
def by_ourselves() -> Iterator[None]:
    """What is computed inside is no part of the model: no mode looks at it."""
    token = OURS.set(True)
    try:
        with torch._C.DisableTorchFunction():  # noqa: SLF001
            yield
    finally:
        OURS.reset(token)


@contextmanager
def overrides_ignored() -> Iterator[None]:
    """F.multi_head_attention_forward asks has_torch_function whether to hand itself to the mode again: not now."""
    module: Any = functional  # which does not export this name, so mypy does not see it
    asked = module.has_torch_function
    module.has_torch_function = lambda *_: False
    try:
        yield
    finally:
        module.has_torch_function = asked
