"""What a run is called: its design with what was changed in it, its trace, and what of that was run."""

from dsasim.config.changes import design_words
from dsasim.inputs.printable import printable
from dsasim.report.figures import Result, num_sequences


def run_title(result: Result) -> str:
    """A line that tells a run from any other: `dsa-edge with pe_array.lanes=2 on minilm-l128 (real, …)`."""
    return f"{printable(design_words(result['arch']['name'], result.get('changes', ())))} on {trace_words(result)}"


def trace_words(result: Result) -> str:
    """The trace, its kind and model, and what of it was run; the model's own name, without how it was stored."""
    trace = result["trace"]
    about = ", ".join(filter(None, (trace["kind"], trace["model"].split(" (")[0])))
    return printable(f"{trace['name']} ({about}; {selection_words(result)})")


def selection_words(result: Result) -> str:
    """Which layers and heads were run, of how many where some were left out, and a scope that is more than attention.

    `layers 0, 1; 24 heads`, or `1 of 2 layers: 1; 3 of 24 heads; scope layer`; `layers 0, 1; 2 sequences; 48 heads`.
    """
    numbers = [str(number) for number in dict.fromkeys(layer["layer"] for layer in result["layers"])]
    heads = sum(len(layer["heads"]) for layer in result["layers"])
    part = result.get("part")
    counted = "1 head" if heads == 1 else f"{heads} heads"
    if part is None:
        words = [f"layers {', '.join(numbers)}", *_batch(result), counted]
    else:
        left_out = len(numbers) < part["of_layers"]
        which = f"{len(numbers)} of {part['of_layers']} layers: " if left_out else "layers "
        words = [which + ", ".join(numbers), *_batch(result), f"{heads} of {part['of_heads']} heads"]
    return "; ".join([*words, *([] if result["scope"] == "attention" else [f"scope {result['scope']}"])])


def _batch(result: Result) -> list[str]:
    """How many sequences, where there are several."""
    count = num_sequences(result)
    return [f"{count} sequences"] if count > 1 else []
