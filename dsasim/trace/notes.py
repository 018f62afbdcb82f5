"""What a reader must be told beside every figure of a trace that is not what a model computed on unseen input.

Reuse is kept positions a key load, on dsa-decoupled (T = 4, reordered) at density 0.1, causal, 512 tokens, 9 heads:
2.2 on the best keys of smollm2-l512. Masks of a vision transformer show the same: with random masks of the same row
counts the saved loads all but vanish (1.12x, against about 2x).
"""

from collections.abc import Mapping

from dsasim.trace.attention import TraceMeta

SELF = "self"
"""`fitted_on` of a predictor that was fitted on the trace it predicts."""

PATTERN_NOTES: Mapping[str, str] = {
    "window": "near rows share nearly all keys: reuse 3.6, a model's 2.2",
    "block": "near rows share all keys: reuse 3.8, a model's 2.2",
    "random": "random masks mislead: near rows share hardly a key: reuse 1.2, a model's 2.2",
    "global_random": "random keys mislead: near rows share the global ones only: reuse 1.8, a model's 2.2",
    "top_k": "scores of smooth random vectors: reuse like a model's 2.2, quality means nothing",
}


def kind_note(meta: TraceMeta) -> str | None:
    """What a synthetic trace is good for; None for others."""
    if meta.kind != "synthetic":
        return None
    pattern = meta.provenance.get("pattern")
    return f"synthetic: {PATTERN_NOTES.get(str(pattern), 'made by a rule, not by a model')}"
