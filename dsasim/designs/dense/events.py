"""What is counted of a step: operations, and bytes in and out of buffers.

Positions are rows x keys of the blocks that meet them. Some of a block's rows meet keys that they may not attend to:
these are compared, stored as 0 and read again, and time passes, but they count neither as MACs, which are those of
allowed positions (all of a tile's with its last step), nor as exponentials.

Worked example: tests/designs/dense/test_events.py.
"""

from dsasim.designs.dense.config import DenseConfig
from dsasim.designs.dense.room import ROW_SUM_BYTES, statistics_bytes
from dsasim.designs.dense.rules import Rules
from dsasim.designs.dense.work import Group, Step
from dsasim.machine.job import Events


def scores(config: DenseConfig, rules: Rules, group: Group, step: Step) -> Events:
    """S: each fold reads its rows of Q, each block all its keys."""
    rows, positions = step.tile.blocks.rows, _positions(step)
    element = config.element_bytes
    return {
        "macs_sddmm": _macs(group, step),
        "maxima_compared": positions,
        "q_buffer_read_bytes": int((rows * rules.score_folds(step.widths)).sum()) * group.d_head * element,
        "k_buffer_read_bytes": int(step.widths.sum()) * group.d_head * element,
        "score_buffer_write_bytes": positions * element,
    }


def softmax(config: DenseConfig, group: Group, step: Step) -> Events:
    """P in place of S, 0 where a row may not attend; statistics of rows are written, and but at first read."""
    attended, again = group.heads * int(step.row_widths.sum()), step.number > 0
    return {
        "softmax_exponentials": attended + again * step.rows,
        "score_buffer_read_bytes": attended * config.element_bytes,
        "score_buffer_write_bytes": _positions(step) * config.element_bytes,
        "output_buffer_read_bytes": again * step.rows * statistics_bytes(config),
        "output_buffer_write_bytes": step.rows * statistics_bytes(config),
    }


def outputs(config: DenseConfig, rules: Rules, group: Group, step: Step) -> Events:
    """O: each fold reads its rows of P, each block all its values; sums are added to those there are."""
    sums, again = step.rows * rules.sums, step.number > 0
    return {
        "macs_spmm": _macs(group, step),
        "sums_added": again * sums,
        "score_buffer_read_bytes": _positions(step) * rules.output_folds * config.element_bytes,
        "v_buffer_read_bytes": int(step.widths.sum()) * group.d_head * config.element_bytes,
        "output_buffer_read_bytes": again * sums * config.sum_bits // 8,
        "output_buffer_write_bytes": sums * config.sum_bits // 8,
    }


def rescale(config: DenseConfig, rules: Rules, step: Step) -> Events:
    """All sums of a step's rows, and a factor a row."""
    sums = step.rows * rules.sums
    return {
        "sums_rescaled": sums,
        "output_buffer_read_bytes": sums * config.sum_bits // 8 + step.rows * config.element_bytes,
        "output_buffer_write_bytes": sums * config.sum_bits // 8,
    }


def divide(config: DenseConfig, rules: Rules, rows: int) -> Events:
    """Sums of split keys are added, and multiplied by the reciprocal of their row's sum of exponentials."""
    sums, outputs = rows * rules.sums, rows * rules.sums // rules.mapping.key_splits
    return {
        "sums_merged": sums - outputs,
        "sums_rescaled": outputs,
        "row_reciprocals": rows,
        "output_buffer_read_bytes": sums * config.sum_bits // 8 + rows * ROW_SUM_BYTES,
        "output_buffer_write_bytes": outputs * config.element_bytes,
    }


def _positions(step: Step) -> int:
    return int((step.tile.blocks.rows * step.widths).sum())


def _macs(group: Group, step: Step) -> int:
    """MACs of either product for a tile's allowed positions, all with its last step."""
    tile = step.tile
    return step.last * group.heads * int(group.allowed[tile.first : tile.first + tile.count].sum()) * group.d_head
