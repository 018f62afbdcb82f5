"""Compile most kernels before several processes ask for them: python tests/compile_kernels.py memory|machine

Two processes that compile one function at once do its work twice, and Numba's index may then name the wrong file.
"""

import os
import subprocess
import sys
from pathlib import Path

DESIGNS = ("dsa-decoupled", "dsa-edge", "dense-16x16")


def memory() -> None:
    """The controller, event by event and as a replay: two thirds of all."""
    import numpy as np
    from simpy import Environment

    from dsasim.config.loader import load_arch
    from dsasim.model.dram import Dram, Transfer
    from dsasim.model.dram_memory import MemoryUse
    from dsasim.model.dram_preset import load_presets
    from dsasim.model.dram_replay import replay_trace
    from dsasim.trace.requests import Requests

    env = Environment()
    Dram(env, load_arch(DESIGNS[0]), num_streams=1).post(0, Transfer.run(False, 0, 64))
    env.run()
    request = Requests(np.zeros(1, np.int64), np.zeros(1, np.uint8), np.zeros(1, np.int64), 1.0)
    replay_trace(load_presets()["DDR4_3200"], MemoryUse("row-bank-bankgroup-rank-column"), [request], 1)


def machine() -> None:
    """Selection, plans, arrays and quality: what a layer needs before it runs."""
    from simpy import Environment

    from dsasim.api import load_arch, load_trace
    from dsasim.machine.system import System
    from dsasim.quality.measure import QualityMeter
    from dsasim.sim.design import Record, Workload
    from dsasim.sim.engine import design_of

    env = Environment()
    workload = Workload(load_trace("minilm-l128"), {2: [0]}, observe=QualityMeter().add)
    for design in map(design_of, map(load_arch, DESIGNS)):
        for stage in design.stages(System(env, design.units(), {"dram": None}), workload, Record(env)):
            for _ in stage.jobs:
                pass


def compile_all() -> None:
    """Both at once, each in a process of its own; what fails is left to the tests to say."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    commands = [[sys.executable, "-P", __file__, part] for part in PARTS]
    for part in [subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) for command in commands]:
        part.wait()


PARTS = {"memory": memory, "machine": machine}

if __name__ == "__main__":
    PARTS[sys.argv[1]]()
