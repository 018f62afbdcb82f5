"""Which modules of a model are running and what they were given: a layer's name, number and input come from them."""

import inspect
import math
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch

from dsasim.trace.capture.call import AttentionCall
from dsasim.trace.capture.lineage import version_of

ATTENTION_CLASS = re.compile(r"attention|attn", re.IGNORECASE)
CONVOLUTIONS = (torch.nn.Conv1d, torch.nn.Conv2d)
NOT_AN_INPUT = re.compile(r"mask|bias|pos(?!t)|cos|sin|cache|past|weight|index|residual", re.IGNORECASE)
"""Names of arguments that are no layer input."""


@dataclass
class Frame:
    """One running module: its name in the model, and its tensor arguments by parameter name, in order."""

    name: str
    module: Any
    inputs: dict[str, Any]
    seen: bool = False
    taken: set[tuple[Any, ...]] = field(default_factory=set)
    """Inputs that an attention in it was said to have."""
    args: tuple[Any, ...] = ()
    """Its positional arguments, as the capture's hook was given them."""
    versions: tuple[int, ...] = ()
    """How often each input had been changed in place when the module was given it."""
    elsewhere: bool = False
    """Ran in another thread, where PyTorch shows its functions to nobody who asked in this one."""

    @property
    def changed(self) -> bool:
        """Whether an input was changed in place since."""
        return self.versions != _versions(self.inputs)


@dataclass(frozen=True)
class LayerInput:
    """What the attention module of a call was given: x_q [B, L_q, D]; x_kv [B, keys, D'], None for x_q itself.

    The last `own_keys` keys of the call are the module's own (bias_k, add_zero_attn) and come from no input.
    """

    frame: Frame
    batch: int
    x_q: Any
    x_kv: Any
    own_keys: int


@dataclass
class ModuleStack:
    """The modules that run now, outermost first, kept by hooks on every module of the model.

    `on_start` is called when a forward pass of the model begins; `on_unseen` with the frame of an attention module that
    ended without `mark_seen` in it; `on_raise` when a forward pass ends with an exception;
    `on_replaced` when a module with a captured attention turns out to have got other arguments, from a later hook.
    """

    on_start: Callable[[], None]
    on_unseen: Callable[[Frame], None] = lambda _: None
    on_raise: Callable[[BaseException], None] = lambda _: None
    on_replaced: Callable[[Frame], None] = lambda _: None
    frames: list[Frame] = field(default_factory=list)
    _thread: int = field(default_factory=threading.get_ident)
    _handles: list[Any] = field(default_factory=list)

    def attach(self, model: Any) -> None:
        """Hook every module; the hooks return nothing, so that they change nothing."""
        self._thread = threading.get_ident()
        for name, module in getattr(model, "_orig_mod", model).named_modules():  # what torch.compile wrapped
            if isinstance(module, torch.jit.ScriptModule):
                continue
            before = self._entering(name)
            self._handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._leaving, always_call=True))

    def detach(self) -> None:
        """Remove the hooks."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.frames.clear()

    def mark_seen(self) -> None:
        """An attention was seen in all modules that run now."""
        for frame in self.frames:
            frame.seen = True

    def where(self) -> str:
        """The innermost running module, as text."""
        if not self.frames:
            return "outside the model's modules"
        frame = self.frames[-1]
        return f"{frame.name or 'the model itself'} ({type(frame.module).__name__})"

    def input_of(self, call: AttentionCall) -> LayerInput | None:
        """The innermost module that has weights and was given an input of L_q rows; None when there is none."""
        for frame in reversed(self.frames):
            if next(frame.module.parameters(), None) is not None:
                found = _inputs_for(frame, call)
                if found is not None:
                    return found
        return None

    def _entering(self, name: str) -> Callable[[Any, Any, Any], None]:
        def enter(module: Any, args: Any, kwargs: Any) -> None:
            if threading.get_ident() != self._thread:
                self._unseen(Frame(name, module, {}, elsewhere=True))
                return
            if not self.frames:
                self.on_start()
            inputs = _tensors_by_name(module, args, kwargs)
            self.frames.append(Frame(name, module, inputs, args=args, versions=_versions(inputs)))

        return enter

    def _leaving(self, module: Any, args: Any, output: Any) -> None:
        error = sys.exc_info()[1] if output is None else None  # a hook that is always called runs where it is handled
        while self.frames and threading.get_ident() == self._thread:
            frame = self.frames.pop()
            if frame.module is module:
                self._unseen(frame)
                if frame.taken and any(now is not then for now, then in zip(args, frame.args, strict=False)):
                    self.on_replaced(frame)
                if error is not None and not self.frames:
                    self.on_raise(error)
                return

    def _unseen(self, frame: Frame) -> None:
        if not frame.seen and ATTENTION_CLASS.search(type(frame.module).__name__):
            self.on_unseen(frame)


def _versions(inputs: dict[str, Any]) -> tuple[int, ...]:
    return tuple(map(version_of, inputs.values()))


def _tensors_by_name(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The floating tensors among the direct arguments that may be layer inputs."""
    try:
        bound = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
    except (TypeError, ValueError):
        bound = {str(at): value for at, value in enumerate(args)} | kwargs
    return {name: value for name, value in _flat(bound) if _may_be_input(name, value)}


def _flat(arguments: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in arguments.items():
        if isinstance(value, dict):
            yield from value.items()
        elif isinstance(value, tuple) and name in ("args", "inputs"):
            yield from ((f"{name}{at}", item) for at, item in enumerate(value))
        else:
            yield name, value


def _may_be_input(name: str, value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and not NOT_AN_INPUT.search(name)


def _inputs_for(frame: Frame, call: AttentionCall) -> LayerInput | None:
    sequence_first = getattr(frame.module, "batch_first", True) is False
    tensors = list(frame.inputs.values())
    if any(isinstance(child, CONVOLUTIONS) for child in frame.module.children()):
        tensors = [_channels_last(tensor, call) for tensor in tensors]
    if call.swapped:
        tensors.reverse()
    for tensor in tensors:
        x_q = _as_rows(tensor, call.L_q, call.lead, sequence_first=sequence_first)
        if x_q is not None:
            own_keys = _own_keys(frame.module)
            others = [other for other in tensors if not _same(other, tensor)]
            keys = [_as_rows(other, call.L_k - own_keys, call.lead, sequence_first=sequence_first) for other in others]
            x_kv = next((key for key in keys if key is not None and key.shape[0] == x_q.shape[0]), None)
            return LayerInput(frame, int(x_q.shape[0]), x_q, x_kv, own_keys)
    return None


def _channels_last(tensor: Any, call: AttentionCall) -> Any:
    """What a module of convolutions was given, [B, D, L] or [B, D, rows, columns], as [B, L, D] if L is the call's."""
    if tensor.ndim in (3, 4) and math.prod(tensor.shape[2:]) in (call.L_q, call.L_k):
        return tensor.flatten(2).mT
    return tensor


def _own_keys(module: Any) -> int:
    """Keys that nn.MultiheadAttention appends to those of its input."""
    if not isinstance(module, torch.nn.MultiheadAttention):
        return 0
    return int(module.bias_k is not None) + int(module.add_zero_attn)


def _same(a: Any, b: Any) -> bool:
    """One tensor, or two views that say the same: self-attention may be called with either."""
    return a is b or bool(a.shape == b.shape and a.dtype == b.dtype and torch.equal(a, b))


def _as_rows(tensor: Any, length: int, lead: tuple[int, ...], *, sequence_first: bool) -> Any:
    """A layer input as [B, length, D] where B divides the leading axes of the scores; None when it is not one.

    [B, L, D], [L, B, D], unbatched [L, D], or an image [B, rows, columns, D] whose positions are the sequence.
    """
    shape, total = tensor.shape, math.prod(lead)

    def fits(batch: int, extent: int) -> bool:
        return extent == length and batch > 0 and total % batch == 0

    if tensor.ndim == 2 and shape[0] == length:
        return tensor[None]
    if tensor.ndim == 3:
        batch_first = fits(shape[0], shape[1])
        # a batch of one-row inputs looks like the transpose of a sequence: there the scores' first axis decides
        length_first = fits(shape[1], shape[0]) and (len(lead) == 1 or shape[1] == lead[0])
        if length_first and (sequence_first or not batch_first):
            return tensor.transpose(0, 1)
        return tensor if batch_first else None
    if tensor.ndim == 4 and fits(shape[0], shape[1] * shape[2]):
        return tensor.flatten(1, 2)
    return None
