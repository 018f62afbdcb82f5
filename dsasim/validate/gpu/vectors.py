"""Column-vector sparse encoding of keep masks: T consecutive query rows share one list of keys.

DSA's GPU scheme (Liu et al. 2021, arXiv 2110.11299, section 5.1; kernels: Chen et al. 2021, arXiv 2106.04031,
"column-vector sparse encoding"): a 1xT vector is T query rows that keep the same key. A mask that was not trained
for it keeps the union of the rows' keys, and each key says which rows want it.
"""

from dataclasses import dataclass
from typing import Any

import torch

MAX_ROWS = 16
"""Rows that share a list: as many as one tensor-core tile has."""


@dataclass(frozen=True)
class ColumnVectors:
    """Keep masks of some heads; group g of head h is entry h * num_groups + g of `offsets`.

    keys     int32 [vectors]: the keys of each group, ascending
    wanted   int32 [vectors]: bit t is set where row t of the group keeps the key
    offsets  int32 [num_heads * num_groups + 1]: where each group's keys begin and end
    """

    rows: int
    num_groups: int
    keys: Any
    wanted: Any
    offsets: Any

    @property
    def num_vectors(self) -> int:
        """Keys that are fetched, over all groups: the k_loads of the reordered plan of as many rows."""
        return int(self.keys.shape[0])


def encode(keep: Any, rows: int) -> ColumnVectors:
    """Encode boolean masks [num_heads, L_q, L_k] for `rows` query rows a vector.

    Worked example: rows 0 and 1 keep keys {0, 2} and {2, 3}: keys 0, 2, 3, wanted by 0b01, 0b11, 0b10.
    ValueError: `rows` is not a power of two up to 16.
    """
    if rows not in (1, 2, 4, 8, MAX_ROWS):
        raise ValueError(f"{rows} rows a vector; a power of two up to {MAX_ROWS}")
    num_heads, L_q, L_k = keep.shape
    num_groups = -(-L_q // rows)
    padded = torch.nn.functional.pad(keep, (0, 0, 0, num_groups * rows - L_q))
    weights = 1 << torch.arange(rows, dtype=torch.int32, device=keep.device)
    grouped = padded.view(num_heads * num_groups, rows, L_k).to(torch.int32)
    wanted = (grouped * weights[:, None]).sum(1, dtype=torch.int32)
    group, key = wanted.nonzero(as_tuple=True)
    counts = torch.bincount(group, minlength=num_heads * num_groups)
    offsets = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).to(torch.int32)
    return ColumnVectors(rows, num_groups, key.to(torch.int32), wanted[group, key], offsets)
