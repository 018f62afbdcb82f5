"""One capture: hooks and modes on while the model runs, layers to disk one by one, and what is missing said."""

import platform
import re
import shutil
import tempfile
import warnings
import weakref
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import torch

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.capture.architecture import force_readable, model_name, rotary_base, versions
from dsasim.trace.capture.call import (
    AttentionCall,
    first_head_keys,
    one_query_unfolded,
    one_sample,
    without_trailing_keys,
)
from dsasim.trace.capture.eager import UNUSED
from dsasim.trace.capture.feed_forward import feed_forward
from dsasim.trace.capture.frames import Frame, LayerInput, ModuleStack
from dsasim.trace.capture.functions import AttentionMode, OperatorMode
from dsasim.trace.capture.history import InputHistory
from dsasim.trace.capture.layer import (
    build_layer,
    rebuilt_rel_l2,
    sample_outputs,
    seen_positions,
    tolerance,
)
from dsasim.trace.capture.selection import CaptureSelection, ranges
from dsasim.trace.capture.spill import spill
from dsasim.trace.store import Dtype, trace_in_memory, write_trace

ELSEWHERE = " in another thread: a capture sees the one it began in"
NOTHING_SEEN = (
    ", and no attention was seen in it: an extension that PyTorch does not know of, or attention without softmax"
)


class CaptureWarning(UserWarning):
    """Something of the model's attention that is not in the trace, or not as the model had it."""


class Capture:
    """Captures what runs inside its `with` block; afterwards `save(path)` writes it and `trace` reads it.

    `layers`: what was captured, its arrays mapped from scratch files. `not_captured` and `notes`: text, also warned of
    at the end of the block and stored with the trace. `close()` deletes the scratch files, as the end of the object
    does; `layers` are gone then.
    """

    def __init__(
        self, model: Any, selection: CaptureSelection, dtype: Dtype, num_outputs: int, scratch: Path | None
    ) -> None:
        if not isinstance(model, torch.nn.Module):
            raise TraceError(f"capture takes a torch.nn.Module, not {type(model).__name__}")
        if isinstance(model, torch.jit.ScriptModule):
            raise TraceError(
                "capture: a TorchScript model does not show its inside; capture the module it was made from"
            )
        if dtype not in ("float16", "float32"):
            raise TraceError(f"capture: dtype {dtype!r} is neither 'float16' nor 'float32'")
        self.layers: list[LayerArrays] = []
        self._model, self._selection, self._dtype, self._num_outputs = model, selection, dtype, num_outputs
        self._said: Counter[str] = Counter()
        self._missed: Counter[str] = Counter()
        self._about: list[dict[str, Any]] = []
        self._step, self._last, self._batches = -1, -1, set[int]()
        self._stack = ModuleStack(self._start_step, self._unseen, self._raised, self._replaced)
        self._mode = AttentionMode(self._captured, self._lost, self._softmax_place)
        self._folder = Path(tempfile.mkdtemp(prefix="dsasim-capture-", dir=scratch))
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._history = InputHistory(self._folder)
        self._active = ExitStack()

    def __enter__(self) -> Self:
        """Switch the capture on; a model whose attention runs in a compiled or fused form runs plainly meanwhile."""
        with ExitStack() as undo:
            self._note(*force_readable(self._model, undo))
            undo.callback(self._stack.detach)
            self._stack.attach(self._model)
            undo.enter_context(self._mode)
            undo.enter_context(OperatorMode(self._mode.on_operator))
            self._active = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        """Switch it off, and warn of all that is not in the trace."""
        self._active.__exit__(kind, error, where)
        if error is None:
            self._finish()
            for text in (*self.not_captured, *self.notes):
                warnings.warn(text, CaptureWarning, stacklevel=2)

    @property
    def not_captured(self) -> list[str]:
        """Attention that ran and is not in the trace, and why."""
        return _counted(self._missed)

    @property
    def notes(self) -> list[str]:
        """What is in the trace otherwise than in the model."""
        return _counted(self._said)

    @property
    def trace(self) -> AttentionTrace:
        """What was captured as a trace, for `simulate` without a file; TraceError when nothing was."""
        return trace_in_memory(
            type(self._model).__name__,
            self._checked(),
            kind="real",
            model=model_name(self._model),
            provenance=self.provenance(),
            dtype=self._dtype,
        )

    def save(self, path: str | Path, provenance: Mapping[str, Any] | None = None) -> None:
        """Write the trace; `provenance` joins what the capture says. TraceError: nothing captured, nowhere to write."""
        write_trace(
            Path(path),
            self._checked(),
            kind="real",
            model=model_name(self._model),
            provenance=self.provenance() | dict(provenance or {}),
            dtype=self._dtype,
        )

    def provenance(self) -> dict[str, Any]:
        """Where each layer comes from, what was selected, what was not captured; no paths, no dates."""
        theta = rotary_base(self._model)
        return {
            "captured_by": "dsasim.trace.capture",
            "versions": versions() | {"python": platform.python_version()},
            "forward_pass": self._selection.step,
            "batch": f"{self._sample_words} of {', '.join(map(str, sorted(self._batches)))}",
            "layers": self._about,
            "not_captured": self.not_captured,
            "notes": self.notes,
        } | ({} if theta is None else {"rotary_base": theta})

    @property
    def _sample_words(self) -> str:
        sample = self._selection.sample
        return "all samples" if sample == "all" else f"sample {sample}"

    def _checked(self) -> list[LayerArrays]:
        if not self.layers:
            raise TraceError("no attention was captured", *self.not_captured)
        return self.layers

    def _finish(self) -> None:
        self._say_unused()
        wanted = self._selection.layers
        missing = [] if wanted is None else [number for number in wanted if number > self._last]
        if missing:
            raise TraceError(f"layers: no layer {ranges(missing)}; the model's attention layers are 0-{self._last}")
        if self._step < self._selection.step:
            ran = f"step {self._selection.step}: the model ran {self._step + 1} forward passes"
            raise TraceError(ran, *self.not_captured)
        if self._last < 0 and not self._missed:
            self._missed["no attention was seen in the model: it has none, or its kernels call none of PyTorch's"] += 1
        if later := self._step - self._selection.step:
            self._note(f"{later} later forward passes ran and are not in the trace: step=… keeps another one")
        if (batch := max(self._batches, default=1)) > 1 and self._selection.sample != "all":
            kept = f"of a batch of {batch} {self._sample_words} is in the trace"
            self._note(f"{kept}: sample=… keeps another, or all")

    def _start_step(self) -> None:
        self._say_unused()
        self._step += 1

    def _softmax_place(self) -> str:
        self._stack.mark_seen()
        return self._stack.where()

    def _say_unused(self) -> None:
        for where in self._mode.unused():
            if self._step == self._selection.step:
                self._missed[f"{where}: {UNUSED}"] += 1

    def _unseen(self, frame: Frame) -> None:
        if frame.elsewhere or self._step == self._selection.step:
            why = ELSEWHERE if frame.elsewhere else NOTHING_SEEN
            self._missed[f"{frame.name or 'the model itself'} ({type(frame.module).__name__}) ran{why}"] += 1

    def _raised(self, error: BaseException) -> None:
        self._missed[f"forward pass {self._step} ended with {type(error).__name__}: what came after it is missing"] += 1

    def _replaced(self, frame: Frame) -> None:
        where = f"{frame.name or 'the model itself'} ({type(frame.module).__name__})"
        self._note(f"{where}: a hook set after the capture began replaced its input: X is as it was before that hook")

    def _lost(self, reason: str) -> None:
        if self._step == self._selection.step:
            self._missed[f"{self._stack.where()}: its attention could not be followed: {reason}"] += 1
        self._stack.mark_seen()

    def _captured(self, call: AttentionCall) -> None:
        self._stack.mark_seen()
        if self._step > self._selection.step:
            return
        try:
            self._take(call)
        except TraceError as error:
            if str(error).startswith(("heads:", "rows:", "sample:")):
                raise
            if self._step == self._selection.step:
                self._missed[f"{self._stack.where()}: {error}"] += 1

    def _take(self, call: AttentionCall) -> None:
        given = self._stack.input_of(call)
        if given is None and len(call.lead) > 1:
            call = one_query_unfolded(call)
            given = self._stack.input_of(call)
        if given is None:
            self._last += self._step == self._selection.step
            raise TraceError("no module around it was given an input with a row for each query: there is no X to store")
        samples = self._selection.samples(given.batch)
        if self._step < self._selection.step:
            for sample in samples:
                self._history.add(given, sample, first_head_keys(call, given.batch, sample))
            return
        number = self._last = max(self._last + 1, _own_number(given.frame.name))
        if self._selection.keeps(number):
            self._keep(number, call, given)

    def _keep(self, number: int, call: AttentionCall, given: LayerInput) -> None:
        notes: dict[str, None] = {}
        beside = feed_forward(self._model, given.frame.name, int(given.x_q.shape[-1]))
        kind = np.float16 if self._dtype == "float16" else np.float32
        layers = []
        for sequence, sample in enumerate(self._selection.samples(given.batch)):
            layer = replace(self._built(number, sample, call, given, notes), sequence=sequence)
            layers.append(spill(replace(layer, d_ff=beside.d_ff, gated=beside.gated), self._folder, kind))
        self.layers += layers
        self._batches.add(given.batch)
        if call.dropout:
            self._note(
                f"dropout of {call.dropout:g} was on: the trace has the probabilities without it, and no outputs"
            )
        self._note_on(call, given, notes, biased=any(layer.bias is not None for layer in layers))
        self._note(*[beside.note] * bool(beside.note))
        self._about.append(self._describe(number, call, given))

    def _built(
        self, number: int, sample: int, call: AttentionCall, given: LayerInput, notes: dict[str, None]
    ) -> LayerArrays:
        """The layer on one sample of the batch; what the format says otherwise joins `notes`."""
        found = one_sample(call, given.batch, sample)
        found = without_trailing_keys(found, self._history.known_keys(given, sample))
        self._history.check(given, sample, found.k[0])
        inputs = self._history.inputs(found.k.shape[1], given, sample)
        layer, said = build_layer(number, found, inputs, call.scale, causal=call.causal, selection=self._selection)
        notes |= dict.fromkeys(said)
        return self._with_outputs(layer, call)

    def _note_on(self, call: AttentionCall, given: LayerInput, found: Iterable[str], *, biased: bool) -> None:
        """Say what was `found` and what else of a layer is otherwise than in the model."""
        notes = list(found)
        if given.own_keys:
            notes.append(f"{given.own_keys} keys are the module's own: their layer input is stored as zeros")
        x = (given.x_q.data_ptr(), *given.x_q.shape)
        if x in given.frame.taken:
            notes.append(
                "several attentions ran on one input of this module: that of the later ones may be another "
                "(heads or samples computed one by one are a layer each: give such a model a batch of one)"
            )
        given.frame.taken.add(x)
        if given.frame.changed:
            notes.append("its input was changed in place before its attention: X is as it was then")
        if call.altered and biased:
            notes.append(
                f"its scores went through {call.altered}: what that changed is stored as a bias on scale * q k^T"
            )
        self._note(*(f"{given.frame.name or 'the model itself'}: {note}" for note in notes))

    def _with_outputs(self, layer: LayerArrays, call: AttentionCall) -> LayerArrays:
        """The layer with sampled outputs, which are what q, k, v and the mask give; TraceError when they are not."""
        if call.dropout:
            return replace(layer, out=None)
        seen = seen_positions(layer)
        layer = sample_outputs(layer, self._num_outputs, seen)
        if layer.out is not None and (error := rebuilt_rel_l2(layer, seen)) > tolerance(call.eps):
            raise TraceError(
                f"the output rebuilt from q, k, v, mask and scale is off by {error:.1g} (rel. L2): the model does more "
                "than softmax(scale * q k^T + mask) v, such as attention sinks or changed probabilities"
            )
        return layer

    def _describe(self, number: int, call: AttentionCall, given: LayerInput) -> dict[str, Any]:
        """What the provenance says of one layer."""
        cross = given.x_kv is not None
        about = {
            "number": number,
            "module": given.frame.name,
            "class": type(given.frame.module).__name__,
            "attention": "cross" if cross else "decode" if call.L_k - given.own_keys > call.L_q else "self",
            "seen_as": call.route,
        }
        if self._selection.heads is not None:
            about["heads"] = ranges(self._selection.heads)
        if self._selection.rows is not None:
            about["rows"] = f"{ranges(self._selection.rows)} of {call.L_q}"
        return about

    def _note(self, *texts: str) -> None:
        self._said.update(texts)


def _own_number(name: str) -> int:
    """The first number in a module's name: 13 in `model.layers.13.self_attn`; -1 without one."""
    found = re.search(r"(?:^|\.)(\d+)(?:\.|$)", name)
    return int(found[1]) if found else -1


def _counted(texts: Counter[str]) -> list[str]:
    return [printable(text) + (f" ({times} times)" if times > 1 else "") for text, times in texts.items()]
