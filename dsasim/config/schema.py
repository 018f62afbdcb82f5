"""The design as frozen values: every key an architecture YAML may hold, with unit, range and meaning.

Units are in the names. Nothing here has a silent default except where `None` means "derived" and says from what.
"""

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Count = Annotated[int, Field(ge=1, le=1 << 20)]
"""A number of things that exist: at least one, at most about a million."""

Bytes = Annotated[int, Field(ge=1, le=1 << 30)]
Ratio = Annotated[Decimal, Field(gt=0, le=1)]
"""An exact decimal share, 0 < x <= 1 (a float would make ceil(0.1 n) wrong for some n)."""

MAX_LANES = 1024

PREDICTED = ("dsa2021",)
"""Methods whose prediction runs on the predictor unit and is timed; the others are free of charge."""


REQUIRED_ADDRESS_FIELDS = ("row", "bank", "bankgroup", "column")
ADDRESS_FIELDS = (*REQUIRED_ADDRESS_FIELDS, "channel", "rank", "pseudochannel", "stack")
"""What a DRAM address is made of, above the burst offset."""


class Section(BaseModel):
    """One part of a design: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PredictorConfig(Section):
    """How keep masks are predicted, and the low-precision array that does it."""

    method: Literal["dsa2021", "oracle_topk", "oracle_threshold", "dense", "given"]
    sigma: Ratio | None = Field(None, description="k = ceil(sigma * d_model) columns of the ternary projection")
    rank: Count | None = Field(None, description="columns r of W~q and W~k a head; none: ceil(k / num_heads)")
    bits: Literal[2, 4, 8] | None = Field(None, description="width of XP, W~, Q~ and K~")
    array_rows: Count | None = Field(None, description="rows of the predictor's MAC array")
    array_columns: Count | None = Field(None, description="columns of the predictor's MAC array")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.method in PREDICTED:
            _require(self, "sigma", "bits", "array_rows", "array_columns", why=f"method {self.method}")
        return self


class MaskGeneratorConfig(Section):
    """How scores become a keep mask."""

    selection: Literal["top_k", "threshold"]
    density: Ratio | None = Field(None, description="kept share of each row's allowed keys, for top_k")
    threshold: float | None = Field(None, description="keep scores above this value, for threshold")
    num_selectors: Count = Field(description="rows selected at a time; row r of a tile goes to r mod num_selectors")
    comparators: Count = Field(description="scores compared per cycle by one selector")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        _require(self, "density" if self.selection == "top_k" else "threshold", why=f"selection {self.selection}")
        return self


class SchedulerConfig(Section):
    """How the kept keys of a group of query rows are ordered."""

    token_parallelism: Annotated[int, Field(ge=1, le=8)] = Field(description="T: query rows of a group")
    order: Literal["in_order", "reordered"]
    tile_rows: Annotated[int, Field(ge=1, le=4096)] = Field(description="most query rows of a tile, a multiple of T")
    num_schedulers: Count = Field(description="groups scheduled at a time; group g of a tile goes to g mod this")
    keys_classified_per_cycle: Count

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.tile_rows % self.token_parallelism:
            raise ValueError(
                f"tile_rows {self.tile_rows} is not a multiple of token_parallelism {self.token_parallelism}"
            )
        return self


class PEArrayConfig(Section):
    """The array that computes SDDMM and SpMM: lanes x T rows x macs_per_row."""

    organisation: Literal["decoupled"] = Field(description="decoupled: the predictor has its own array")
    dataflow: Literal["token_parallel", "systolic"] = Field(description="systolic: dense products, output-stationary")
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)]
    macs_per_row: Annotated[int, Field(ge=1, le=4096)] = Field(description="W: MACs of one row of a lane")
    bits: Literal[8, 16, 32] = Field(description="operand width of Q, K, V, scores and output")


class SoftmaxConfig(Section):
    """The softmax unit."""

    exp_per_cycle: Count
    div_per_cycle: Count
    pipeline_depth_cycles: Annotated[int, Field(ge=0, le=1024)]


class BufferConfig(Section):
    """One on-chip buffer."""

    bytes: Bytes
    banks: Annotated[int, Field(ge=1, le=1024)]
    port_bytes: Annotated[int, Field(ge=1, le=4096)] = Field(description="bytes one bank delivers per cycle")
    double_buffered: bool
    num_slots: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="tiles held at a time; none: 2 if double_buffered, else 1"
    )

    @model_validator(mode="after")
    def _slots_agree(self) -> Self:
        if self.num_slots is not None and (self.num_slots > 1) != self.double_buffered:
            raise ValueError(f"num_slots {self.num_slots} contradicts double_buffered {self.double_buffered}")
        return self

    @property
    def slots(self) -> int:
        """Tiles that the buffer holds at a time."""
        return self.num_slots or (2 if self.double_buffered else 1)


class BuffersConfig(Section):
    """All on-chip buffers; a design that never predicts needs no `predictor`, one that is always dense no `mask`."""

    q: BufferConfig
    k: BufferConfig
    v: BufferConfig
    predictor: BufferConfig | None = None
    mask: BufferConfig | None = None
    score: BufferConfig
    output: BufferConfig


class DmaConfig(Section):
    """Limits of each DMA engine (one engine a stream: predictor, q, k, v, output)."""

    open_transfers: Annotated[int, Field(ge=1, le=64)]
    outstanding_bursts: Annotated[int, Field(ge=1, le=4096)]


class DramConfig(Section):
    """Off-chip memory."""

    preset: Literal[
        "DDR4_2400", "DDR4_3200", "LPDDR5_6400", "GDDR6", "GDDR6_14000", "HBM2", "HBM2_2000", "HBM3", "HBM3_6400"
    ]
    channels: Annotated[int, Field(ge=1, le=64)]
    ranks: Annotated[int, Field(ge=1, le=8)] = Field(default=1, description="ranks a channel (DDR4, LPDDR5)")
    mapping: str = Field(description="address fields from most to least significant, joined by -, or mop4")
    refresh: bool
    page: Literal["open", "closed"] = Field(default="open", description="whether a row stays open after an access")
    layout: Literal["head_contiguous", "token_interleaved"] = Field(description="order of Q, K, V and output in DRAM")

    @field_validator("mapping")
    @classmethod
    def _known_fields(cls, order: str) -> str:
        fields = order.split("-")
        needed = all(field in fields for field in REQUIRED_ADDRESS_FIELDS)
        if order != "mop4" and not (needed and len(set(fields)) == len(fields) and set(fields) <= set(ADDRESS_FIELDS)):
            raise ValueError(
                f"{order!r} must be mop4, or name each of {', '.join(REQUIRED_ADDRESS_FIELDS)} once, joined by '-', "
                f"and may name {', '.join(field for field in ADDRESS_FIELDS if field not in REQUIRED_ADDRESS_FIELDS)}"
            )
        return order


class CostConfig(Section):
    """Knobs of the energy and area model; the tables themselves are in dsasim/cost/tables."""

    pe_overhead_ratio: Annotated[float, Field(ge=1, le=100)] = Field(
        description="whole PE over its bare MAC, for energy and area (registers, operand network, control)"
    )
    sram_device: Literal["itrs-hp", "itrs-lstp"]
    leakage_ratio: Annotated[float, Field(ge=0, le=1)] = Field(description="share of CACTI's SRAM leakage charged")


class ArchConfig(Section):
    """A complete accelerator design."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    clock_ghz: Annotated[Decimal, Field(ge=Decimal("0.01"), le=10, decimal_places=4)]
    technology_nm: Literal[65, 45, 32, 28, 22, 16, 14, 10, 7]
    predictor: PredictorConfig
    mask_generator: MaskGeneratorConfig | None = None
    scheduler: SchedulerConfig
    pe_array: PEArrayConfig
    softmax: SoftmaxConfig
    buffers: BuffersConfig
    dma: DmaConfig
    dram: DramConfig
    cost: CostConfig

    @model_validator(mode="after")
    def _parts_present(self) -> Self:
        method = self.predictor.method
        if method in (*PREDICTED, "oracle_topk", "oracle_threshold"):
            _require(self, "mask_generator", why=f"predictor.method {method}")
        if method in PREDICTED:
            _require(self.buffers, "predictor", why=f"predictor.method {method}", prefix="buffers.")
        if method != "dense":
            _require(self.buffers, "mask", why=f"predictor.method {method}", prefix="buffers.")
            if self.pe_array.dataflow == "systolic":
                raise ValueError(f"pe_array.dataflow systolic computes every position, predictor.method is {method}")
        return self

    @property
    def macs(self) -> int:
        """MACs of the PE array: lanes x token_parallelism x macs_per_row."""
        return self.pe_array.lanes * self.scheduler.token_parallelism * self.pe_array.macs_per_row


def _require(section: Section, *keys: str, why: str, prefix: str = "") -> None:
    missing = [prefix + key for key in keys if getattr(section, key) is None]
    if missing:
        raise ValueError(f"{why} needs {', '.join(missing)}")
