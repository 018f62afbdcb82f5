"""Several memories in one environment: each does exactly what it does alone, whatever the others do."""

from collections.abc import Callable, Sequence
from random import Random

import pytest
from simpy import Environment

from dsasim.config.schema import ArchConfig
from dsasim.machine.transfer import Transfer
from dsasim.model.dram import Dram

Posts = Sequence[tuple[int, int, Transfer]]
"""(cycle after the one before, stream, transfer)."""

PRESETS = ("DDR4_2400", "DDR4_3200", "HBM2", "LPDDR5_6400")


def drive(env: Environment, memory: Dram, posts: Posts, ends: list[int]) -> None:
    """Post each transfer some cycles after the one before was posted, and every third waits for the one before."""

    def process():
        before = None
        for at, (delay, stream, transfer) in enumerate(posts):
            yield env.timeout(delay)
            if before is not None and (at % 3 == 0 or at >= 2):
                yield before
            before = memory.post(stream, transfer)
            before.callbacks.append(lambda _: ends.append(int(env.now)))

    env.process(process())


def random_posts(rng: Random) -> list[tuple[int, int, Transfer]]:
    return [
        (
            rng.choice([0, 1, 7, 300]),
            rng.randrange(2),
            Transfer.strided(rng.random() < 0.3, 64 * rng.randrange(1 << 16), 64, rng.randint(1, 9), 4096),
        )
        for _ in range(rng.randint(1, 12))
    ]


@pytest.mark.parametrize("seed", range(20))
def test_a_memory_beside_others_does_what_it_does_alone(make_arch: Callable[..., ArchConfig], seed: int) -> None:
    rng = Random(seed)
    kinds = [rng.choice(PRESETS) for _ in range(3)]
    archs = [
        make_arch(f"dram.preset={kind}", "dma.open_transfers=4", f"dram.refresh={rng.choice(['true', 'false'])}")
        for kind in kinds
    ]
    posts = [random_posts(rng) for _ in archs]
    alone = []
    for arch, wanted in zip(archs, posts, strict=True):
        env, ends = Environment(), []
        memory = Dram(env, arch, 2)
        drive(env, memory, wanted, ends)
        env.run()
        memory.finish(100_000)
        alone.append((ends, memory.counts.tolist(), memory.busy_cycles, memory.open_intervals))
    env = Environment()
    memories, all_ends = [Dram(env, arch, 2) for arch in archs], [[] for _ in archs]
    for memory, wanted, ends in zip(memories, posts, all_ends, strict=True):
        drive(env, memory, wanted, ends)
    env.run()
    for memory in memories:
        memory.finish(100_000)
    together = [
        (ends, memory.counts.tolist(), memory.busy_cycles, memory.open_intervals)
        for memory, ends in zip(memories, all_ends, strict=True)
    ]
    assert together == alone
