"""`dsasim trace`: look at traces, make them, add predictors to them, compare them."""

from typing import Annotated, Literal

import typer

from dsasim.cli.inputs import DEFAULT_ARCH, DEFAULT_TRACE, Overrides, Trace, parse_sample, refuse_design
from dsasim.config.share import parse_share
from dsasim.errors import ConfigError
from dsasim.report.say import say

trace_app = typer.Typer(no_args_is_help=True, help="Look at and make attention traces.")


@trace_app.command("list")
def trace_list() -> None:
    """List the shipped traces."""
    from dsasim.report.listing import print_traces
    from dsasim.report.style import new_console
    from dsasim.trace.find import shipped_traces
    from dsasim.trace.store import open_trace

    print_traces(map(open_trace, shipped_traces().values()), new_console())


@trace_app.command("info")
def trace_info(trace: Trace = DEFAULT_TRACE) -> None:
    """Print a trace's shape, kind, provenance, and the share of keys that hold 90, 95 and 99 % of the mass."""
    from dsasim.report.listing import print_trace_info
    from dsasim.report.style import new_console
    from dsasim.trace.find import find_trace
    from dsasim.trace.info import trace_info as describe
    from dsasim.trace.store import open_trace

    refuse_design(trace)
    print_trace_info(describe(open_trace(find_trace(trace))), new_console())


Out = Annotated[str, typer.Option("--out", metavar="FILE", help="The trace to write (.safetensors).")]
DHead = Annotated[int, typer.Option(min=1, max=1 << 16, help="Numbers in one query, key or value vector.")]
KvHeads = Annotated[int | None, typer.Option(min=1, help="Key-value heads; as many as heads by default.")]
Causal = Annotated[bool, typer.Option("--causal", help="Only keys up to the query's own position exist.")]


@trace_app.command("import-mask")
def trace_import_mask(
    mask: Annotated[str, typer.Argument(metavar="MASK.npy", help="Boolean, layers × heads × L_q × L_k, True = kept.")],
    d_head: DHead,
    out: Out,
    causal: Causal = False,
    kv_heads: KvHeads = None,
    pruned_is_true: Annotated[bool, typer.Option("--pruned-is-true", help="True means pruned in this file.")] = False,
    sample: Annotated[
        str | None,
        typer.Option(metavar="N", help="Of a batch × layers × heads × L_q × L_k, sample N, or all: each a sequence."),
    ] = None,
) -> None:
    """Make a trace of kind mask from keep masks made elsewhere."""
    from pathlib import Path

    from dsasim.trace.masks import import_mask

    _check_out(out)
    options = {"causal": causal, "pruned_is_true": pruned_is_true}
    chosen = None if sample is None else parse_sample(sample, "--sample")
    import_mask(Path(mask), d_head, Path(out), num_kv_heads=kv_heads, sample=chosen, **options)
    of_batch = "" if chosen is None else f", {'all samples' if chosen == 'all' else f'sample {chosen}'} of the batch"
    say(f"wrote {out}{of_batch}")


@trace_app.command("synth")
def trace_synth(
    out: Out,
    pattern: Annotated[
        Literal["window", "block", "random", "global_random", "top_k"],
        typer.Option(help="Near keys; whole blocks; random keys, with global ones or without; the highest scores."),
    ],
    density: Annotated[str, typer.Option(metavar="SHARE", help="Share of its allowed keys that a row keeps.")] = "0.1",
    length: Annotated[int, typer.Option(min=1, max=1 << 20, help="Keys; queries, unless --queries says less.")] = 512,
    queries: Annotated[int | None, typer.Option(min=1, help="Only the last positions ask: 1 is a decode step.")] = None,
    layers: Annotated[int, typer.Option(min=1, max=1024)] = 1,
    heads: Annotated[int, typer.Option(min=1, max=1024)] = 4,
    kv_heads: KvHeads = None,
    d_head: DHead = 64,
    causal: Causal = False,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same bytes.")] = 0,
    sequences: Annotated[int, typer.Option(min=1, max=1024, help="Inputs in the batch, all of one length.")] = 1,
    block: Annotated[int, typer.Option(min=8, help="Side of a block (pattern block).")] = 64,
    global_keys: Annotated[int, typer.Option(min=1, help="First keys that every row keeps (global_random).")] = 16,
    qkv: Annotated[
        bool, typer.Option("--qkv", help="Also queries, keys, values and inputs (top_k), not the masks alone.")
    ] = False,
) -> None:
    """Make a synthetic trace: masks by a rule, not from a model. It says so wherever it is used."""
    from pathlib import Path

    from dsasim.trace.info import trace_mask_density
    from dsasim.trace.notes import kind_note
    from dsasim.trace.store import open_trace
    from dsasim.trace.synthetic import Synthetic, write_synthetic

    _check_out(out)
    wanted = Synthetic(
        pattern=pattern,
        density=parse_share(density, "--density"),
        L_q=length if queries is None else queries,
        L_k=length,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=heads if kv_heads is None else kv_heads,
        d_head=d_head,
        causal=causal,
        seed=seed,
        block=block,
        num_global=global_keys,
        num_sequences=sequences,
    )
    write_synthetic(Path(out), wanted, with_qkv=qkv)
    made = open_trace(Path(out))
    say(f"wrote {out}: {100 * trace_mask_density(made):.1f} % of the allowed positions kept")
    _warn(kind_note(made.meta))


@trace_app.command("fit-predictor")
def trace_fit_predictor(
    trace: Trace,
    sigma: Annotated[
        list[str] | None,
        typer.Option(metavar="SHARE", help="Columns of the projection over d_model; may be repeated. 0.25 by default."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="The trace to write; TRACE-fitted.safetensors by default.")
    ] = None,
    rotary_base: Annotated[
        float | None, typer.Option(min=1.000001, help="Theta of a model that rotates Q and K, such as 10000.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="Columns a head; k / heads by default.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Draws the projection.")] = 0,
) -> None:
    """Fit DSA's predictor to a trace, from that trace alone, and write the trace that has it."""
    import os
    from pathlib import Path

    # before NumPy is loaded: the products are small, and with one thread the same trace gives the same bytes
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dsasim.report.progress import LateProgress
    from dsasim.trace.find import SUFFIX, find_trace
    from dsasim.trace.store import open_trace
    from dsasim.train.self_fit import fit_trace, known_rotary_base

    sigmas = [parse_share(text, "--sigma") for text in sigma or ["0.25"]]
    refuse_design(trace)
    source = find_trace(trace)
    target = out or f"{source.stem}-fitted{SUFFIX}"
    _check_out(target)
    opened = open_trace(source)
    base = known_rotary_base(opened) if rotary_base is None else rotary_base
    with LateProgress(f"fitting {opened.meta.name}") as progress:
        fit_trace(source, Path(target), sigmas, rotary_base=base, rank=rank, seed=seed, progress=progress)
    columns = "no position columns" if base is None else f"position columns of rotary base {base:g}"
    say(f"wrote {target}: sigma {', '.join(map(str, sorted(set(sigmas))))}, {columns}")
    _warn("the predictors were fitted on the trace they predict (fitted_on: self): expect less on unseen input")
    if base is None and any(layer.causal for layer in opened):
        _warn("a model that rotates Q and K (Llama, Qwen, Mistral, ...) needs --rotary-base: its input has no position")


@trace_app.command("compare")
def trace_compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A trace of one input.")],
    b: Annotated[str, typer.Argument(metavar="B", help="A trace of the same layers on another input.")],
    arch: Annotated[str, typer.Option(metavar="ARCH", help="The design that makes the masks.")] = DEFAULT_ARCH,
    method: Annotated[
        str,
        typer.Option(help="Its predictor.method: oracle_topk, the model's own patterns, or a method that predicts."),
    ] = "oracle_topk",
    density: Annotated[str, typer.Option(metavar="SHARE", help="Its mask_generator.density.")] = "0.1",
    overrides: Overrides = None,
    json: Annotated[str | None, typer.Option(metavar="FILE", help="Write the whole result; - for stdout.")] = None,
    plot: Annotated[str | None, typer.Option(metavar="FILE.svg", help="Draw a cell for each head.")] = None,
) -> None:
    """Measure how the masks of each head overlap between two inputs; a trace of masks alone brings its own."""
    from dsasim.report.files import DRAWING, STDOUT, check_writable, write_json, write_text

    for path, flag, endings in ((json, "--json", ()), (plot, "--plot", DRAWING)):
        if path is not None:
            check_writable(path, flag, endings)
    from dsasim.config.loader import load_arch, usual_arch
    from dsasim.trace.find import find_trace
    from dsasim.trace.store import open_trace

    chosen = (f"predictor.method={method}", f"mask_generator.density={parse_share(density, '--density')}")
    design = usual_arch(load_arch(arch, (*chosen, *(overrides or ()))), "dsasim trace compare")
    for trace in (a, b):
        refuse_design(trace)
    traces = open_trace(find_trace(a)), open_trace(find_trace(b))

    from dsasim.quality.overlap import compare_masks
    from dsasim.report.overlap import Comparison, overlap_json, overlap_svg, print_overlap
    from dsasim.report.progress import LateProgress

    with LateProgress("comparing masks") as progress:
        result = Comparison(*traces, design, compare_masks(*traces, design, progress))
    if plot is not None:
        write_text(plot, "--plot", overlap_svg(result))
    if json is not None:
        write_json(json, "--json", overlap_json(result))
    if STDOUT not in (json, plot):
        from dsasim.report.style import new_console

        print_overlap(result, new_console())


def _check_out(out: str) -> None:
    from pathlib import Path

    from dsasim.inputs.printable import unprintable
    from dsasim.report.files import STDOUT, check_writable
    from dsasim.trace.find import SUFFIX

    if out == STDOUT:
        raise ConfigError("--out -: a trace is written to a file, not to stdout")
    if found := unprintable(Path(out).stem):
        raise ConfigError(f"--out {out}: a trace is called by its file, and no name may hold '{found}'")
    check_writable(out, "--out", (SUFFIX,))


def _warn(note: str | None) -> None:
    if note:
        say(f"dsasim: warning: {note}", err=True)


@trace_app.command("extract")
def trace_extract(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="A Hugging Face model folder, an installed model package, or module:function that returns a model and "
            "its inputs (a dict, a tuple, a tensor, or a function of the model that runs it).",
        ),
    ],
    out: Annotated[str, typer.Option(metavar="FILE", help="The trace to write (.safetensors).")],
    layers: Annotated[str | None, typer.Option(metavar="0,3", help="Layers kept, all by default.")] = None,
    heads: Annotated[str | None, typer.Option(metavar="0-3", help="Query heads kept, all by default.")] = None,
    rows: Annotated[str | None, typer.Option(metavar="96-127", help="Query rows kept, all by default.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Length of the input text of a model folder or package.")] = 128,
    text: Annotated[str | None, typer.Option(metavar="FILE", help="Its text; that of pydoc_data by default.")] = None,
    sample: Annotated[
        str, typer.Option(metavar="N", help="Element of the batch, or all: each becomes a sequence of the trace.")
    ] = "0",
    step: Annotated[int, typer.Option(min=0, help="Forward pass, when SOURCE runs several.")] = 0,
    dtype: Annotated[Literal["float16", "float32"], typer.Option(help="What is stored.")] = "float16",
) -> None:
    """Run a PyTorch model and store its attention as a trace (needs the extra `torch`)."""
    from pathlib import Path

    from dsasim.trace.capture import needs_torch
    from dsasim.trace.capture.selection import CaptureSelection, parse_numbers

    _check_out(out)
    selection = CaptureSelection(
        layers=None if layers is None else parse_numbers(layers, "--layers"),
        heads=None if heads is None else parse_numbers(heads, "--heads"),
        rows=None if rows is None else parse_numbers(rows, "--rows"),
        sample=parse_sample(sample, "--sample"),
        step=step,
    )
    needs_torch()
    from dsasim.trace.capture.extract import extract

    for line in extract(source, Path(out), selection, tokens, None if text is None else Path(text), dtype):
        say(line, err=not line.startswith("wrote"))
