"""`systolic`: attention as dense products on lanes * T rows by macs_per_row columns of PEs, every position computed."""

from dsasim.config.schema import ArchConfig
from dsasim.dataflow.base import Dataflow, Rows
from dsasim.dataflow.residency import Parts
from dsasim.dataflow.systolic import key_parts, output_work, score_work
from dsasim.dataflow.work import ArrayWork


class Systolic(Dataflow):
    """Folds of dense products (`dataflow.systolic`)."""

    summary = "dense products, every position"
    dense_only = True
    lock_step = True

    def parts(self, rows: Rows, capacity: int) -> Parts:
        """Runs of keys, about equally long."""
        return key_parts(rows.row_spans, rows.tile_rows, capacity)

    def products(self, arch: ArchConfig, rows: Rows, k: Parts | None, v: Parts | None) -> tuple[ArrayWork, ArrayWork]:
        """S = Q K^T and O = P V."""
        return (
            score_work(arch, rows.row_spans, rows.tile_rows, rows.d_head, k),
            output_work(arch, rows.row_spans, rows.tile_rows, rows.d_head, v),
        )


DATAFLOW = Systolic
