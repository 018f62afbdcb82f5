"""Plugins in designs: what a changed design is called, and traces that bring their own masks."""

from collections.abc import Callable

import numpy as np
import pytest
from plugin_files import yaml_of

from dsasim.api import simulate
from dsasim.config.changes import changes_of
from dsasim.config.loader import load_arch
from dsasim.errors import ConfigError
from dsasim.trace.arrays import MaskArrays
from dsasim.trace.attention import AttentionTrace
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory


@pytest.fixture
def masks() -> AttentionTrace:
    keep = np.eye(16, dtype=np.bool_)[None]
    arrays = MaskArrays(number=0, num_kv_heads=1, d_head=8, keep=pack_bits(keep), L_k=16, causal=False)
    return trace_in_memory("masks", [arrays], kind="mask")


def test_keys_of_a_part_are_changes_of_a_shipped_design(by_file: Callable[..., None]) -> None:
    by_file("pooled_blocks")
    arch = load_arch("dsa-decoupled", ["mask_generator.selection=top_blocks", "mask_generator.block_rows=8"])
    assert set(changes_of(arch)) == {"mask_generator.selection=top_blocks", "mask_generator.block_rows=8"}


def test_a_trace_of_masks_takes_the_method_and_leaves_the_dataflow(
    by_file: Callable[..., None], masks: AttentionTrace
) -> None:
    by_file("pooled_blocks", "query_serial")
    pooled = simulate(load_arch(yaml_of("pooled_blocks")), masks)
    assert pooled.arch.predictor.method == "given"
    serial = simulate(load_arch(yaml_of("query_serial"), ["pe_array.turn_cycles=4"]), masks)
    assert (serial.arch.pe_array.dataflow, serial.arch.pe_array.turn_cycles) == ("query_serial", 4)
    assert serial.machine.counters["macs_sddmm"] == pooled.machine.counters["macs_sddmm"] == 16 * 8


def test_a_machine_that_predicts_its_own_masks_takes_no_others(
    by_file: Callable[..., None], masks: AttentionTrace
) -> None:
    by_file("sanger")
    with pytest.raises(ConfigError, match=r"masks is a trace of masks.*designs of the machine dsa; sanger is one of"):
        simulate(load_arch(yaml_of("sanger")), masks)
