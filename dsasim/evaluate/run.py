"""`dsasim trace evaluate`: the model under every predictor at every density, beside the model as it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from dsasim.config.schema import ArchConfig
from dsasim.errors import TraceError
from dsasim.evaluate.attention import Fits, MaskedAttention, masked_attention
from dsasim.evaluate.cycles import cycles_of
from dsasim.evaluate.masks import masks_of
from dsasim.evaluate.result import Evaluation, EvaluationPoint
from dsasim.evaluate.task import TextTask, load_task
from dsasim.sim.engine import run_notes
from dsasim.trace.attention import AttentionTrace

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EvaluationRequest:
    """What to evaluate: designs by (method, density), the layers masked, windows of the text, whether to time."""

    source: str
    designs: Mapping[tuple[str, Decimal], ArchConfig]
    layers: tuple[int, ...]
    windows: int
    tokens: int
    text: Path | None
    with_cycles: bool


def evaluate(request: EvaluationRequest, trace: AttentionTrace, progress: Progress) -> Evaluation:
    """Run it all; one layer's masks are in memory at a time.

    TraceError, ConfigError: a model that cannot be loaded or masked, a design without the predictors it asks for.
    """
    times = {
        key: cycles_of(arch, trace, request.layers, key[0]) if request.with_cycles else (None, None)
        for key, arch in request.designs.items()
    }
    task = load_task(request.source, request.tokens, request.windows, request.text)
    fits = _fits(request, trace)
    steps = _Steps(progress, request.windows * (1 + len(request.designs)))
    with masked_attention(task.model, fits) as attention:
        dense = list(steps.count(task.outputs()))
        _check_layers(request, attention)
        points = [EvaluationPoint("dense", Decimal(1), 1.0, task.figures(dense, dense))]
        for (method, density), arch in request.designs.items():
            attention.masks, attention.kept, attention.allowed = masks_of(arch, method), 0, 0
            figures = task.figures(list(steps.count(task.outputs())), dense)
            ratio = attention.kept / attention.allowed
            points.append(EvaluationPoint(method, density, ratio, figures, *times[method, density]))
    return _evaluation(request, trace, task, attention, points)


def _evaluation(
    request: EvaluationRequest,
    trace: AttentionTrace,
    task: TextTask,
    attention: MaskedAttention,
    points: Sequence[EvaluationPoint],
) -> Evaluation:
    first = next(iter(request.designs.values()))
    predicted = next((arch for arch in request.designs.values() if not arch.predictor.free), first)
    return Evaluation(
        model=task.name,
        task=task.task,
        trace=trace.meta.name,
        arch=first.name,
        layers=request.layers,
        num_layers=len(attention.layers),
        windows=request.windows,
        tokens=request.tokens,
        text="pydoc_data.topics" if request.text is None else request.text.name,
        points=tuple(points),
        notes=run_notes(predicted, trace),
    )


def _fits(request: EvaluationRequest, trace: AttentionTrace) -> Fits:
    """Each masked layer's predictor for the design's sigma, where it has one: that of the longest sequence."""
    sigma = next(iter(request.designs.values())).predictor.sigma
    longest = {number: max(trace.batch(number), key=lambda layer: layer.L_k) for number in request.layers}
    return {number: None if sigma is None else layer.predictor(sigma) for number, layer in longest.items()}


def _check_layers(request: EvaluationRequest, attention: MaskedAttention) -> None:
    if not attention.layers:
        raise TraceError(f"{request.source}: its attention does not use transformers' interface: no mask can be set")
    if missing := [number for number in request.layers if number not in attention.layers]:
        raise TraceError(f"{request.source} has no layer {missing[0]}: is the trace of another model?")


class _Steps:
    """Counts windows over all passes."""

    def __init__(self, progress: Progress, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def count(self, outputs: Iterator[Any]) -> Iterator[Any]:
        for output in outputs:
            self._done += 1
            self._progress(self._done, self._total)
            yield output
