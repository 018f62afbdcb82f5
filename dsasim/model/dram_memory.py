"""An idle memory for the controller kernels, from a preset and how it is used: names become numbers once."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dsasim.config.schema import DramConfig
from dsasim.errors import ConfigError
from dsasim.kernels import dram_commands as controller
from dsasim.kernels import dram_queue as queue
from dsasim.kernels import dram_timing as timing
from dsasim.kernels.dram import MemoryState
from dsasim.model.dram_mapping import mapping_tables
from dsasim.model.dram_preset import BUSES, COMMANDS, DramPreset, load_presets
from dsasim.model.dram_rules import constraints, table

PagePolicy = Literal["open", "closed"]


@dataclass(frozen=True)
class MemoryUse:
    """How a memory of a preset is put together and driven."""

    mapping: str
    channels: int = 1
    ranks: int = 1
    refresh: bool = False
    page: PagePolicy = "open"


def memory_use(config: DramConfig) -> MemoryUse:
    """How a design uses its memory."""
    return MemoryUse(config.mapping, config.channels, config.ranks, config.refresh, config.page)


def check_memory(config: DramConfig) -> None:
    """ConfigError for what no memory of the design's preset has: several ranks, a field of the mapping."""
    addressing(load_presets()[config.preset], memory_use(config))


def addressing(preset: DramPreset, use: MemoryUse) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tables of `model.dram_mapping`; ConfigError for a mapping or a number of ranks that the preset has not."""
    if use.ranks & (use.ranks - 1):
        raise ConfigError(f"a channel needs 1, 2, 4 or 8 ranks, got {use.ranks}")
    if use.ranks > 1 and "nCS" not in preset.timing_cycles:
        raise ConfigError(f"{preset.standard} has one rank a channel, not {use.ranks}")
    return mapping_tables(preset, use.mapping, use.channels, use.ranks)


def new_memory(preset: DramPreset, use: MemoryUse, log_commands: int = 0) -> MemoryState:
    """All channels with every bank closed; ConfigError for a mapping or a number of ranks that the preset has not."""
    pieces, hashes = addressing(preset, use)
    closed_page = use.page == "closed"
    command_ticks = {COMMANDS[name]: ticks for name, ticks in preset.command_ticks.items()}
    latencies = table(constraints(preset.ticks, command_ticks, closed_page=closed_page))
    ranks = use.channels * use.ranks * preset.pseudo_channels
    units = ranks * preset.stacks
    banks = np.zeros((units * preset.bank_groups * preset.banks_per_group, timing.BANK_FIELDS), np.int64)
    banks[:, timing.HIT :] = timing.NOTHING
    banks[:, timing.OPEN_ROW] = timing.CLOSED
    last_acts = np.zeros((ranks, timing.RANK_FIELDS), np.int64)
    last_acts[:, timing.FIRST_ACT :] = timing.LONG_AGO
    channel = np.zeros((use.channels, controller.CHANNEL_FIELDS), np.int64)
    channel[:, controller.REFRESH_AT] = preset.ticks["nREFI"] if use.refresh else queue.NEVER
    channel[:, [controller.FOUND_AT, controller.ROW_FOUND_AT, controller.HALF_ACTIVATED]] = timing.NOTHING
    requests = _free_requests(use.channels, len(banks))
    channel[:, controller.FREE] = np.arange(use.channels) * (len(requests) // use.channels)
    return MemoryState(
        fixed=_fixed(preset, use),
        latencies=latencies,
        pieces=pieces,
        hashes=hashes,
        units=np.zeros((units, timing.UNIT_FIELDS), np.int64),
        banks=banks,
        ranks=last_acts,
        channel=channel,
        requests=requests,
        written=np.zeros((use.channels, queue.WRITTEN), np.int64),
        counters=np.zeros((use.channels, controller.COUNTERS), np.int64),
        log=np.zeros((log_commands, 4), np.int64),
    )


def _free_requests(channels: int, banks: int) -> NDArray[np.int64]:
    """Slots of each channel for full queues and an activated request a bank, all in its chain of free ones."""
    slots = 2 * queue.QUEUE_SLOTS + banks // channels
    requests = np.full((channels, slots, queue.FIELDS), timing.NOTHING, np.int64)
    requests[:, :-1, queue.LATER] = np.arange(channels * slots).reshape(channels, slots)[:, 1:]
    return requests.reshape(channels * slots, queue.FIELDS)


def _fixed(preset: DramPreset, use: MemoryUse) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    ticks = preset.ticks
    values = {
        timing.CHANNELS: use.channels,
        timing.RANKS: use.ranks * preset.pseudo_channels,
        timing.STACKS: preset.stacks,
        timing.GROUPS: preset.bank_groups,
        timing.BANKS: preset.banks_per_group,
        timing.UNIT_SHIFT: (preset.bank_groups * preset.banks_per_group).bit_length() - 1,
        timing.GROUP_SHIFT: preset.banks_per_group.bit_length() - 1,
        timing.STACK_SHIFT: preset.stacks.bit_length() - 1,
        timing.BL: ticks["nBL"],
        timing.CL: ticks["nCL"],
        timing.CWL: ticks["nCWL"],
        timing.FAW: ticks["nFAW"],
        timing.REFI: ticks["nREFI"] if use.refresh else 0,
        timing.SLOTS: BUSES[preset.bus],
        timing.HALF_TICKS: preset.ticks_per_cycle - 1,
        timing.CLOSED_PAGE: use.page == "closed",
        timing.AAD: ticks.get("nAAD", 0),
        timing.WCK_EXTRA: ticks.get("nWCKPST", 0),
    }
    return np.array([values.get(at, 0) for at in range(timing.FIXED)], np.int64)
