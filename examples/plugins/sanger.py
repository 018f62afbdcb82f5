"""A whole machine from outside: Sanger (Lu et al., MICRO 2021; github.com/hatsu3/Sanger).

4-bit Q K^T on an array of its own; a mask where the softmax of it passes a probability, so a row's maximum and sum come
before its first bit (barrier: row statistics); pack and split: each row of the mask is cut into groups of `ports` keys,
empty groups are skipped, others split into sub-rows of at most `width` kept keys; and a score-stationary array of
`rows` x `width` PEs, which holds a batch of sub-rows while K streams through for S = Q K^T, then V for O = P V.

    dsasim --plugin examples/plugins/sanger.py run examples/plugins/sanger.yaml minilm-l128

Worked example: a batch of 64 sub-rows on 64 x 16 PEs, d_head 64, takes 2 * (64 + 64 + 16 - 2) = 284 cycles.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import Field

from dsasim.config.schema import Count, MachineConfig, Section
from dsasim.dataflow.folds import SystolicArray
from dsasim.kernels.bits import true_keys
from dsasim.machine.job import Job, Place
from dsasim.machine.space import Take
from dsasim.machine.spec import BufferSpec, Rate, Silicon, UnitSpec
from dsasim.machine.stage import Stage
from dsasim.machine.system import System
from dsasim.machine.token import Token
from dsasim.model.memory_map import MemoryMap
from dsasim.predictors.base import KeepMask
from dsasim.silicon.operations import multiply_accumulate, operation
from dsasim.silicon.sram import sram
from dsasim.sim.design import Demand, Design, Record, Workload
from dsasim.sim.result import HeadReport, LayerReport
from dsasim.trace.attention import LayerTrace

STREAMS = ("low", "q", "k", "v", "output")


class SangerSection(Section):
    """Sizes of the machine; those of the released scripts are 64 x 64 PEs of 4 bits, 64 x 16 of 16 bits, 64 ports."""

    probability: float = Field(gt=0, lt=1, description="keep keys whose predicted softmax weight is above this")
    low_bits: int = Field(4, ge=2, le=8, description="width of Q and K for the prediction")
    low_rows: Count = Field(description="rows of the low-precision array")
    low_columns: Count = Field(description="columns of the low-precision array")
    rows: Count = Field(description="sub-rows that the sparse array holds")
    width: Count = Field(description="kept keys of a sub-row")
    ports: Count = Field(description="keys of a group that is packed together")
    tile_rows: Count = Field(description="query rows of a tile")
    buffer_bytes: Count = Field(description="SRAM of each of the buffers of Q, K, V, masks and outputs")


class SangerConfig(MachineConfig):
    """The configuration of a Sanger machine."""

    sanger: SangerSection = Field(description="sizes of the machine")


class Sanger(Design):
    """Score-stationary sparse attention with a 4-bit prediction."""

    summary = "Lu et al. 2021: 4-bit prediction, pack and split, score-stationary"
    Settings = SangerConfig

    def units(self) -> Sequence[UnitSpec]:
        """Prediction, packing, the sparse array, and the DMA engines."""
        c, node = self.arch.sanger, self.arch.technology_nm
        low = multiply_accumulate(c.low_bits, 24, node) * self.arch.cost.pe_overhead_ratio
        pe = multiply_accumulate(16, 40, node) * self.arch.cost.pe_overhead_ratio
        exp = operation("exponential", 12, node) + operation("compare", 16, node)
        arrays = {"low_macs": (low, c.low_rows * c.low_columns), "macs": (pe, c.rows * c.width)}

        def silicon(array: str, *events: str) -> Silicon:
            price, count = arrays[array]
            prices = dict.fromkeys(events, price.energy_pj)
            return Silicon(count * price.area_mm2, count * price.leakage_mw, prices, price.sources)

        packer = Silicon(c.ports * exp.area_mm2, c.ports * exp.leakage_mw, {"weights_compared": exp.energy_pj})
        return [
            UnitSpec("low_array", silicon=silicon("low_macs", "macs_predictor")),
            UnitSpec("packer", silicon=packer),
            UnitSpec(
                "sparse_array",
                silicon=silicon("macs", "macs_sddmm", "macs_spmm"),
                rate=Rate(("macs_sddmm", "macs_spmm"), c.rows * c.width),
            ),
            *(UnitSpec(f"dma_{name}", memory="dram", open_transfers=self.arch.dma.open_transfers) for name in STREAMS),
        ]

    def buffers(self) -> Sequence[BufferSpec]:
        """One a stream."""
        c = self.arch
        memory = sram(c.sanger.buffer_bytes, 8, 64, c.technology_nm, c.cost.sram_device)
        price = {way: pj / 64 for way, pj in (("read", memory.read_pj), ("write", memory.write_pj))}
        return [
            BufferSpec(
                name,
                Silicon(
                    memory.area_mm2,
                    memory.leakage_mw * c.cost.leakage_ratio,
                    {f"{name}_buffer_{way}_bytes": pj for way, pj in price.items()},
                    memory.sources,
                ),
            )
            for name in STREAMS
        ]

    def stages(self, system: System, workload: Workload, record: Record) -> Iterator[Stage]:
        """A layer a stage."""
        for number, heads in sorted(workload.selection.items()):
            layer, reports, ends = workload.trace.layer(number), [], []
            masks = {head: self._mask(layer, head) for head in heads}
            for head, keep in masks.items():
                if workload.observe is not None:
                    workload.observe(layer, head, keep)
            kept = sum(keep.nnz for keep in masks.values())
            vectors = (2 * len(heads) * layer.L_q + 2 * len(heads) * layer.L_k) * layer.d_head * 2
            record.compiled(len(heads), Demand(sparse_macs=2 * kept * layer.d_head, num_bytes=vectors))
            yield Stage(self._layer(system, layer, masks, reports, ends), [unit.name for unit in self.units()])
            record.layer(LayerReport(number, 0, self.arch.sanger.tile_rows, tuple(reports)), [end.at for end in ends])

    def _mask(self, layer: LayerTrace, head: int) -> KeepMask:
        """Softmax of the low-precision scores above the probability."""
        top = 2 ** (self.arch.sanger.low_bits - 1) - 1
        q, k = layer.q(head), layer.k(layer.kv_head(head))
        scales = [max(float(np.abs(x).max()), 1e-12) / top for x in (q, k)]
        low = [np.clip(np.rint(x / scale), -top, top) for x, scale in zip((q, k), scales, strict=True)]
        allowed = layer.allowed()
        scores = np.where(allowed, low[0] @ low[1].T * scales[0] * scales[1] * layer.scale, -np.inf)
        weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-1e30))
        share = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-30)
        return KeepMask(*true_keys((share > self.arch.sanger.probability) & allowed), layer.L_k)

    def _layer(
        self, system: System, layer: LayerTrace, masks: dict[int, KeepMask], reports: list, ends: list[Token]
    ) -> Iterator[Job]:
        place, vector = MemoryMap(self.arch), layer.d_head * 2
        low = place.place(2 * layer.num_heads, max(layer.L_q, layer.L_k), layer.d_head * self.arch.sanger.low_bits // 8)
        q, out = (place.place(layer.num_heads, layer.L_q, vector) for _ in range(2))
        k, v = (place.place(layer.num_kv_heads, layer.L_k, vector) for _ in range(2))
        slots = {name: Take(system.buffer(f"the {name} buffer", 2)) for name in (*STREAMS, "scores", "mask")}

        def move(name: str, where: Place, transfer, **fields) -> Job:
            way = "read" if transfer.is_write else "write"
            events = {f"{name}_buffer_{way}_bytes": transfer.num_bytes}
            return Job(f"dma_{name}", "move", where, transfer=transfer, events=events, **fields)

        for head, keep in masks.items():
            kv, where = layer.kv_head(head), Place(layer.number, heads=(head,))
            tokens = {name: Token(f"{name} of {where}") for name in ("low", "k", "v")}
            yield move("low", where, low.transfer(head, 0, layer.L_k), makes=tokens["low"], space=slots["low"])
            yield move("k", where, k.transfer(kv, 0, layer.L_k), makes=tokens["k"], space=slots["k"])
            yield move("v", where, v.transfer(kv, 0, layer.L_k), makes=tokens["v"], space=slots["v"])
            reports.append(self._report(layer, head, keep))
            rows = self.arch.sanger.tile_rows
            for first in range(0, layer.L_q, rows):
                last = first + rows >= layer.L_q
                tile = where._replace(tile=first // rows)
                count = min(rows, layer.L_q - first)
                span = int(layer.row_spans[first : first + count].max())
                query, scores, mask, made = (Token(f"{what} of {tile}") for what in ("Q", "S~", "mask", "output"))
                yield move("q", tile, q.transfer(head, first, count), makes=query, space=slots["q"])
                yield self._predict(layer, tile, count, span, tokens["low"], query, scores, slots, last)
                yield self._pack(tile, count, span, scores, mask, slots)
                yield self._attend(layer, tile, keep.block(first, count), (mask, tokens["k"], tokens["v"]), made, slots, last)
                ends_tile = Token(f"output of {tile} in DRAM")
                transfer = out.transfer(head, first, count, is_write=True)
                yield move("output", tile, transfer, operands=(made,), makes=ends_tile, frees=(slots["output"],))
            ends.append(ends_tile)

    def _predict(self, layer, tile, count, span, low, query, scores, slots, last) -> Job:
        """S~ of a tile: rows x d_head by d_head x span on the low-precision array, outputs stationary."""
        c = self.arch.sanger
        array = SystolicArray(c.low_rows, c.low_columns)
        macs = count * layer.d_head * span
        return Job(
            "low_array", "S~", tile, array.cycles([array.folds(count, layer.d_head, span)]), operands=(low, query),
            space=slots["scores"], makes=scores, frees=(slots["low"],) if last else (),
            events={"macs_predictor": macs, "low_buffer_read_bytes": (count + span) * layer.d_head * c.low_bits // 8},
        )  # fmt: skip

    def _pack(self, tile, count, span, scores, mask, slots) -> Job:
        """Row statistics, then comparison and packing: `ports` weights a cycle, twice."""
        cycles = 2 * count * -(-span // self.arch.sanger.ports)
        events = {"weights_compared": count * span}
        return Job("packer", "pack", tile, cycles, operands=(scores,), space=slots["mask"], makes=mask,
                   frees=(slots["scores"],), events=events)  # fmt: skip

    def _attend(self, layer, tile, keep, operands, made, slots, last) -> Job:
        """Batches of sub-rows, one after the other; each streams d_head elements of K, then of V."""
        c, macs = self.arch.sanger, keep.nnz * layer.d_head
        batches = max(1, -(-self._sub_rows(keep) // c.rows))
        vectors = keep.nnz * layer.d_head * 2
        return Job(
            "sparse_array", "SDDMM, SpMM", tile, batches * 2 * (layer.d_head + c.rows + c.width - 2), operands=operands,
            space=slots["output"], makes=made,
            frees=(slots["mask"], slots["q"], *((slots["k"], slots["v"]) if last else ())),
            events={"macs_sddmm": macs, "macs_spmm": macs, "k_buffer_read_bytes": vectors, "v_buffer_read_bytes": vectors},
        )  # fmt: skip

    def _sub_rows(self, keep: KeepMask) -> int:
        """Groups of `ports` keys with any kept, split where they keep more than `width`."""
        groups = -(-keep.num_keys // self.arch.sanger.ports)
        kept = np.bincount(keep.rows * groups + keep.indices // self.arch.sanger.ports)
        return int(np.sum(-(-kept // self.arch.sanger.width)))

    def _report(self, layer: LayerTrace, head: int, keep: KeepMask) -> HeadReport:
        allowed = int(layer.allowed_counts.sum())
        return HeadReport(head, 0, keep.nnz, keep.nnz / allowed, keep.nnz, self._sub_rows(keep))


DESIGNS = {"sanger": Sanger}
