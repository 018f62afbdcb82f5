"""The configuration of a dense machine."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from dsasim.config.schema import Automatic, Count, MachineConfig, Section, SramConfig
from dsasim.designs.dsa.pe_array import GROWTH_BITS

Side = Annotated[int, Field(ge=1, le=4096)]


class ArraySection(Section):
    """The PE array: outputs stay in the PEs while rows of one operand and columns of the other stream through."""

    rows: Side = Field(description="rows of PEs")
    columns: Side = Field(description="columns of PEs, each with one port at the bottom through which results leave")
    sub_arrays: Annotated[int, Field(ge=1, le=64)] = Field(
        1, description="most parts that the rows can be taken apart in; side by side they are fewer and longer rows"
    )
    bits: Literal[8, 16, 32] = Field(description="operand width of Q, K, V, scores and output")

    @model_validator(mode="after")
    def _equal_parts(self) -> Self:
        if self.rows % self.sub_arrays:
            raise ValueError(f"sub_arrays {self.sub_arrays} does not divide rows {self.rows}")
        return self


class SoftmaxSection(Section):
    """The softmax unit."""

    exp_per_cycle: Count = Field(description="exponentials started a cycle")
    pipeline_depth_cycles: Annotated[int, Field(ge=0, le=1024)] = Field(description="latency that each tile pays once")


class RescalerSection(Section):
    """The unit that rescales sums of the output to a new row maximum, and divides them at the end."""

    sums_per_cycle: Count = Field(description="sums multiplied a cycle")
    pipeline_depth_cycles: Annotated[int, Field(ge=0, le=1024)] = Field(description="latency that each tile pays once")


class BuffersSection(Section):
    """The buffers; each holds as many tiles as fit."""

    q: SramConfig = Field(description="queries: one tile at least")
    k: SramConfig = Field(description="keys: two tiles at least; all of a kv head, if they fit, are read once")
    v: SramConfig = Field(description="values, as the keys")
    score: SramConfig = Field(description="scores, then probabilities, of two tiles at least")
    output: SramConfig = Field(description="sums of the output and statistics of the rows: one tile at least")


class MappingSection(Section):
    """How attention is cut into tiles; `auto` is the best found (`designs.dense.mapping`)."""

    query_rows: Annotated[Count | None, Automatic()] = Field(
        None, description="query rows of each head in a tile; the heads of a kv head lie beside each other"
    )
    keys: Annotated[Count | None, Automatic()] = Field(None, description="keys of a tile")
    sub_arrays: Annotated[Count | None, Automatic()] = Field(
        None, description="parts that the array is taken apart in, a divisor of array.sub_arrays"
    )
    key_splits: Annotated[Count | None, Automatic()] = Field(
        None, description="parts of a key tile whose outputs are summed apart, and merged at the end"
    )


AUTOMATIC = MappingSection.model_validate({})


class DenseConfig(MachineConfig):
    """A complete design of a dense machine."""

    array: ArraySection = Field(description="the PE array")
    softmax: SoftmaxSection = Field(description="the softmax unit")
    rescaler: RescalerSection = Field(description="the unit that rescales and divides the output")
    buffers: BuffersSection = Field(description="on-chip buffers")
    mapping: MappingSection = Field(AUTOMATIC, description="tiles of queries and keys")

    @model_validator(mode="after")
    def _mapping_fits(self) -> Self:
        parts, splits, most = self.mapping.sub_arrays, self.mapping.key_splits, self.array.sub_arrays
        if parts is not None and most % parts:
            raise ValueError(f"mapping.sub_arrays {parts} does not divide array.sub_arrays {most}")
        if splits is not None and (parts or most) % splits:
            raise ValueError(f"mapping.key_splits {splits} does not divide the {parts or most} sub-arrays")
        return self

    @property
    def element_bytes(self) -> int:
        """Bytes of an element of Q, K, V, scores and output."""
        return self.array.bits // 8

    @property
    def sum_bits(self) -> int:
        """Of a sum of products of two operands."""
        return 2 * self.array.bits + GROWTH_BITS

    @property
    def macs(self) -> int:
        """MACs of the PE array."""
        return self.array.rows * self.array.columns
