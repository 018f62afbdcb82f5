"""DSA around a model: while it is switched on, every attention that runs keeps what the rule keeps."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch

from dsasim.errors import TraceError
from dsasim.trace.capture.architecture import force_readable
from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.frames import LayerInput, ModuleStack
from dsasim.trace.capture.selection import CaptureSelection
from dsasim.trace.capture.session import Capture, CaptureWarning
from dsasim.train.dsa.attention import ExactScores, mse
from dsasim.train.dsa.mode import KeepingMode
from dsasim.train.dsa.path import PredictionPath
from dsasim.train.dsa.rules import Fixed, LayerScores, Rule

CALIBRATED_EVERY = 50
"""Training passes between two searches for static scales, which drift as weights do."""


class DsaModule(torch.nn.Module):
    """The prediction paths of a model, by the names of its attention modules; a context in which they choose.

    A module that computes several attentions in a pass, as layers that share their weights do, has a path for each.
    Inside `with dsa:` attention is computed over what `rule` keeps (None: all that is allowed), in every form that a
    capture reads: scaled_dot_product_attention and the kernels under it, FlexAttention, nn.MultiheadAttention and
    nn.Transformer, and a product, softmax and product written out. Gradients flow through scores, masks stay constants.
    """

    def __init__(self, model: Any, paths: Mapping[str, PredictionPath]) -> None:
        super().__init__()
        self.rule: Rule | None = None
        self.paths = torch.nn.ModuleList(paths.values())
        self.names = tuple(paths)
        self._model = (model,)  # not a submodule: its parameters are its own
        self._stack = ModuleStack(self._start)
        self._losses: list[Any] = []
        self._passes = 0
        self._met = Counter[str]()
        self._active = ExitStack()

    def __enter__(self) -> Self:
        """Switch DSA on."""
        with ExitStack() as undo:
            force_readable(self._model[0], undo)
            undo.callback(self._stack.detach)
            self._stack.attach(self._model[0])
            undo.enter_context(KeepingMode(self._choose, self._finished, self._lost, self._stack.where))
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
        every = CaptureSelection.of(None, None, None, 0, 0)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore", CaptureWarning)
            with Capture(self._model[0], every, "float32", 0, None) as trace, self:
                run()
        names = numbered(about["module"] for about in trace.provenance()["layers"])
        by_name = dict(zip(self.names, self.paths, strict=True))
        trace.layers[:] = [
            replace(layer, predictors=(by_name[name].trained(layer.q.shape[1], layer.k.shape[1]),))
            for name, layer in zip(names, trace.layers, strict=True)
        ]
        trace.save(path, {"dsa": {"bits": self.paths[0].bits, "rule": str(self.rule)}, **(provenance or {})})
        trace.close()

    def _start(self) -> None:
        self._losses.clear()
        self._met.clear()
        self._passes += torch.is_grad_enabled()

    def _choose(self, call: AttentionCall) -> tuple[ExactScores, Any] | None:
        """An attention's scores and what it keeps of them, bool of their shape; None leaves it dense."""
        given, learning = self._stack.input_of(call), torch.is_grad_enabled()
        path = None if given is None else self._next_path(given.frame.name)
        if given is None or path is None or (self.rule is None and not learning):
            return None
        exact = ExactScores.of(call, given.batch)
        if isinstance(self.rule, Fixed):
            return exact, (self.rule.keep & exact.allowed).expand_as(exact.scores)
        predicted, factor = self._predicted(path, given, exact)
        if learning:
            self._losses.append(mse(exact, predicted, factor))
        if self.rule is None:
            return None
        with torch.no_grad():
            keep = self.rule(LayerScores(predicted, factor * abs(call.scale), exact.scores, exact.allowed))
        return exact, keep.expand_as(exact.scores)

    def _next_path(self, module: str) -> Any:
        self._met[module] += 1
        name = nth(module, self._met[module])
        return self.paths[self.names.index(name)] if name in self.names else None

    def _predicted(self, path: Any, given: LayerInput, exact: ExactScores) -> tuple[Any, Any]:
        if torch.is_grad_enabled() and self._passes % CALIBRATED_EVERY == 0:
            path.calibrate(given.x_q, given.x_kv)
        predicted, factor = path(given.x_q, given.x_kv)
        if predicted.shape != exact.scores.shape:
            raise TraceError(
                f"{self._stack.where()}: scores {list(exact.scores.shape)}, and {list(predicted.shape)} are predicted: "
                "DSA needs the layer input of every key in the same pass (no KV cache)"
            )
        return predicted, factor

    def _finished(self, call: AttentionCall) -> None:
        given = self._stack.input_of(call)
        if given is None or nth(given.frame.name, self._met[given.frame.name]) not in self.names:
            self._lost("attention without a prediction path: it did not run in `attach`")

    def _lost(self, reason: str) -> None:
        raise TraceError(f"{self._stack.where()}: {reason}")


def nth(module: str, number: int) -> str:
    """The name of a module's `number`-th attention of a pass: the module's own for the first."""
    return module if number == 1 else f"{module} ({number})"


def numbered(modules: Iterable[str]) -> list[str]:
    """Names of attentions by the modules that computed them, in the order they ran."""
    met = Counter[str]()
    names = []
    for module in modules:
        met[module] += 1
        names.append(nth(module, met[module]))
    return names
