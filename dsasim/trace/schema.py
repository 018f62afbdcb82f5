"""The metadata of a trace file: one JSON string, checked key by key before a tensor is touched."""

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from itertools import product
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from dsasim.errors import TraceError
from dsasim.inputs.checked import first_problem
from dsasim.inputs.printable import named, printable, unprintable
from dsasim.inputs.strict_json import parse_json

FORMAT_VERSION = 1
SEQUENCES_VERSION = 2
"""Of a trace of several sequences: what a file says is the lowest version whose readers understand it."""

METADATA_KEY = "dsasim"
"""The key of the safetensors metadata that holds the JSON string."""

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Name = Annotated[str, AfterValidator(named)]
Sigma = Annotated[Decimal, Field(gt=0, le=1)]
PARTS = ("projection", "w_q", "w_k", "positions", "others_q", "others_k")
"""The tensors of a fitted predictor: packed P, both weights, the position columns of all keys, the other columns."""

SCALES = ("x", "xp", "w_q", "w_k", "q", "k")
"""The scales stored for each width in bits: of X, Z = [XP | extra], W~q, W~k, Q~ and K~."""


OF_LAYER = ("num_heads", "num_kv_heads", "d_head", "d_model", "d_ff", "gated")
"""Sizes that a layer has in every sequence."""

MAX_POSITIONS = 1 << 42
"""Of a layer, num_heads x L_q x L_k: 64 heads of 256 Ki tokens; every command walks them, at 10^8 to 10^9 a second."""


class MetadataModel(BaseModel):
    """One part of the metadata: frozen, closed to unknown keys, no type converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


def _different_numbers(found: object) -> object:
    """Keys that are one number spelt in two ways (0.5 and 0.50) are refused: one entry would hide the other."""
    numbers: list[Decimal] = []
    with suppress(ArithmeticError, TypeError, ValueError):  # what is no number, its own type refuses
        numbers = [Decimal(key) for key in found] if isinstance(found, dict) else []
    if len(set(numbers)) < len(numbers):
        raise ValueError("two of its keys are one number")
    return found


class PredictorMeta(MetadataModel):
    """One fitted predictor; tensors are named, so that arrays common to several sigmas are stored once."""

    k: Size
    tensors: dict[str, Name]
    scales: Annotated[
        dict[Annotated[int, Field(ge=2, le=16, strict=False)], dict[str, Name]], BeforeValidator(_different_numbers)
    ]
    fitted_on: Name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.tensors) != set(PARTS):
            raise ValueError(f"tensors are {', '.join(self.tensors)}; expected {', '.join(PARTS)}")
        for bits, names in self.scales.items():
            if set(names) != set(SCALES):
                raise ValueError(f"scales of {bits} bits are {', '.join(names)}; expected {', '.join(SCALES)}")
        return self


class LayerMeta(MetadataModel):
    """The shape of one attention layer on one sequence."""

    number: Annotated[int, Field(ge=0, le=1 << 24)]
    sequence: Annotated[int, Field(ge=0, le=1 << 24)] = 0
    num_heads: Size
    num_kv_heads: Size
    L_q: Size
    L_k: Size
    d_head: Size
    d_model: Size
    causal: bool
    scale: Annotated[float, Field(gt=0)]
    d_ff: Size | None = None
    gated: bool | None = None
    predictors: Annotated[
        dict[Annotated[Sigma, Field(strict=False)], PredictorMeta], BeforeValidator(_different_numbers)
    ] = {}

    @model_validator(mode="after")
    def _sizes_agree(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads {self.num_kv_heads} does not divide num_heads {self.num_heads}")
        if (positions := self.num_heads * self.L_q * self.L_k) > MAX_POSITIONS:
            raise ValueError(f"{positions:,} positions (num_heads x L_q x L_k), more than {MAX_POSITIONS:,}")
        return self


class FileMeta(MetadataModel):
    """All metadata of a trace file."""

    format_version: Literal[1, 2]
    kind: Literal["real", "synthetic", "mask"]
    model: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    provenance: dict[str, Any]
    layers: Annotated[list[LayerMeta], Field(min_length=1)]

    @model_validator(mode="after")
    def _printable(self) -> Self:
        for key, text in (("model", self.model), *_texts("provenance", self.provenance)):
            if found := unprintable(text):
                raise ValueError(f"{key} holds the character '{found}', which cannot be printed")
        return self

    @model_validator(mode="after")
    def _sequences_agree(self) -> Self:
        """Each sequence of 0, 1, ... has each layer once, and its sizes but for the lengths are the layer's."""
        counts = Counter((layer.number, layer.sequence) for layer in self.layers)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise ValueError(f"layer {_label(*min(twice))} stands twice")
        several = max(layer.sequence for layer in self.layers) > 0
        if several and self.format_version < SEQUENCES_VERSION:
            raise ValueError(f"several sequences, in a file of format_version {self.format_version}")
        first = {layer.number: layer for layer in self.layers}
        wanted = product(first, range(len({layer.sequence for layer in self.layers})))
        if missing := [key for key in wanted if key not in counts]:
            raise ValueError(f"layer {_label(*missing[0])} is missing: each sequence from 0 has all layers")
        for layer in self.layers:
            for name in OF_LAYER:
                if getattr(layer, name) != getattr(first[layer.number], name):
                    raise ValueError(f"layer {layer.number} differs in {name} from sequence to sequence")
        return self


def _label(number: int, sequence: int) -> str:
    return layer_label(number, sequence or None)


def layer_label(number: int, sequence: int | None) -> str:
    """What follows the word layer: `3`, or `3 sequence 1` of one of several sequences."""
    return f"{number}" if sequence is None else f"{number} sequence {sequence}"


def prefix_of(number: int, sequence: int) -> str:
    """What the names of a layer's tensors begin with; `layer.3`, or `sequence.1.layer.3` beyond the first sequence."""
    return f"sequence.{sequence}.layer.{number}" if sequence else f"layer.{number}"


def _texts(where: str, value: object) -> Iterator[tuple[str, str]]:
    """All texts in plain values, keys included, each with the place it stands at."""
    if isinstance(value, str):
        yield where, value.replace("\n", " ").replace("\t", " ")  # a note may have lines
    elif isinstance(value, dict):
        for key, child in value.items():
            yield from ((where, key), *_texts(f"{where}.{ascii(key)[1:-1]}", child))
    elif isinstance(value, list | tuple):
        for child in value:
            yield from _texts(where, child)


def describe(layers: list[dict[str, Any]], kind: str, model: str, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of a trace without its `sha256`, of the entries of its layers."""
    return {
        "format_version": SEQUENCES_VERSION if any("sequence" in layer for layer in layers) else FORMAT_VERSION,
        "kind": kind,
        "model": model,
        "provenance": dict(provenance),
        "layers": layers,
    }


def metadata_document(label: str, text: str | None) -> dict[str, Any]:
    """The JSON object that a trace holds as metadata, unchecked; TraceError begins with `label`."""
    if text is None:
        raise TraceError(f"{label}: a safetensors file without the metadata key {METADATA_KEY!r}: not a dsasim trace")
    try:
        raw = parse_json(text)
    except ValueError as error:
        raise TraceError(f"{label}: metadata is not JSON: {printable(error)}") from None
    if not isinstance(raw, dict):
        raise TraceError(f"{label}: metadata is not a JSON object")
    return raw


def check_metadata(label: str, raw: dict[str, Any]) -> FileMeta:
    """The checked metadata; TraceError in one line begins with `label` and names the key."""
    version = raw.get("format_version")
    if type(version) is not int or version not in (FORMAT_VERSION, SEQUENCES_VERSION):
        known = f"{FORMAT_VERSION} and {SEQUENCES_VERSION}"
        raise TraceError(f"{label}: format_version {reprlib.repr(version)}; this dsasim reads {known}")
    try:
        return FileMeta.model_validate(raw)
    except ValidationError as error:
        raise TraceError(f"{label}: metadata: {first_problem(error)}") from None
