"""Do the stored Q, K, V give the attention output that the model itself computed?"""

import numpy as np

from dsasim.validate.check import Check, skipped
from dsasim.validate.compare import FP16_GATE, FP32_GATE, HeadError, compared
from dsasim.validate.reference import allowed_rows, exact_attention
from dsasim.validate.subject import Subject, cell_of

NAME, TITLE = "model_output", "Q, K, V give the model's own output"


def check_model_output(subject: Subject) -> list[Check]:
    """Dense attention in float64 from the trace against the model's output at the rows that a capture samples.

    The gate is that of the store: what a model computed in float32 and stored as float16 differs by its rounding.
    """
    errors, without, gate = list[HeadError](), dict[str, None](), FP32_GATE
    for layer, head in subject.heads():
        sampled = layer.sampled_outputs(head) if layer.has_qkv else None
        if sampled is None:
            without[layer.label] = None
            continue
        rows, out = sampled
        gate = max(gate, FP16_GATE if out.dtype == np.float16 else FP32_GATE)
        found = exact_attention(layer, head, rows, allowed_rows(layer, rows))
        errors.append(HeadError.of(cell_of(layer), head, found, out, rows))
    missing = f"no reference output in the trace for layer {', '.join(without)}" if without else ""
    if not errors:
        return [skipped(NAME, TITLE, "no reference output in the trace (a capture stores some rows of it)")]
    return [compared(NAME, TITLE, errors, gate, missing or "rows sampled by the capture, float64 from the trace")]
