"""`token_parallel`: T query rows of a group step through their kept keys together, lanes take groups in turn."""

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.base import Dataflow, Rows
from dsasim.dataflow.residency import Parts, plan_parts
from dsasim.dataflow.token_parallel import array_work, vector_timing
from dsasim.dataflow.work import ArrayWork


class TokenParallel(Dataflow):
    """Walks the plan (`dataflow.token_parallel`)."""

    summary = "T rows of a group share each key; kept positions only"

    def parts(self, rows: Rows, capacity: int) -> Parts:
        """Runs of the plan's steps (`dataflow.residency`)."""
        return plan_parts(rows.plan, rows.groups_per_tile, capacity)

    def products(self, arch: ArchConfig, rows: Rows, k: Parts | None, v: Parts | None) -> tuple[ArrayWork, ArrayWork]:
        """They walk the same plan, so only once if K and V are alike."""
        k_timing, v_timing = (vector_timing(arch, rows.d_head, buffer) for buffer in (arch.buffers.k, arch.buffers.v))
        sddmm = array_work(arch.pe_array, rows.plan, rows.groups_per_tile, k_timing, k)
        if v_timing == k_timing and _alike(k, v):
            return sddmm, sddmm
        return sddmm, array_work(arch.pe_array, rows.plan, rows.groups_per_tile, v_timing, v)


def _alike(k: Parts | None, v: Parts | None) -> bool:
    """Whether both products are cut alike."""
    if k is None or v is None:
        return k is v
    return k.bounds.shape == v.bounds.shape and bool((k.bounds == v.bounds).all())


DATAFLOW = TokenParallel
