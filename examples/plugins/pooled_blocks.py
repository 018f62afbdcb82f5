"""A method and its selector from outside: scores of pooled blocks, and the best blocks of keys for each block of rows.

`pooled_blocks` averages queries and keys over `predictor.block` tokens and multiplies the averages, in codes of
`predictor.bits`: one score for each block x block positions. `top_blocks` keeps whole blocks of keys for each block of
rows, a share `mask_generator.density` of those that any of its rows may attend to.

    dsasim --plugin examples/plugins/pooled_blocks.py run examples/plugins/pooled_blocks.yaml minilm-l128

Worked example: 4-bit codes 7 6 and -2 -3 of two keys of two elements average to 2 2 (2.5 and 1.5 round to even).
A row may attend to three blocks whose scores are 5, 9 and 7; density 0.4 keeps ceil(1.2) = 2 of them: the last two.
"""

from math import gcd, prod

import numpy as np
from pydantic import Field

from dsasim.config.schema import Count, MaskGeneratorConfig, PredictorConfig, Ratio
from dsasim.kernels.select import top_k_rows
from dsasim.masks import KeepMask, Selection
from dsasim.methods.base import Method, Scorer
from dsasim.methods.blocks import pooled, spread
from dsasim.methods.operation import Operation, Prediction, Storage, Symbol
from dsasim.methods.quantise import Floating, Int64, coded, exact_matmul, largest_code
from dsasim.selectors.base import Rule
from dsasim.selectors.top_k import TopK
from dsasim.trace.attention import LayerTrace
from dsasim.trace.counts import kept_counts


class PooledSettings(PredictorConfig):
    """The section `predictor` of a design that uses `pooled_blocks`."""

    block: Count = Field(description="B: tokens whose queries, or keys, are averaged; one score is for B x B positions")


class PooledBlocks(Method):
    """Products of averages; the scale of a head's codes is that of its largest element, as if it had been calibrated.

    Memory holds Q and K a second time, in codes. K of a kv head is read and pooled once and Q a tile at a time, by the
    adders of the predictor's array; a block at the end of the sequence is filled up with zeros, which are added too.
    """

    summary = "one score a block of rows and keys, from averaged low-precision Q and K"
    kinds = ("product", "add")
    scored = True
    cached = True
    Settings = PooledSettings

    @property
    def prediction(self) -> Prediction:
        """Additions of K and Q, then the product of the averages."""
        block, bits = self.arch.predictor.block, self.arch.predictor.bits
        keys, d_head = self.layer.L_k, self.layer.d_head
        rows, span, pooled_keys = Symbol("rows", block), Symbol("span", block), -(-keys // block)
        score_bytes = -(-(2 * bits + (d_head - 1).bit_length()) // 8)
        return Prediction(
            operations=(
                Operation("pooled K", "add", "kv_head", pooled_keys, block, d_head, bits, bits, bits),
                Operation("pooled Q", "add", "query_tile", rows, block, d_head, bits, bits, bits),
                Operation("pooled S", "product", "query_tile", rows, d_head, span, bits, bits, 8 * score_bytes),
            ),
            storage=Storage(
                weight_bits=keys * d_head * bits,
                key_bits=pooled_keys * d_head * bits,
                row_bits=(-(-d_head * bits // block),),
                score_bytes=score_bytes,
                score_block=(block, block),
                query_row_bytes=-(-d_head * bits // 8),
            ),
        )

    def scorer(self, head: int) -> Scorer:
        """The score of its block at each position, int32 in units of the two scales."""
        block, top = self.arch.predictor.block, largest_code(self.arch.predictor.bits)
        queries, keys = self._averages(self.layer.q(head)), self._averages(self.layer.k(self.layer.kv_head(head)))
        scores = exact_matmul(queries, keys.T, top, top)
        block_of = np.arange(max(self.layer.L_q, self.layer.L_k)) // block
        return lambda rows: scores[block_of[rows.rows, None], block_of[: rows.num_keys]]

    def score_scale(self, head: int) -> float:
        """What a score of 1 is worth: the scales of both, and the model's own."""
        tensors = self.layer.q(head), self.layer.k(self.layer.kv_head(head))
        return prod(coded(each, self.arch.predictor.bits)[1] for each in tensors) * self.layer.scale

    def _averages(self, values: Floating) -> Int64:
        """The averages of each block's codes, rounded half to even."""
        block, bits = self.arch.predictor.block, self.arch.predictor.bits
        codes, _ = coded(values, bits)
        counts = pooled(np.add, np.ones((len(codes), 1)), block, 1)
        return np.rint(pooled(np.add, codes, block, 1) / counts).astype(np.int64)


class BlockSettings(MaskGeneratorConfig):
    """The section `mask_generator` of a design that uses `top_blocks`."""

    density: Ratio = Field(description="kept share of the blocks of keys that a block of rows may attend to")
    block_rows: Count | None = Field(None, description="query rows of a block; none: those of one score of the method")
    block_keys: Count | None = Field(None, description="keys of a block; none: those of one score of the method")


class TopBlocks(TopK):
    """The best blocks of keys of each block of rows, by the quick-select unit of `top_k`.

    A block's score is the largest in it; where it has several, a pass over all, `comparators` a cycle, comes first.
    """

    summary = "whole blocks of keys, a share `density` of those that a block of rows may attend to"
    Settings = BlockSettings

    @property
    def block_rows(self) -> int:
        return self.generator.block_rows or self.score_block[0]

    @property
    def block_keys(self) -> int:
        return self.generator.block_keys or self.score_block[1]

    def most_kept(self, _allowed: int, num_keys: int) -> int:
        """Whole blocks, as many as a block of rows keeps that may attend to all keys."""
        (blocks,) = kept_counts(np.array([-(-num_keys // self.block_keys)]), self.generator.density)
        return min(num_keys, int(blocks) * self.block_keys)

    def rule(self, layer: LayerTrace, _score_scale: float) -> Rule:
        """What a block of rows takes is noted at its first row."""
        rows, keys = self.block_rows, self.block_keys
        density, width = self.generator.density, self.generator.comparators
        one = gcd(rows, self.score_block[0]), gcd(keys, self.score_block[1])  # of a block, that have one score

        def select(block, scores):
            allowed = layer.allowed(*block)
            best = pooled(np.maximum, np.where(allowed, scores, scores.min()), rows, keys)
            candidates = pooled(np.logical_or, allowed, rows, keys)
            counts = candidates.sum(axis=1)
            indptr, indices, cycles, comparisons = top_k_rows(best, candidates, kept_counts(counts, density), width)
            again = comparisons - counts
            if one != (rows, keys):
                scored = pooled(np.logical_or, allowed, *one)
                several = pooled(np.add, scored.astype(np.int64), rows // one[0], scored.shape[1])[:, 0]
                cycles, comparisons = cycles - (-several // width), comparisons + several
            chosen = KeepMask(indptr, indices, candidates.shape[1]).to_dense()
            taken = np.zeros((4, block.num_rows), np.int64)
            taken[:, ::rows] = cycles, comparisons, again, again
            return Selection(KeepMask.from_dense(spread(chosen, rows, keys, allowed.shape) & allowed), *taken)

        return select


METHODS = {"pooled_blocks": PooledBlocks}
SELECTORS = {"top_blocks": TopBlocks}
