"""What a run counts besides cycles, from the twin's masks and tiles: operations, and bytes in and out of each buffer.

Written from the rules in plain sums, and not from `dsasim.sim.counters`. For designs like the shipped ones: top-k by
quick-select, K and V whole on chip, outputs stationary where the array is systolic.
"""

from collections import Counter
from fractions import Fraction
from typing import Any

from twin.inputs import allowed_keys
from twin.layer import LayerJobs
from twin.layout import INPUT_BITS, TERNARY_BITS, ceil_div
from twin.plan import spilled_keys
from twin.predict import Predicted
from twin.select import PASS_OVERHEAD, Scored, quick_select_cycles, wanted
from twin.space import Space, Tile

from dsasim.trace.attention import LayerTrace


def recount(arch: Any, layer: LayerTrace, heads: list[int]) -> Counter[str]:
    """Some heads of a layer."""
    jobs = LayerJobs(arch, layer, 0, heads, 64, None)
    counts = Counter(jobs.counts)
    for name in ("k", "v"):
        counts[f"{name}_buffer_read_bytes"] = counts[f"{name}_vector_reads"] * jobs.space.vector_bytes
        counts[f"{name}_buffer_write_bytes"] = _kv_heads(jobs.space) * layer.L_k * jobs.space.vector_bytes
    for tile in jobs.tiles:
        counts += _attention(jobs.space, tile)
        if not jobs.space.dense:
            counts += _plan(jobs.space, tile)
    if jobs.work is not None:
        counts += _prediction(jobs.space)
        counts += _selection(jobs.space)
    return counts


def _attention(space: Space, tile: Tile) -> Counter[str]:
    """Q in, scores three times out and back (made, exponential, division), outputs out."""
    kept, vectors = sum(len(row.keys) for row in tile.rows), len(tile.queries) * space.vector_bytes
    d_head, config = space.layer.d_head, space.arch.pe_array
    counts = Counter(macs_sddmm=kept * d_head, macs_spmm=kept * d_head)
    counts.update(softmax_exponentials=kept, softmax_divisions=kept)
    counts.update(q_buffer_write_bytes=vectors, q_buffer_read_bytes=vectors)
    counts.update(output_buffer_write_bytes=vectors, output_buffer_read_bytes=vectors)
    counts.update(score_buffer_write_bytes=3 * kept * space.element, score_buffer_read_bytes=3 * kept * space.element)
    if config.dataflow == "systolic":  # the rows' operand enters anew for every fold of columns
        passes_of_q, passes_of_p = ceil_div(tile.span, config.macs_per_row), ceil_div(d_head, config.macs_per_row)
        counts["q_buffer_read_bytes"] += (passes_of_q - 1) * vectors
        counts["score_buffer_read_bytes"] += (passes_of_p - 1) * len(tile.rows) * tile.span * space.element
    return counts


def _plan(space: Space, tile: Tile) -> Counter[str]:
    """The scheduler reads mask bits and writes plan entries over them, which both products read."""
    config, counts = space.arch.scheduler, Counter[str]()
    key_bits = _key_bits(space.layer)
    entry, link = ceil_div(key_bits + space.T, 8), ceil_div(2 * key_bits, 8)
    for group, steps in zip(tile.groups, tile.steps, strict=True):
        span = max(row.span for row in group)
        loads, mask = sum(len(step) for step in steps), len(group) * ceil_div(span, 8)
        spilled = spilled_keys([row.keys for row in group], config.order, config.id_queue_entries)
        plan = mask if config.order == "in_order" else loads * entry
        counts.update(keys_classified=span, keys_issued=loads, keys_spilled=spilled)
        counts["idle_row_slots"] += len(steps) * space.T - sum(len(row.keys) for row in group)
        counts["mask_buffer_write_bytes"] += mask + spilled * link + (plan if config.order == "reordered" else 0)
        counts["mask_buffer_read_bytes"] += mask + 2 * plan + spilled * link
    return counts


def _prediction(space: Space) -> Counter[str]:
    """P, X and the weights come in; XP, K~ of every kv head, Q~ and S~ of every tile are computed."""
    work, layer = space.work, space.layer
    assert work is not None
    fitted = layer.predictor(space.arch.predictor.sigma)
    assert fitted is not None
    projection, *_, weights = (tensor.vector_bytes for tensor in space.predictor_at)
    counts = Counter(predictor_buffer_write_bytes=projection + _kv_heads(space) * weights)
    for rows in work.input_rows:
        counts["adds_predictor"] += rows * int((fitted.projection != 0).sum())
        counts["predictor_buffer_write_bytes"] += rows * work.d_model * INPUT_BITS // 8
        for first in range(0, rows, space.input_rows):
            chunk = min(space.input_rows, rows - first)
            counts += _product(space, (chunk, work.d_model, work.k), (INPUT_BITS, TERNARY_BITS, work.bits))
    narrow, scores = (work.bits,) * 3, (work.bits, work.bits, 8 * work.score_bytes)
    products = [((layer.L_k, work.columns, work.rank), narrow)] * _kv_heads(space)
    for tile in space.tiles:
        products += [((tile.rows_a_head, work.columns, work.rank), narrow)] * len(tile.heads)
        products += [((tile.rows_a_head, work.rank, tile.span), scores)] * len(tile.heads)
    for shape, bits in products:
        counts["macs_predictor"] += shape[0] * shape[1] * shape[2]
        counts += _product(space, shape, bits)
    return counts


def _product(space: Space, shape: tuple[int, int, int], bits: tuple[int, int, int]) -> Counter[str]:
    """Each operand once for every fold of the other; the result once."""
    (rows, inner, columns), (row_bits, column_bits, result_bits) = shape, bits
    down, across = space.arch.predictor.array_rows, space.arch.predictor.array_columns
    if space.arch.pe_array.organisation == "coupled":
        config = space.arch.pe_array
        split = config.bits // max(row_bits, column_bits)
        down, across = config.lanes * space.T * split, config.macs_per_row * split
    read = ceil_div(columns, across) * rows * inner * row_bits + ceil_div(rows, down) * inner * columns * column_bits
    return Counter(
        predictor_buffer_read_bytes=ceil_div(read, 8),
        predictor_buffer_write_bytes=ceil_div(rows * columns * result_bits, 8),
    )


def _selection(space: Space) -> Counter[str]:
    """Quick-select reads every score in its first pass; what a pass leaves over is written once and read once."""
    work, layer, counts = space.work, space.layer, Counter[str]()
    assert work is not None
    entry = work.score_bytes + ceil_div(_key_bits(layer), 8)
    density = Fraction(*space.arch.mask_generator.density.as_integer_ratio())
    allowed, predicted = allowed_keys(layer), Predicted(space.arch, layer)
    scores = {head: predicted.scores(head) for _, bundles in space.bundles for bundle in bundles for head in bundle}
    for tile in space.tiles:
        for group in tile.groups:
            counts["predictor_buffer_read_bytes"] += len(group) * max(row.span for row in group) * work.score_bytes
            for head, row in (row.place for row in group if row.place is not None):
                scored = [(key, scores[head][row][key]) for key in allowed[row]]
                compared = _compared(scored, wanted(density, len(scored)))
                left_over = compared - len(scored)
                counts["mask_comparisons"] += compared
                counts["predictor_buffer_read_bytes"] += left_over * entry
                counts["predictor_buffer_write_bytes"] += left_over * entry
    return counts


def _compared(scored: Scored, count: int) -> int:
    """The cycles of all passes with one comparator, less those of the passes themselves (with one for every score)."""
    passes = quick_select_cycles(scored, count, len(scored)) // (1 + PASS_OVERHEAD)
    return quick_select_cycles(scored, count, 1) - passes * PASS_OVERHEAD


def _kv_heads(space: Space) -> int:
    return sum(len(kv_heads) for kv_heads, _ in space.bundles)


def _key_bits(layer: LayerTrace) -> int:
    return max(1, (layer.L_k - 1).bit_length())
