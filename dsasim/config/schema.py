"""The design as frozen values: every key an architecture YAML may hold, with unit, range and meaning.

Units are in the names. Defaults are those of the plain machine and stand in the field; where one is None, the field
says what it is derived from or which choice needs it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializeAsAny,
    field_validator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dsasim import registry
from dsasim.inputs.printable import named

MAX_COUNT = 1 << 20

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""A number of things that exist: at least one, at most about a million."""

Bytes = Annotated[int, Field(ge=1, le=1 << 30)]
"""A size of one memory, up to 1 GiB."""

Ratio = Annotated[Decimal, Field(gt=0, le=1)]
"""An exact decimal share, 0 < x <= 1 (a float would make ceil(0.1 n) wrong for some n)."""

USUAL_DESIGN = "dsa"
"""The machine of a file that names none."""

MAX_LANES = 1024
"""Most lanes of an array, given or found for a dense machine of the same area (`baseline.dense`)."""

MAX_TILE_ROWS = 4096

AUTO = "auto"
"""The word for a value that the machine finds by itself."""

REQUIRED_ADDRESS_FIELDS = ("row", "bank", "bankgroup", "column")
"""Fields that every `dram.mapping` but mop4 names."""

ADDRESS_FIELDS = (*REQUIRED_ADDRESS_FIELDS, "channel", "rank", "pseudochannel", "stack")
"""What a DRAM address is made of, above the burst offset."""


@dataclass(frozen=True)
class Named:
    """A text that names a part of a kind (`dsasim.registry`): those that ship, are installed or come by `--plugin`."""

    kind: str

    @property
    def choices(self) -> tuple[str, ...]:
        """All names there are."""
        return registry.names(self.kind)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """A text that is one of the choices."""
        return core_schema.no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The choices as an enumeration."""
        return {**handler(schema), "enum": list(self.choices)}

    def _known(self, name: str) -> str:
        if name not in self.choices:
            raise PydanticCustomError("unknown_name", "not one of {names}", {"names": ", ".join(self.choices)})
        return name


@dataclass(frozen=True)
class Automatic:
    """Of an optional key: `auto` stands for none, which the machine then finds by itself."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """None is read from `auto` and written as it."""
        return core_schema.no_info_before_validator_function(
            lambda value: None if value == AUTO else value,
            handler(source),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value: AUTO if value is None else value
            ),
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """What else it may be, or `auto`."""
        return {"anyOf": [{"const": AUTO}, handler(schema)]}


class Section(BaseModel):
    """One part of a design: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PredictorConfig(Section):
    """How keep masks are predicted, and the low-precision array that does it."""

    method: Annotated[str, Named("methods")] = Field(
        description="where keep masks come from: predicted, the exact scores (oracle), everything kept, or the trace"
    )
    sigma: Ratio | None = Field(None, description="k = ceil(sigma * d_model) columns of the ternary projection")
    rank: Count | None = Field(None, description="columns r of W~q and W~k a head; none: ceil(k / num_heads)")
    bits: Literal[2, 4, 8] | None = Field(None, description="width of XP, W~, Q~ and K~")
    array_rows: Count | None = Field(None, description="rows of the predictor's own array, for decoupled")
    array_columns: Count | None = Field(None, description="columns of the predictor's own array")

    @property
    def free(self) -> bool:
        """Whether the method has no operations: its masks cost nothing."""
        return not registry.find("methods", self.method).kinds

    @property
    def keeps_all(self) -> bool:
        """Whether the method keeps every allowed position: the machine is dense."""
        keeps_all: bool = registry.find("methods", self.method).keeps_all
        return keeps_all


class MaskGeneratorConfig(Section):
    """How scores become a keep mask."""

    selection: Annotated[str, Named("selectors")] = Field(description="a fixed share of each row, or all above a value")
    density: Ratio | None = Field(None, description="kept share of each row's allowed keys, for top_k")
    threshold: float | None = Field(None, description="keep scores above this value, for threshold")
    num_selectors: Count = Field(description="rows selected at a time; row r of a tile goes to r mod num_selectors")
    comparators: Count = Field(description="scores one selector takes a cycle; a power of two for bitonic")
    top_k_unit: Literal["quick_select", "bitonic"] = Field("quick_select", description="how a selector finds the top k")

    @model_validator(mode="after")
    def _complete(self) -> Self:
        needed = {"top_k": "density", "threshold": "threshold"}.get(self.selection)
        if needed is not None:
            require(self, needed, why=f"selection {self.selection}")
        if self.top_k_unit == "bitonic" and self.comparators & (self.comparators - 1):
            raise ValueError(f"comparators {self.comparators} is not a power of two, which top_k_unit bitonic sorts")
        if self.top_k_unit == "bitonic" and self.selection != "top_k":
            raise ValueError("top_k_unit bitonic is a unit of selection top_k")
        return self


class SchedulerConfig(Section):
    """How the kept keys of a group of query rows are ordered."""

    token_parallelism: Annotated[int, Field(ge=1, le=8)] = Field(description="T: query rows of a group")
    order: Literal["in_order", "reordered"] = Field(
        description="in_order: each row's keys ascending; reordered: a key once for all rows of the group that keep it"
    )
    tile_rows: Annotated[int, Field(ge=1, le=MAX_TILE_ROWS)] = Field(
        description="most query rows of a tile, a multiple of T"
    )
    num_schedulers: Count = Field(description="groups scheduled at a time; group g of a tile goes to g mod this")
    keys_classified_per_cycle: Count = Field(description="mask positions one scheduler sorts into its queues a cycle")
    id_queue_entries: Count = Field(description="keys of a group that one ID queue, of one exact set of rows, holds")

    @model_validator(mode="after")
    def _whole_groups(self) -> Self:
        if self.tile_rows % self.token_parallelism:
            raise ValueError(
                f"tile_rows {self.tile_rows} is not a multiple of token_parallelism {self.token_parallelism}"
            )
        return self


class PEArrayConfig(Section):
    """The array that computes SDDMM and SpMM: lanes x T rows x macs_per_row."""

    organisation: Literal["decoupled", "coupled"] = Field(
        description="decoupled: the predictor has its own array; coupled: one composable array for both"
    )
    switch_cycles: Annotated[int, Field(ge=0, le=4096)] = Field(
        0, description="cycles of a change between prediction and attention, for coupled"
    )
    dataflow: Annotated[str, Named("dataflows")] = Field(description="systolic: dense products, every position")
    stationary: Literal["output", "weight", "input"] = Field(
        "output", description="what stays in the PEs during a fold of a systolic product (weight: K or V)"
    )
    pipelined_folds: bool = Field(True, description="systolic folds overlap; false: each drains first, as SCALE-Sim's")
    lanes: Annotated[int, Field(ge=1, le=MAX_LANES)] = Field(description="lanes of T rows of macs_per_row MACs")
    lane_sync: Literal["lock_step", "independent"] = Field(
        "lock_step", description="whether all lanes start each step together"
    )
    lane_split: Literal["groups", "heads"] = Field(
        "groups", description="what lanes share out: the groups of a tile, or a group of heads"
    )
    macs_per_row: Annotated[int, Field(ge=1, le=4096)] = Field(
        description="W: MACs of one row of a lane; left out: total_macs / (lanes x T)"
    )
    total_macs: Annotated[int, Field(ge=1, le=1 << 26)] | None = Field(
        None, description="MACs of the whole array, in place of macs_per_row, to be held while lanes or T vary"
    )
    bits: Literal[8, 16, 32] = Field(description="operand width of Q, K, V, scores and output")


class SoftmaxConfig(Section):
    """The softmax unit."""

    exp_per_cycle: Count = Field(description="exponentials started a cycle")
    div_per_cycle: Count = Field(description="divisions started a cycle")
    pipeline_depth_cycles: Annotated[int, Field(ge=0, le=1024)] = Field(description="latency that each tile pays once")


class SramConfig(Section):
    """One on-chip memory."""

    bytes: Bytes = Field(description="size, all banks and slots together")
    banks: Annotated[int, Field(ge=1, le=1024)] = Field(description="banks, each with one port")
    port_bytes: Annotated[int, Field(ge=1, le=4096)] = Field(description="bytes one bank delivers per cycle")


class BufferConfig(SramConfig):
    """One on-chip buffer."""

    double_buffered: bool = Field(description="whether one slot fills while another is in use")
    num_slots: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="tiles held at a time; none: 2 if double_buffered, else 1"
    )
    residency: Literal["auto", "pool"] = Field(
        "auto", description="for k and v: auto keeps whole kv heads where one fits; pool caches the vectors wanted"
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

    q: BufferConfig = Field(description="queries, or activations of a dense product")
    k: BufferConfig = Field(description="keys, or weights of a dense product")
    v: BufferConfig = Field(description="values")
    predictor: BufferConfig | None = Field(None, description="P, XP, W~, K~, X and S~, for methods that predict")
    mask: BufferConfig | None = Field(None, description="mask bits and the plan over them, unless method is dense")
    score: BufferConfig = Field(description="kept scores, then probabilities")
    output: BufferConfig = Field(description="rows of the output, and sums that are not finished")

    @model_validator(mode="after")
    def _pools_of_keys_and_values(self) -> Self:
        for name in ("q", "predictor", "mask", "score", "output"):
            buffer: BufferConfig | None = getattr(self, name)
            if buffer is not None and buffer.residency == "pool":
                raise ValueError(f"buffers.{name}.residency pool: only k and v can be pools")
        return self


class DmaConfig(Section):
    """Limits of each DMA engine (one engine a stream: predictor, q, k, v, score, output)."""

    open_transfers: Annotated[int, Field(ge=1, le=64)] = Field(description="transfers begun and not ended")
    outstanding_bursts: Annotated[int, Field(ge=1, le=4096)] = Field(
        description="bursts an engine has at the memory controller at a time"
    )


class DramConfig(Section):
    """Off-chip memory."""

    preset: Literal[
        "DDR4_2400", "DDR4_3200", "LPDDR5_6400", "GDDR6", "GDDR6_14000", "HBM2", "HBM2_2000", "HBM3", "HBM3_6400"
    ] = Field(description="standard and speed of a channel (model/dram_presets.yaml)")
    channels: Annotated[int, Field(ge=1, le=64)] = Field(description="channels, each with a controller of its own")
    ranks: Literal[1, 2, 4, 8] = Field(default=1, description="ranks a channel (DDR4, LPDDR5)")
    mapping: str = Field(description="address fields from most to least significant, joined by -, or mop4")
    refresh: bool = Field(description="whether every rank stops for nRFC in every nREFI")
    page: Literal["open", "closed"] = Field(default="open", description="whether a row stays open after an access")
    layout: Literal["head_contiguous", "token_interleaved"] = Field(description="order of Q, K, V and output in DRAM")

    @field_validator("mapping")
    @classmethod
    def _known_fields(cls, order: str) -> str:
        fields = ["rank" if field == "pseudochannel" else field for field in order.split("-")]
        needed = all(field in fields for field in REQUIRED_ADDRESS_FIELDS)
        if order != "mop4" and not (needed and len(set(fields)) == len(fields) and set(fields) <= set(ADDRESS_FIELDS)):
            raise ValueError(
                f"{order!r} must be mop4, or name each of {', '.join(REQUIRED_ADDRESS_FIELDS)} once, joined by '-', "
                f"and may name {', '.join(field for field in ADDRESS_FIELDS if field not in REQUIRED_ADDRESS_FIELDS)}"
            )
        return order


class CostConfig(Section):
    """Knobs of the energy and area model; the tables themselves are in dsasim/silicon/tables."""

    pe_overhead_ratio: Annotated[float, Field(ge=1, le=100)] = Field(
        description="whole PE over its bare MAC, for energy and area (registers, operand network, control)"
    )
    composable_overhead_ratio: Annotated[float, Field(ge=1, le=100)] = Field(
        1.5, description="PE composed of low-precision multipliers over a plain PE, for coupled (assumed)"
    )
    sram_device: Literal["itrs-hp", "itrs-lstp"] = Field(
        description="CACTI's cells: high-performance, or low-standby-power"
    )
    leakage_ratio: Annotated[float, Field(ge=0, le=1)] = Field(description="share of CACTI's SRAM leakage charged")


class MachineConfig(Section):
    """What every machine has, whatever its units: a name, a clock, a node, a memory and knobs of the cost model."""

    design: Annotated[str, Named("designs")] = Field(
        USUAL_DESIGN, description="the machine that the file is a design of"
    )
    name: Annotated[str, Field(min_length=1, max_length=80), AfterValidator(named)] = Field(
        description="what reports call the design"
    )
    clock_ghz: Annotated[Decimal, Field(ge=Decimal("0.01"), le=10, decimal_places=4)] = Field(
        description="clock of everything on chip; the memory has its preset's"
    )
    technology_nm: Literal[65, 45, 32, 28, 22, 16, 14, 10, 7] = Field(description="node of the energy and area model")
    dma: DmaConfig = Field(description="limits of each DMA engine")
    dram: DramConfig = Field(description="off-chip memory")
    cost: CostConfig = Field(description="knobs of the energy and area model")


class ArchConfig(MachineConfig):
    """A complete design of the machine `dsa`."""

    predictor: SerializeAsAny[PredictorConfig] = Field(description="where keep masks come from")
    mask_generator: SerializeAsAny[MaskGeneratorConfig | None] = Field(
        None, description="scores to masks, for methods that have scores"
    )
    scheduler: SchedulerConfig = Field(description="tiles, groups, and the order of a group's keys")
    pe_array: SerializeAsAny[PEArrayConfig] = Field(description="the array that computes attention")
    softmax: SoftmaxConfig = Field(description="the softmax unit")
    buffers: BuffersConfig = Field(description="on-chip buffers")

    @model_validator(mode="before")
    @classmethod
    def _share_out_total_macs(cls, values: Any) -> Any:
        """macs_per_row of a design that gives total_macs instead, so that a sweep of T or lanes can hold the MACs."""
        try:
            array = dict(values["pe_array"])
            rows = array["lanes"] * values["scheduler"]["token_parallelism"]
            if type(array["total_macs"]) is not int or type(rows) is not int:
                return values
            share, rest = divmod(array["total_macs"], rows)
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            return values
        if rest:
            raise ValueError(f"pe_array.total_macs {array['total_macs']} is not a multiple of lanes x T = {rows}")
        if array.get("macs_per_row") is None:
            array["macs_per_row"] = share
        return {**values, "pe_array": array}

    @model_validator(mode="after")
    def _array_agrees(self) -> Self:
        array = self.pe_array
        if array.total_macs not in (None, self.macs):
            raise ValueError(
                f"pe_array.total_macs {array.total_macs} contradicts lanes x token_parallelism x macs_per_row ="
                f" {self.macs}; leave macs_per_row out (or null)"
            )
        if array.switch_cycles and array.organisation == "decoupled":
            raise ValueError("pe_array.switch_cycles are those of pe_array.organisation coupled")
        dataflow = registry.find("dataflows", array.dataflow)
        if dataflow.lock_step and (array.lane_sync, array.lane_split) != ("lock_step", "groups"):
            raise ValueError(f"pe_array.dataflow {array.dataflow} needs lane_sync lock_step and lane_split groups")
        if dataflow.order not in (None, self.scheduler.order):
            raise ValueError(f"pe_array.dataflow {array.dataflow} needs scheduler.order {dataflow.order}")
        rows = array.lanes * self.scheduler.token_parallelism
        if array.lane_split == "heads" and self.scheduler.tile_rows % rows:
            raise ValueError(
                f"pe_array.lane_split heads needs scheduler.tile_rows {self.scheduler.tile_rows} to be a multiple of"
                f" lanes x token_parallelism = {rows}"
            )
        if array.organisation == "decoupled" and not self.predictor.free:
            require(
                self.predictor,
                "array_rows",
                "array_columns",
                why="pe_array.organisation decoupled",
                prefix="predictor.",
            )
        return self

    @model_validator(mode="after")
    def _parts_present(self) -> Self:
        name, dataflow = self.predictor.method, self.pe_array.dataflow
        method = registry.find("methods", name)
        if method.scored:
            require(self, "mask_generator", why=f"predictor.method {name}")
        if self.mask_generator and method.selection not in (None, self.mask_generator.selection):
            selection, wanted = self.mask_generator.selection, method.selection
            raise ValueError(f"predictor.method {name} needs mask_generator.selection {wanted}, not {selection}")
        if method.kinds:
            require(self.predictor, "bits", why=f"predictor.method {name}", prefix="predictor.")
            require(self.buffers, "predictor", why=f"predictor.method {name}", prefix="buffers.")
        if name != "dense":
            require(self.buffers, "mask", why=f"predictor.method {name}", prefix="buffers.")
            if registry.find("dataflows", dataflow).dense_only:
                raise ValueError(f"pe_array.dataflow {dataflow} computes every position, predictor.method is {name}")
        return self

    @property
    def macs(self) -> int:
        """MACs of the PE array: lanes x token_parallelism x macs_per_row."""
        return self.pe_array.lanes * self.scheduler.token_parallelism * self.pe_array.macs_per_row


def require(section: Section, *keys: str, why: str, prefix: str = "") -> None:
    """ValueError naming the keys that `why` needs and the section has not."""
    missing = [prefix + key for key in keys if getattr(section, key) is None]
    if missing:
        raise ValueError(f"{why} needs {', '.join(missing)}")
