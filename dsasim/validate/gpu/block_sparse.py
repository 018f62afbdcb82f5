"""Block-sparse attention by FlexAttention: whole blocks of query rows by keys are computed or skipped.

The block mask is made from the list of kept blocks, so no mask of L x L positions is ever held
(`BlockMask.from_kv_blocks`, docs.pytorch.org, torch.nn.attention.flex_attention). On a CPU compiling needs a C++
compiler.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch._dynamo
from torch.nn.attention.flex_attention import BlockMask, flex_attention

MAX_SHAPES = 4096


def kept_blocks(keep: Any, block: int) -> Any:
    """Which blocks of block x block positions hold a kept one: bool [num_heads, L_q / block, L_k / block], rounded up.

    This is what a mask of single positions costs a GPU: 5 % kept at random fill every block.
    """
    num_heads, L_q, L_k = keep.shape
    padded = torch.nn.functional.pad(keep, (0, -L_k % block, 0, -L_q % block))
    return padded.view(num_heads, -(-L_q // block), block, -(-L_k // block), block).any(4).any(2)


def block_mask(blocks: Any, block: int, L_q: int, L_k: int, causal: bool = False) -> BlockMask:
    """FlexAttention's mask of whole blocks, from bool [num_heads, blocks of rows, blocks of keys].

    A `causal` one is of blocks on and below the diagonal; those on it are computed in part.
    """
    partial = blocks & torch.eye(*blocks.shape[1:], dtype=torch.bool, device=blocks.device) & causal
    (some, some_keys), (full, full_keys) = _listed(partial), _listed(blocks & ~partial)
    return BlockMask.from_kv_blocks(
        some,
        some_keys,
        full,
        full_keys,
        BLOCK_SIZE=block,
        mask_mod=_up_to_the_row if causal else None,
        seq_lengths=(L_q, L_k),
    )


def _listed(blocks: Any) -> tuple[Any, Any]:
    """How many blocks each row of blocks has, and which, those first: int32 with a batch of one."""
    order = blocks.to(torch.int32).sort(dim=-1, descending=True, stable=True).indices
    return blocks.sum(-1, dtype=torch.int32)[None], order.to(torch.int32)[None]


def _up_to_the_row(_batch: Any, _head: Any, row: Any, key: Any) -> Any:
    return row >= key


def compiled_flex_attention() -> Any:
    """FlexAttention, compiled: compiles again for each shape, and must then be called under `many_shapes`."""
    return torch.compile(flex_attention, dynamic=False, fullgraph=True)


@contextmanager
def many_shapes() -> Iterator[None]:
    """While this lasts, as many shapes are compiled as come: by itself PyTorch refuses the ninth of a process."""
    with torch._dynamo.config.patch(recompile_limit=MAX_SHAPES, accumulated_recompile_limit=MAX_SHAPES):  # noqa: SLF001
        yield


def no_compiler(device: str) -> str:
    """Why FlexAttention cannot be compiled: a CPU needs the C++ compiler that PyTorch takes, CXX or g++; else empty."""
    compiler = os.environ.get("CXX", "g++")
    if device == "cpu" and shutil.which(compiler) is None:
        return f"no C++ compiler ({compiler}): FlexAttention was not compiled, so not checked"
    return ""
