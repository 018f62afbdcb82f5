"""The tables of `arch list`, `trace list` and `trace info`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeGuard

from rich.console import Console
from rich.table import Table

from dsasim.config.loader import ShippedArch, load_arch
from dsasim.config.schema import ArchConfig
from dsasim.inputs.printable import printable
from dsasim.report.style import new_grid, new_table, percent
from dsasim.sim.engine import design_of
from dsasim.trace.attention import AttentionTrace, TraceMeta
from dsasim.trace.info import LayerInfo, TraceInfo
from dsasim.trace.notes import kind_note


def print_archs(archs: tuple[ShippedArch, ...], console: Console) -> None:
    """Print one row a shipped design: name, MACs, method, T, DRAM, and what it is."""
    table = new_table("design", "MACs", "method", "T", "DRAM", "what it is")
    for column in (2, 4, 5):
        table.columns[column].justify = "left"
    for shipped in archs:
        arch = load_arch(shipped.path)
        dram = f"{arch.dram.channels} x {arch.dram.preset}"
        method, rows = arch.design, ""
        if isinstance(arch, ArchConfig):
            method, rows = arch.predictor.method, str(arch.scheduler.token_parallelism)
        table.add_row(shipped.name, f"{design_of(arch).macs().array:,}", method, rows, dram, shipped.summary)
    console.print(table)


def print_traces(traces: Iterable[AttentionTrace], console: Console) -> None:
    """Print one row a shipped trace: name, kind, layers, heads, keys, and the model it is of."""
    table = new_table("trace", "kind", "layers", "heads", "L_k", "model")
    for column in (1, 2, 5):
        table.columns[column].justify = "left"
    for trace in traces:
        layers = ", ".join(map(str, trace.layer_numbers))
        layers += f" ({trace.num_sequences} sequences)" if trace.num_sequences > 1 else ""
        heads, keys = (_each(getattr(layer, name) for layer in trace) for name in ("num_heads", "L_k"))
        table.add_row(trace.meta.name, trace.meta.kind, layers, heads, keys, trace.meta.model)
    console.print(table)


def _each(counts: Iterable[int]) -> str:
    """A count that all layers have, or those that they have."""
    return ", ".join(f"{count:,}" for count in dict.fromkeys(counts))


def print_trace_info(info: TraceInfo, console: Console) -> None:
    """Print kind, provenance, shape and natural density of a trace."""
    meta = info.meta
    console.print(f"{meta.name} ({meta.kind}, {meta.model})", style="bold")
    if note := kind_note(meta):
        console.print(note, style="yellow")
    console.print(_provenance({"sha256": meta.sha256, "format version": meta.format_version, **meta.provenance}))
    console.print(_shapes(info.layers, _captured_as(meta)))
    console.print("share of the allowed keys", style="bold")
    console.print(_densities(info))


def _provenance(facts: Mapping[str, object]) -> Table:
    grid = new_grid()
    for name, value in facts.items():
        lines = value if _is_list(value) else [value]
        if lines:
            grid.add_row(name.replace("_", " "), "\n".join(_words(line, keys=line is value) for line in lines))
    return grid


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _words(value: object, *, keys: bool) -> str:
    """A value of the provenance as text: of an object its items, with their keys or without, or the value itself."""
    if not isinstance(value, Mapping):
        return printable(value)
    return printable(", ".join(f"{key} {item}" if keys else str(item) for key, item in value.items()))


def _captured_as(meta: TraceMeta) -> dict[object, object]:
    """Layer number -> self, cross or decode, where a capture noted it: shapes alone cannot tell the last two apart."""
    layers = meta.provenance.get("layers")
    noted = [layer for layer in layers if isinstance(layer, Mapping)] if _is_list(layers) else []
    return {layer.get("number"): layer["attention"] for layer in noted if "attention" in layer}


def _shapes(layers: tuple[LayerInfo, ...], captured_as: Mapping[object, object]) -> Table:
    table = new_table("layer", "heads", "kv heads", "L_q", "L_k", "d_head", "d_model", "attention", "sigma fitted")
    for layer in layers:
        kind = captured_as.get(layer.number, "self" if layer.self_attention else "cross")
        attention = f"{kind}{', causal' if layer.causal else ''}"
        counts = (layer.num_heads, layer.num_kv_heads, layer.L_q, layer.L_k, layer.d_head, layer.d_model)
        sigmas = ", ".join(map(str, layer.sigmas)) or "none"
        table.add_row(layer.label, *map(str, counts), attention, sigmas)
    return table


def _densities(info: TraceInfo) -> Table:
    """Share of the allowed keys that hold a share of the softmax mass, or that the stored mask keeps."""
    masses = tuple(info.natural_density or ())
    columns = [f"{mass:.0%} of the mass" for mass in masses]
    mask = ["kept by the mask"] if info.mask_density is not None else []
    table = new_table("layer", *columns, *mask)
    for name, natural, kept in _density_rows(info):
        cells = [percent(natural[mass]) if natural else "" for mass in masses]
        cells += [percent(kept) if kept is not None else ""] if mask else []
        table.add_row(name, *cells)
    return table


def _density_rows(info: TraceInfo) -> list[tuple[str, Mapping[float, float] | None, float | None]]:
    rows = [(layer.label, layer.natural_density, layer.mask_density) for layer in info.layers]
    return [*rows, ("all", info.natural_density, info.mask_density)]
