"""The metadata of a trace file: one JSON string, checked key by key before a tensor is touched."""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dsasim.errors import TraceError
from dsasim.inputs.printable import named, unprintable

FORMAT_VERSION = 1
METADATA_KEY = "dsasim"
"""The key of the safetensors metadata that holds the JSON string."""

Size = Annotated[int, Field(ge=1, le=1 << 24)]
Name = Annotated[str, AfterValidator(named)]
Sigma = Annotated[Decimal, Field(gt=0, le=1)]
PARTS = ("projection", "w_q", "w_k", "positions", "others_q", "others_k")
"""The tensors of a fitted predictor: packed P, both weights, the position columns of all keys, the other columns."""

SCALES = ("x", "xp", "w_q", "w_k", "q", "k")
"""The scales stored for each width in bits: of X, Z = [XP | extra], W~q, W~k, Q~ and K~."""


class Part(BaseModel):
    """One part of the metadata: frozen, closed to unknown keys, no type converted silently."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class PredictorMeta(Part):
    """One fitted predictor; tensors are named, so that arrays common to several sigmas are stored once."""

    k: Size
    tensors: dict[str, Name]
    scales: dict[Annotated[int, Field(ge=2, le=16, strict=False)], dict[str, Name]]
    fitted_on: Name

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if set(self.tensors) != set(PARTS):
            raise ValueError(f"tensors are {', '.join(self.tensors)}; expected {', '.join(PARTS)}")
        for bits, names in self.scales.items():
            if set(names) != set(SCALES):
                raise ValueError(f"scales of {bits} bits are {', '.join(names)}; expected {', '.join(SCALES)}")
        return self


class LayerMeta(Part):
    """The shape of one attention layer."""

    number: Annotated[int, Field(ge=0)]
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
    predictors: dict[Annotated[Sigma, Field(strict=False)], PredictorMeta] = {}

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.num_heads % self.num_kv_heads:
            raise ValueError(f"num_kv_heads {self.num_kv_heads} does not divide num_heads {self.num_heads}")
        return self


class FileMeta(Part):
    """All metadata of a trace file."""

    format_version: Literal[1]
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
    def _numbers_differ(self) -> Self:
        numbers = [layer.number for layer in self.layers]
        twice = {number for number in numbers if numbers.count(number) > 1}
        if twice:
            raise ValueError(f"layer {min(twice)} stands twice")
        return self


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
        "format_version": FORMAT_VERSION,
        "kind": kind,
        "model": model,
        "provenance": dict(provenance),
        "layers": layers,
    }


def parse_metadata(where: str, text: object) -> FileMeta:
    """The checked metadata; TraceError in one line begins with `where` and names the key."""
    if not isinstance(text, str):
        raise TraceError(f"{where}: a safetensors file without the metadata key {METADATA_KEY!r}: not a dsasim trace")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{where}: metadata is not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise TraceError(f"{where}: metadata is not a JSON object")
    return check_metadata(where, raw)


def check_metadata(where: str, raw: dict[str, Any]) -> FileMeta:
    """The same for metadata already in memory."""
    version = raw.get("format_version")
    if version != FORMAT_VERSION or type(version) is not int:
        raise TraceError(f"{where}: format_version {version!r}; this dsasim reads {FORMAT_VERSION}")
    try:
        return FileMeta.model_validate(raw)
    except ValidationError as error:
        raise TraceError(f"{where}: metadata: {_first(error)}") from error


def _first(error: ValidationError) -> str:
    """The first of pydantic's findings as `layers.0.num_heads: what is wrong`, and how many more there are."""
    first, *others = error.errors()
    key = ".".join(str(step) for step in first["loc"])
    more = f" (and {len(others)} more)" if others else ""
    return f"{key + ': ' if key else ''}{first['msg'].removeprefix('Value error, ')}{more}"
