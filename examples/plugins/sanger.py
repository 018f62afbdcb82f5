"""A whole machine from outside: Sanger (Lu et al., MICRO 2021), after its released code (github.com/hatsu3/Sanger).

Q and K, each row divided by its length, are multiplied in codes of `low_bits` on an array of their own; that times both
lengths is S~. A key is kept where the softmax of S~ is above `threshold`: a row's maximum and sum come before its first
bit. Pack and split: a row of the mask is cut into groups of `ports` keys, empty ones are skipped, others are split into
sub-rows of at most `width` kept keys. The sparse array holds the scores of `rows` sub-rows of one group, a batch: K
streams through for S, d_head cycles; each row of PEs takes its exponentials, one a cycle; V streams through for O; the
next batch follows at once. Assumed: exponentials, division on the way out, buffers, and codes scaled to the largest
element of the run itself (the released models track it in training).

    dsasim --plugin examples/plugins/sanger.py run examples/plugins/sanger.yaml minilm-l128

Worked example, a batch on 64 x 16 PEs, d_head 64: 64 + 16 + 64 cycles and 64 + 16 - 2 until the last PE ends, 222.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from dsasim.config.schema import BuffersConfig, Count, MachineConfig, Section
from dsasim.designs.dsa.rival import dense_rival
from dsasim.machine.spec import Rate, UnitSpec
from dsasim.mappings.folds import SystolicArray
from dsasim.methods.quantise import coded, exact_matmul, largest_code
from dsasim.selectors.softmax import softmax_above
from dsasim.silicon.operations import multiply_accumulate, operation
from dsasim.sim.components import dma_engines, silicon_of
from dsasim.sim.design import Macs
from dsasim.sim.tiled import Tensor, TiledDesign

ELEMENT, SUM = 2, 5  # bytes of an element, and of a sum that another sub-row of the same row goes on with


class Sizes(Section):
    """What the machine is made of."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(description="least softmax weight of S~ that is kept")
    low_bits: Annotated[int, Field(ge=2, le=8)] = Field(4, description="width of the codes of Q and K")
    low_rows: Count = Field(description="rows of the low-precision array")
    low_columns: Count = Field(description="columns of the low-precision array")
    rows: Annotated[int, Field(ge=1, le=1024)] = Field(description="rows of the sparse array: sub-rows of a batch")
    width: Annotated[int, Field(ge=1, le=1024)] = Field(description="PEs of a row: kept keys of a sub-row")
    ports: Count = Field(description="keys of a group that is packed together")
    tile_rows: Annotated[int, Field(ge=1, le=4096)] = Field(description="query rows of a tile")


class SangerConfig(MachineConfig):
    """The configuration of a Sanger machine."""

    sanger: Sizes = Field(description="what the machine is made of")
    buffers: BuffersConfig = Field(description="on-chip buffers: codes in predictor, S~ in score, packed rows in mask")


class Sanger(TiledDesign):
    """Low-precision array, packer, sparse array, and DMA engines."""

    summary = "Lu et al. 2021: 4-bit prediction, pack and split, score-stationary"
    Settings = SangerConfig
    tile_rows = property(lambda self: self.arch.sanger.tile_rows)

    def macs(self):
        c = self.arch.sanger
        return Macs(c.rows * c.width, 8 * ELEMENT, c.low_rows * c.low_columns, c.low_bits)

    def rival(self):
        c = self.arch.sanger
        return dense_rival(self.arch, c.rows, c.width, c.tile_rows, c.rows, self.arch.buffers)

    def units(self):
        c, node, whole = self.arch.sanger, self.arch.technology_nm, self.arch.cost.pe_overhead_ratio
        low, pe = multiply_accumulate(c.low_bits, 24, node) * whole, multiply_accumulate(16, 8 * SUM, node) * whole
        times, exp = operation("multiply", 16, node), operation("exponential", 12, node) + operation("add", 32, node)
        weigh, divide = times * 2 + exp + operation("compare", 16, node), operation("reciprocal", 12, node) + times
        low_macs, macs = {"macs_predictor": low}, {"macs_sddmm": pe, "macs_spmm": pe}
        sparse = silicon_of(c.rows, pe * c.width + exp + divide, macs | {"exponentials": exp, "divisions": divide})
        low_silicon = silicon_of(c.low_rows * c.low_columns, low, low_macs)
        return [
            UnitSpec("low_array", silicon=low_silicon, rate=Rate(tuple(low_macs), c.low_rows * c.low_columns)),
            UnitSpec("packer", silicon=silicon_of(c.ports, weigh, {"weights_compared": weigh})),
            UnitSpec("sparse_array", silicon=sparse, rate=Rate(tuple(macs), c.rows * c.width)),
            *dma_engines(self.arch, ("predictor", "q", "k", "v", "output")),
        ]

    def mask(self, layer, head):
        c, tensors = self.arch.sanger, (layer.q(head), layer.k(layer.kv_head(head)))
        lengths = [np.maximum(np.linalg.norm(each, axis=1, keepdims=True), 1e-30) for each in tensors]
        (q, q_scale), (k, k_scale) = (coded(t / length, c.low_bits) for t, length in zip(tensors, lengths, strict=True))
        top, scale = largest_code(c.low_bits), q_scale * k_scale * layer.scale

        def score(block):
            products = exact_matmul(q[block.rows], k[: block.num_keys].T, top, top)
            return products * scale * lengths[0][block.rows] * lengths[1][: block.num_keys].T

        return softmax_above(layer, score, c.threshold)

    def tensors(self, layer):
        low = -(-layer.d_head * self.arch.sanger.low_bits // 8) + ELEMENT  # codes, and the length
        codes = [Tensor("low k", "predictor", low, of_keys=True), Tensor("low q", "predictor", low)]
        return [*codes, *super().tensors(layer)]

    def made_bytes(self, layer):
        c = self.arch.sanger
        most = -(-layer.L_k // c.ports) * -(-min(c.ports, layer.L_k) // c.width)
        return super().made_bytes(layer) | {"score": layer.L_k * ELEMENT, "mask": most * packed_bytes(c)}

    def loads(self, tile):
        c = self.arch.sanger
        batches = -(-sub_rows(c, tile.keep).sum(axis=0) // c.rows)
        keys = np.minimum(c.ports, tile.layer.L_k - c.ports * np.arange(len(batches)))
        return int(batches @ keys), int(batches.sum())

    def tile(self, tile):
        c, d_head, weights, kept = self.arch.sanger, tile.layer.d_head, tile.rows * tile.span, tile.keep.nnz
        array, shape = SystolicArray(c.low_rows, c.low_columns), (tile.rows, d_head, tile.span)
        codes = array.traffic(*shape).left + array.traffic(*shape).right
        low = {"macs_predictor": weights * d_head, "score_buffer_write_bytes": weights * ELEMENT}
        low["predictor_buffer_read_bytes"] = -(-codes * c.low_bits // 8) + (tile.rows + tile.span) * ELEMENT
        yield tile.job("low_array", "S~", array.cycles([array.folds(*shape)]), ("low k", "low q"), "score", low)
        packed, (loads, batches) = int(sub_rows(c, tile.keep).sum()), self.loads(tile)
        pack = {"weights_compared": weights, "score_buffer_read_bytes": 2 * weights * ELEMENT}
        pack["mask_buffer_write_bytes"] = packed * packed_bytes(c)
        yield tile.job("packer", "pack", 2 * tile.rows * -(-tile.span // c.ports), ("score",), "mask", pack)
        again = (packed - int(np.count_nonzero(tile.keep.row_counts))) * d_head * SUM
        attend = {"macs_sddmm": kept * d_head, "macs_spmm": kept * d_head, "exponentials": kept}
        attend |= {f"{name}_buffer_read_bytes": loads * d_head * ELEMENT for name in ("k", "v")} | {
            "divisions": tile.rows * d_head,
            "mask_buffer_read_bytes": packed * packed_bytes(c),
            "q_buffer_read_bytes": packed * d_head * ELEMENT,
            "output_buffer_write_bytes": tile.rows * d_head * ELEMENT + again,
            "output_buffer_read_bytes": again,
        }
        cycles = batches * (2 * d_head + c.width) + bool(batches) * (c.rows + c.width - 2)
        yield tile.job("sparse_array", "attend", cycles, ("mask", "q", "k", "v"), "output", attend)


def packed_bytes(c):
    """Of a sub-row: the row's number in the tile, and that of a port for each PE."""
    return -(-((c.tile_rows - 1).bit_length() + c.width * (c.ports - 1).bit_length()) // 8)


def sub_rows(c, keep):
    """How many each row of a mask has in each group [rows, groups]."""
    rows, groups = len(keep.indptr) - 1, -(-keep.num_keys // c.ports)
    kept = np.bincount(keep.rows * groups + keep.indices // c.ports, minlength=rows * groups)
    return -(-kept.reshape(rows, groups) // c.width)


DESIGNS = {"sanger": Sanger}
