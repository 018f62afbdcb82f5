"""A packaged text model with its own task: predicting the next token, or embedding a text."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn.functional import cosine_similarity, cross_entropy

from dsasim.errors import TraceError
from dsasim.inputs.source import Source
from dsasim.trace.capture.sources import load_text_model, model_folder, read_input

CAUSAL = ("ForCausalLM", "LMHeadModel")
"""Ends of the class names of models that predict the next token."""
MAX_CONFIG_BYTES = 1 << 24
"""Of a model's config.json: it is a few kilobytes, or a megabyte where it names a hundred thousand classes."""
ROWS = 256
"""Rows of logits that are in memory at a time: a vocabulary is wide."""


@dataclass(frozen=True)
class TextTask:
    """The model, its task's name (`result.TASKS`), and the windows int64 [windows, tokens] it is run on."""

    name: str
    model: Any
    task: Literal["perplexity", "cosine"]
    windows: Any

    def outputs(self) -> Iterator[Any]:
        """What `figures` needs of each window: negative log-likelihood and hit of every next token, or an embedding."""
        for ids in self.windows:
            with torch.no_grad():
                yield _next_tokens(self.model, ids[None]) if self.task == "perplexity" else _embedding(self.model, ids)

    def figures(self, outputs: Sequence[Any], dense: Sequence[Any]) -> Mapping[str, float]:
        """The task's figure first."""
        found, reference = torch.stack(list(outputs)), torch.stack(list(dense))
        if self.task == "perplexity":
            loss, hits = found.mean(dim=(0, 2)).tolist()
            return {"perplexity": math.exp(loss), "next_token_accuracy_ratio": hits}
        return {
            "cosine": float(cosine_similarity(found, reference, dim=1).mean()),
            "pair_accuracy_ratio": pair_accuracy(found),
        }


def pair_accuracy(embeddings: Any) -> float:
    """Share of windows whose nearest other one is their partner: windows 0 and 1, 2 and 3, … are consecutive text.

    Chance is 1 / (windows - 1); nan below four windows.
    """
    count = len(embeddings) // 2 * 2
    if count < 4:
        return math.nan
    unit = torch.nn.functional.normalize(embeddings[:count], dim=1)
    likeness = (unit @ unit.T).fill_diagonal_(-torch.inf)
    return float((likeness.argmax(dim=1) == torch.arange(count) ^ 1).float().mean())


def load_task(source: str, tokens: int, windows: int, text: Path | None) -> TextTask:
    """The model of a folder or package, and the last windows of the text: shipped predictors were not fitted on them.

    TraceError: no such model, or a text that is too short.
    """
    name, folder, _ = model_folder(source)
    model, tokenizer = load_text_model(name, folder, _with_head)
    if getattr(model.config, "is_encoder_decoder", False):
        raise TraceError(f"{source}: an encoder-decoder; only plain encoders and decoders can be evaluated")
    before, after = _added(tokenizer)
    length = tokens - len(before) - len(after)
    ids = tokenizer(read_input(text), add_special_tokens=False, verbose=False)["input_ids"]
    if length < 2 or len(ids) < windows * length:
        raise TraceError(f"{source}: the text has {len(ids)} tokens, too few for {windows} windows of {tokens}")
    last = ids[len(ids) - windows * length :]
    cut = [before + last[at : at + length] + after for at in range(0, windows * length, length)]
    causal = type(model).__name__.endswith(CAUSAL)
    return TextTask(name, model, "perplexity" if causal else "cosine", torch.tensor(cut))


def _with_head(transformers: Any, folder: Path, options: Mapping[str, Any]) -> Any:
    """A decoder with its language-model head, anything else without a head; float32."""
    if "gguf_file" in options:
        return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
    config = folder / "config.json"
    about = Source(config, "a model's config", MAX_CONFIG_BYTES, TraceError).json() if config.is_file() else {}
    classes = about.get("architectures")
    causal = isinstance(classes, list) and any(str(name).endswith(CAUSAL) for name in classes)
    kind = transformers.AutoModelForCausalLM if causal else transformers.AutoModel
    return kind.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)


def _added(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    before = whole.index(inner[0])
    return whole[:before], whole[before + len(inner) :]


def _next_tokens(model: Any, ids: Any) -> Any:
    """Negative log-likelihood, and 1 where the likeliest token is right, of every token but the first: [2, L - 1]."""
    hidden = model.base_model(input_ids=ids)[0][0, :-1]
    parts = []
    for at in range(0, len(hidden), ROWS):
        logits, wanted = model.get_output_embeddings()(hidden[at : at + ROWS]), ids[0, 1:][at : at + ROWS]
        losses = cross_entropy(logits, wanted, reduction="none")
        parts.append(torch.stack([losses, (logits.argmax(dim=1) == wanted).float()]))
    return torch.cat(parts, dim=1)


def _embedding(model: Any, ids: Any) -> Any:
    """The mean of the last hidden states [D], as sentence embeddings are pooled."""
    return model(input_ids=ids[None])[0][0].mean(dim=0)
