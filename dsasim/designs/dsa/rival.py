"""A dense machine for designs of other machines to be compared with."""

from math import gcd

from dsasim.config.loader import load_arch, usual_arch
from dsasim.config.schema import ArchConfig, BuffersConfig, MachineConfig

GROUP_ROWS = 4
"""Rows of a group, T, where the array's rows allow it."""


def dense_rival(
    arch: MachineConfig, rows: int, columns: int, tile_rows: int, exp_per_cycle: int, buffers: BuffersConfig
) -> ArchConfig:
    """The shipped dense machine with `rows` x `columns` MACs, at the clock, node and memory of another design.

    `buffers`: where its q, k, v, score and output are from. Worked example: 64 x 16 MACs are 16 lanes of 4 rows of 16.
    """
    shape = gcd(GROUP_ROWS, rows)
    values = usual_arch(load_arch("dense-16x16"), "a dense machine").model_dump()
    same = arch.model_dump(include={"clock_ghz", "technology_nm", "dma", "dram", "cost"})
    values |= same | {"name": f"dense machine beside {arch.name}"[:80]}
    values["pe_array"] |= {"lanes": rows // shape, "macs_per_row": columns, "total_macs": None}
    values["scheduler"] |= {"token_parallelism": shape, "tile_rows": -(-tile_rows // shape) * shape}
    values["softmax"] |= {"exp_per_cycle": exp_per_cycle, "div_per_cycle": exp_per_cycle}
    values["buffers"] = buffers.model_dump() | {"predictor": None, "mask": None}
    return ArchConfig.model_validate(values)
