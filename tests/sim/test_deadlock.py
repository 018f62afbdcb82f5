"""A machine whose units wait for each other is stopped, and the error says what each of them waits for."""

from collections.abc import Callable

import pytest

from dsasim.config.schema import ArchConfig
from dsasim.designs.dsa.shape import LayerShape
from dsasim.errors import DeadlockError
from dsasim.sim.result import MachineResult
from dsasim.trace.attention import AttentionTrace


def test_every_waiting_unit_is_named_and_no_other(
    tiny: Callable[..., ArchConfig],
    masked: Callable[..., AttentionTrace],
    run: Callable[..., MachineResult],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One score slot, and an array made to start S1 before P0 frees it: four tiles, the others pile up behind.

    Tile 0 has passed the softmax. The scheduler has filled both mask slots, DMA both Q slots (that of tile 0 is free
    again). K and V are there, so their engines wait for nothing.
    """
    monkeypatch.setattr(LayerShape, "tiles_ahead", property(lambda _: 4))
    arch = tiny("buffers.score.double_buffered=false", "buffers.score.num_slots=1")
    with pytest.raises(DeadlockError) as caught:
        run(arch, masked([[1, 0, 0, 0]] * 8))
    start, waits = str(caught.value).split(": ", 1)
    assert start.startswith("no unit can proceed at cycle ")
    assert dict(wait.split(" waits for ", 1) for wait in waits.split("; ")) == {
        "scheduler": "space in the mask buffer",
        "pe_array": "space in the score buffer",
        "softmax": "scores of layer 0 head 0 tile 1",
        "dma_q": "space in the q buffer",
        "dma_output": "output of layer 0 head 0 tile 0",
    }
