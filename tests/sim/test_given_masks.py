"""A trace of masks runs on any design that has somewhere to put them."""

from collections.abc import Callable

import pytest

from dsasim.api import simulate
from dsasim.config.schema import ArchConfig
from dsasim.errors import ConfigError
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace

Arch = Callable[..., ArchConfig]
Masked = Callable[..., AttentionTrace]


@pytest.mark.parametrize("settings", [(), ("predictor.method=dense",), ("predictor.method=oracle_topk",)])
def test_the_mask_overrides_the_method(tiny: Arch, masked: Masked, settings: tuple[str, ...]) -> None:
    result = simulate(tiny(*settings), masked([[1, 0], [0, 1]]))
    assert (result.arch.predictor.method, result.quality, result.machine.predictor_free) == ("given", None, True)
    assert result.machine.layers[0].heads[0].nnz == 2


def test_a_design_without_a_mask_buffer_is_refused(tiny: Arch, masked: Masked) -> None:
    arch = tiny("predictor.method=dense", "buffers.mask=null")
    with pytest.raises(ConfigError, match=r"masks is a trace of masks, and dsa-decoupled has no buffers\.mask"):
        simulate(arch, masked([[1, 0], [0, 1]]))


def test_a_dense_machine_does_not_wait_for_mask_slots(
    tiny: Arch, masked: Masked, run: Callable[..., MachineResult]
) -> None:
    """It puts nothing into the mask buffer, so one slot or two make no difference."""
    one = tiny("predictor.method=dense", "buffers.mask.double_buffered=false", "buffers.mask.num_slots=null")
    full = masked([[1, 1, 1, 1]] * 8)
    assert run(one, full).cycles == run(tiny("predictor.method=dense"), full).cycles
