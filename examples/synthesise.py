"""Can the machine be built? Verilog of its units in Amaranth (tests/rtl/hardware), synthesised with yosys.

    python examples/synthesise.py [FOLDER]

writes the Verilog to FOLDER (a temporary one by default), and prints the cells of each module, two-input gates and
flip-flops before a library is chosen. Buffers are left as SRAM blocks; the ID queues are registers. Needs
pip install 'amaranth[builtin-yosys]' for the Verilog, and yosys (on Debian: apt install yosys) for the cells.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "rtl"))

SCRIPT = """
read_verilog {verilog}
hierarchy -check -top {top}
proc; opt; memory -nomap; memory_map */a:logic_block; opt
alumacc; share; opt; techmap; opt -fast; abc -fast; opt -fast
tee -q -o {cells} stat -json
"""


def designs() -> dict[str, Any]:
    """The units of a small machine: 2 rows, 8 keys a queue, 256 keys of 16 numbers of 8 bits."""
    from hardware.mask_generator import ThresholdMaskGenerator
    from hardware.pe_lane import PELane
    from hardware.scheduler import Scheduler

    return {
        "scheduler": Scheduler(token_parallelism=2, keys_per_cycle=4, id_queue_entries=8, max_keys=256, max_words=256),
        "mask_generator": ThresholdMaskGenerator(
            num_selectors=2, rows_per_selector=2, max_words=32, comparators=8, score_bits=16
        ),
        "pe_lane": PELane(
            token_parallelism=2, macs_per_row=4, d_head=16, num_banks=4, port_elements=8, max_keys=256, bits=8
        ),
    }


def synthesise(yosys: str, verilog: Path) -> dict[str, dict[str, int]]:
    """How many cells of each kind every module has."""
    cells = verilog.with_suffix(".json")
    script = SCRIPT.format(verilog=verilog, top=verilog.stem, cells=cells)
    subprocess.run([yosys, "-q", "-p", script], check=True)
    modules = json.loads(cells.read_text(encoding="utf-8"))["modules"]
    return {name.removeprefix("\\"): module["num_cells_by_type"] for name, module in modules.items()}


def main() -> None:
    try:
        from amaranth.back import verilog
    except ImportError:
        sys.exit("no amaranth here; the Verilog needs it: pip install 'amaranth[builtin-yosys]'")
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp(prefix="dsasim-verilog-"))
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, design in designs().items():
        paths.append(folder / f"{name}.v")
        paths[-1].write_text(verilog.convert(design, name=name), encoding="utf-8")
    print("Verilog is in", folder)
    yosys = shutil.which("yosys")
    if yosys is None:
        sys.exit("no yosys here; the cells need it: apt install yosys")
    print(f"{'module':32}{'cells':>8}{'flip-flops':>12}{'SRAM blocks':>13}")
    for path in paths:
        for module, kinds in synthesise(yosys, path).items():
            cells = sum(count for kind, count in kinds.items() if kind.startswith("$_"))
            flip_flops = sum(count for kind, count in kinds.items() if "DFF" in kind)
            print(f"{module:32}{cells:8,}{flip_flops:12,}{kinds.get('$mem_v2', 0):13,}")


if __name__ == "__main__":
    main()
