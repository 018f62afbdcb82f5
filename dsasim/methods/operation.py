"""What a prediction method computes: costed operations, which a design maps onto its units.

An operation says what is computed and how often, not on what: a product of m x k by k x n at given widths, additions,
comparisons, look-ups and so on. Sizes that differ from tile to tile are symbols.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeAlias

from dsasim.machine.job import Events

Kind = Literal["product", "add", "popcount", "compare", "sort", "look_up", "exp", "read", "write"]
Per = Literal["layer", "kv_head", "query_tile", "step"]
"""How often: once a layer (for as many input rows as it has), a kv head, a tile of queries, or a decoding step."""

Barrier = Literal["none", "row_statistics", "row", "head", "layer", "step"]
"""What must be scored before the first mask of it can be made: nothing more, or a whole row, head, layer or step.

`row_statistics`: a sum or a maximum of the row, so that a second pass follows the first."""


class Symbol(NamedTuple):
    """A size that is known for each tile: ceil(value / divisor) of what it names."""

    of: Literal["rows", "span"]
    divisor: int = 1


ROWS, SPAN = Symbol("rows"), Symbol("span")
"""Query rows of the tile (input rows, of an operation a layer), and keys from 0 that any of its rows may attend to."""

Size: TypeAlias = int | Symbol


@dataclass(frozen=True)
class Operation:
    """`name`: what it makes. A product is m x k by k x n; other kinds do m x k x n single operations.

    Widths in bits of the two operands and of the result. `counts`: events a row of m, in place of one a multiplication
    (`macs_predictor`) or single operation.
    """

    name: str
    kind: Kind
    per: Per
    m: Size
    k: Size
    n: Size
    left_bits: int
    right_bits: int
    result_bits: int
    counts: Events = field(default_factory=dict)

    def sizes(self, rows: int = 0, span: int = 0) -> tuple[int, int, int]:
        """m, k and n for a tile of `rows` rows and `span` keys.

        Worked example: Symbol("span", 16) of 100 keys is 7.
        """
        known = {"rows": rows, "span": span}
        m, k, n = (
            size if isinstance(size, int) else -(-known[size.of] // size.divisor) for size in (self.m, self.k, self.n)
        )
        return m, k, n


@dataclass(frozen=True)
class Storage:
    """What a method keeps on the chip and reads from memory, in bits and bytes.

    input_rows: rows of each input tensor that streams through once a layer, `input_row_bytes` each. constant_bits: read
    once a layer and kept. made_bits: of the layer, made and kept. weight_bits, key_bits: of a kv head, read, and made
    and kept. row_bits: of a query row in flight, each a whole number of bytes. `query_row_bytes` are read for every
    query row of every head, and in flight too. score_bytes: of one score, which is that of `score_block` rows and keys;
    a tile has whole blocks of rows.
    """

    input_rows: tuple[int, ...] = ()
    input_row_bytes: int = 0
    constant_bits: int = 0
    constant_read_bits: int = 0
    made_bits: int = 0
    weight_bits: int = 0
    key_bits: int = 0
    row_bits: tuple[int, ...] = ()
    score_bytes: int = 0
    score_block: tuple[int, int] = (1, 1)
    query_row_bytes: int = 0

    @property
    def row_bytes(self) -> int:
        """Bytes of a query row in flight."""
        return self.query_row_bytes + sum(-(-bits // 8) for bits in self.row_bits)

    def scores(self, rows: int, span: int) -> int:
        """Scores of some rows and keys. Worked example: 33 rows and 100 keys in blocks of 32 x 32 have 2 * 4."""
        block_rows, block_keys = self.score_block
        return -(-rows // block_rows) * -(-span // block_keys)


@dataclass(frozen=True)
class Prediction:
    """What predicting the masks of a layer costs: operations, what they keep and read, and when a mask can be made."""

    operations: tuple[Operation, ...]
    storage: Storage
    barrier: Barrier = "row"
    facts: Mapping[str, int] = field(default_factory=dict)
    """Numbers of the method that reports show."""

    def of(self, per: Per) -> tuple[Operation, ...]:
        """The operations that are done so often, in order."""
        return tuple(operation for operation in self.operations if operation.per == per)
