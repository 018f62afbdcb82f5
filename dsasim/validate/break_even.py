"""From which length on do prediction and sparse attention beat dense attention, on the simulated accelerator?

A trace is run on its first 16, 32, ... tokens, as `dsasim run` does it: with its fitted predictor, against dense
machines of the same MACs and of the same area. The first tokens of a causal model's input are an input of their own;
those of a bidirectional one have been mixed with the rest, which changes masks, not how many keys they keep.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from dsasim.api import RunResult, simulate
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.sim.design import Progress
from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import AttentionTrace, FittedPredictor, LayerTrace
from dsasim.trace.store import trace_in_memory
from dsasim.validate.check import Cell, Check, CheckTable, skipped
from dsasim.validate.statistics import break_even

NAME = "break_even"
TITLE = "accelerator's break-even length"
SHORTEST = 16
COLUMNS = ("L", "kept", "cycles", "us", "dense cycles", "dense / ours", "at equal area", "use of MACs", "DRAM MB")


def check_break_even(
    arch: ArchConfig, trace: AttentionTrace, selection: Mapping[int, Sequence[int]], progress: Progress | None = None
) -> Check:
    """Simulate ever longer beginnings of the trace, up to all of it: measured, no gate."""
    layers = [layer for layer, _ in trace.chosen(selection)]
    if reason := _obstacle(arch, layers):
        return skipped(NAME, TITLE, reason)
    whole = all(len(heads) == trace.layer(number).num_heads for number, heads in selection.items())
    heads = None if whole else next(iter(selection.values()))
    lengths, runs = _lengths(layers[0].L_q), dict[int, RunResult]()
    for done, L in enumerate(lengths):
        if progress is not None:
            progress(done, len(lengths))
        shorter = trace_in_memory(trace.meta.name, [beginning(layer, L, arch) for layer in layers], dtype="float32")
        try:
            runs[L] = simulate(arch, shorter, selection, heads, quality=False, gpus=())
        except ConfigError as error:
            return skipped(NAME, TITLE, f"the first {L} tokens cannot be run: {error}")
    return judged(runs)


def judged(runs: Mapping[int, RunResult]) -> Check:
    """The lengths from which on both ratios stay above 1, and the runs."""
    ratios = {"break_even_same_macs": list(_same_macs(runs)), "break_even_equal_area": list(_equal_area(runs))}
    figures: dict[str, Cell] = {name: break_even(of_length) for name, of_length in ratios.items()}
    words = ["never" if length is None else f"from {length} tokens on" for length in figures.values()]
    return Check(
        NAME,
        TITLE,
        "measured",
        f"with its prediction it beats the same MACs used densely: {words[0]}; a dense machine of its area: {words[1]}"
        " (of the lengths simulated)",
        figures=figures,
        tables=(CheckTable("the first L tokens on the accelerator, prediction included", COLUMNS, tuple(_rows(runs))),),
    )


def beginning(layer: LayerTrace, L: int, arch: ArchConfig) -> LayerArrays:
    """The first L positions of a self-attention layer, with the design's predictor."""
    heads, kv_heads = range(layer.num_heads), range(layer.num_kv_heads)
    biases = [bias[:L, :L] for head in heads if (bias := layer.bias(head)) is not None]
    sigma = arch.predictor.sigma
    fitted = None if sigma is None else layer.predictor(sigma)
    return LayerArrays(
        number=layer.number,
        q=np.stack([layer.q(head)[:L] for head in heads]),
        k=np.stack([layer.k(head)[:L] for head in kv_heads]),
        v=np.stack([layer.v(head)[:L] for head in kv_heads]),
        x_q=layer.x_q()[:L],
        causal=layer.causal,
        scale=layer.scale,
        allowed=layer.allowed()[:L, :L],
        bias=np.stack(biases) if biases else None,
        predictors=() if fitted is None else (_beginning(fitted, L),),
        sequence=layer.sequence,
    )


def _beginning(fitted: FittedPredictor, L: int) -> FittedPredictor:
    return FittedPredictor(
        sigma=fitted.sigma,
        projection=fitted.projection,
        w_q=fitted.w_q,
        w_k=fitted.w_k,
        extra_q=fitted.extra_q[:L],
        extra_k=fitted.extra_k[:L],
        scales=fitted.scales,
        position_columns=fitted.position_columns,
        fitted_on=fitted.fitted_on,
    )


def _obstacle(arch: ArchConfig, layers: Sequence[LayerTrace]) -> str:
    """Why there is nothing to compare; empty if there is."""
    if not all(layer.has_qkv for layer in layers):
        return "the trace holds masks only: their prediction is not known"
    if arch.predictor.free:
        return f"predictor.method {arch.predictor.method} is free of charge, so it has no break-even"
    if not all(layer.self_attention and layer.L_q == layer.L_k for layer in layers):
        return "queries and keys are not the same positions (cross-attention, or decoding)"
    if len({layer.L_q for layer in layers}) > 1:
        return "the layers have different lengths"
    return ""


def _lengths(L: int) -> list[int]:
    """Powers of two from SHORTEST, and L."""
    return [*(1 << power for power in range(SHORTEST.bit_length() - 1, L.bit_length()) if 1 << power < L), L]


def _same_macs(runs: Mapping[int, RunResult]) -> Iterator[tuple[int, float]]:
    for L, run in runs.items():
        if run.baseline is not None:
            yield L, run.baseline.speedup_vs_dense


def _equal_area(runs: Mapping[int, RunResult]) -> Iterator[tuple[int, float]]:
    for L, run in runs.items():
        if run.baseline is not None and run.baseline.iso_area is not None:
            yield L, run.baseline.iso_area.speedup_ratio


def _rows(runs: Mapping[int, RunResult]) -> Iterator[tuple[Cell, ...]]:
    same_macs, equal_area = dict(_same_macs(runs)), dict(_equal_area(runs))
    for L, run in runs.items():
        machine = run.machine
        heads = [head for layer in machine.layers for head in layer.heads]
        allowed = sum(head.nnz / head.density for head in heads if head.density)
        yield (
            L,
            sum(head.nnz for head in heads) / allowed,
            machine.cycles,
            machine.cycles / (1e3 * float(run.arch.clock_ghz)),
            run.baseline.dense_cycles if run.baseline is not None else None,
            same_macs[L],
            equal_area.get(L, ""),
            machine.units["pe_array"].utilisation_ratio,
            1e-6 * (machine.counters["dram_read_bytes"] + machine.counters["dram_write_bytes"]),
        )
