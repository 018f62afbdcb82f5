"""DSA around a model: while it is switched on, every attention that runs keeps what the rule keeps."""

import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from dsasim.errors import TraceError
from dsasim.trace.capture.architecture import force_readable
from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.frames import ModuleStack
from dsasim.trace.capture.functions import overrides_ignored, sdpa_call
from dsasim.trace.capture.selection import Selection
from dsasim.trace.capture.session import Capture, CaptureWarning
from dsasim.train.dsa.attention import attend, exact_scores, mse
from dsasim.train.dsa.path import PredictionPath
from dsasim.train.dsa.rules import Fixed, Rule, Scores

CALIBRATED_EVERY = 50
"""Training passes between two searches for static scales, which drift as weights do."""


class Dsa(torch.nn.Module):
    """The prediction paths of a model, by the names of its attention modules; a context in which they choose.

    Inside `with dsa:` attention is computed over what `rule` keeps (None: all that is allowed), whatever calls
    scaled_dot_product_attention: a Hugging Face model, nn.MultiheadAttention (which then returns no weights),
    nn.Transformer or a module of one's own. Gradients flow through scores, masks stay constants.
    """

    def __init__(self, model: Any, paths: Mapping[str, PredictionPath]) -> None:
        super().__init__()
        self.rule: Rule | None = None
        self.paths = torch.nn.ModuleList(paths.values())
        self.names = tuple(paths)
        self._model = (model,)  # not a submodule: its parameters are its own
        self._stack = ModuleStack(self._start, lambda _: None)
        self._losses: list[Any] = []
        self._passes = 0
        self._active = ExitStack()

    def __enter__(self) -> Self:
        """Switch DSA on."""
        with ExitStack() as undo:
            force_readable(self._model[0], undo)
            undo.callback(self._stack.detach)
            self._stack.attach(self._model[0])
            undo.enter_context(_Mode(self._attention))
            self._active = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Switch it off: the model is dense again."""
        self._active.__exit__(kind, error, where)

    def mse_loss(self) -> Any:
        """L_MSE of the last forward pass, the mean over layers; TraceError when no pass with gradients ran."""
        if not self._losses:
            raise TraceError("mse_loss: no forward pass with gradients and a prediction ran inside `with dsa:`")
        return torch.stack(self._losses).mean()

    def save(self, path: str | Path, run: Callable[[], object], provenance: Mapping[str, Any] | None = None) -> None:
        """Run the model once under the rule and write what its attention saw, with the trained predictors, as a trace.

        float32, so that a run of the trace keeps exactly what the model kept. TraceError: as `capture`.
        """
        every = Selection.of(None, None, None, 0, 0)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", CaptureWarning)
            with Capture(self._model[0], every, "float32", 0, None) as trace, self:
                run()
        names = [about["module"] for about in trace.provenance()["layers"]]
        by_name = dict(zip(self.names, self.paths, strict=True))
        trace.layers[:] = [
            replace(layer, predictors=(by_name[name].trained(layer.q.shape[1], layer.k.shape[1]),))
            for name, layer in zip(names, trace.layers, strict=True)
        ]
        trace.save(path, {"dsa": {"bits": self.paths[0].bits, "rule": str(self.rule)}, **(provenance or {})})
        trace.close()

    def _start(self) -> None:
        self._losses.clear()
        self._passes += torch.is_grad_enabled()

    def _attention(self, call: AttentionCall) -> Any:
        given = self._stack.input_of(call)
        name = "" if given is None else given.frame.name
        if given is None or name not in self.names:
            raise TraceError(f"{self._stack.where()}: attention without a prediction path: it did not run in `attach`")
        exact = exact_scores(call)
        if self.rule is None and not torch.is_grad_enabled():
            return attend(exact, exact.allowed, call.dropout)
        if isinstance(self.rule, Fixed):
            return attend(exact, self.rule.keep & exact.allowed, call.dropout)
        path = self.paths[self.names.index(name)]
        if torch.is_grad_enabled() and self._passes % CALIBRATED_EVERY == 0:
            path.calibrate(given.x_q, given.x_kv)
        predicted, factor = path(given.x_q, given.x_kv)
        if torch.is_grad_enabled():
            self._losses.append(mse(exact, predicted, factor, call.scale))
        if self.rule is None:
            return attend(exact, exact.allowed, call.dropout)
        with torch.no_grad():
            keep = self.rule(Scores(predicted, factor * call.scale, exact.biased, exact.allowed))
        return attend(exact, keep, call.dropout)


class WithoutWeights(TorchFunctionMode):
    """nn.MultiheadAttention asked for its weights, as it is by default, computes attention by hand: not under this."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function."""
        kwargs = kwargs or {}
        return func(*args, **(kwargs | _without_weights(func)))


def _without_weights(func: Any) -> dict[str, bool]:
    return {"need_weights": False} if func is functional.multi_head_attention_forward else {}


class _Mode(TorchFunctionMode):
    """Answers scaled_dot_product_attention with `attention`; a capture around it sees the dense one of its q, k, v."""

    def __init__(self, attention: Callable[[AttentionCall], Any]) -> None:
        super().__init__()
        self._attention = attention

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the function, or DSA in its stead."""
        kwargs = kwargs or {}
        if func is functional.multi_head_attention_forward:
            with self, overrides_ignored():
                return func(*args, **(kwargs | _without_weights(func)))
        if func is not functional.scaled_dot_product_attention:
            return func(*args, **kwargs)
        if torch._C._len_torch_function_stack():  # noqa: SLF001  (no public way to ask whether a capture is on)
            func(*args, **kwargs)
        with torch._C.DisableTorchFunction():  # noqa: SLF001
            return self._attention(sdpa_call(args, kwargs, args[0] if args else kwargs["query"]))
