"""What a run costs, from its counters, the design and the shipped tables, in plain sums: not `dsasim.cost`."""

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

import yaml

import dsasim

TABLES = Path(dsasim.__file__).parent / "silicon" / "tables"
Energies = dict[str, float]


class Prices:
    """pJ of each counter and mW of leakage of each component of a design whose memories CACTI knows at its node."""

    def __init__(self, design: dict[str, Any]) -> None:
        self.design, self.node, self.leakage_mw = design, design["technology_nm"], Energies()
        self.predicts = design["predictor"]["method"] == "dsa2021"
        """Whether masks are made by hardware, and are not free."""

    def energies(self, counters: dict[str, int], cycles: int) -> Energies:
        """Energy in pJ by component."""
        design, dram = self.design, table("dram_energy.yaml")["presets"][self.design["dram"]["preset"]]
        value = {key: entry["value"] for key, entry in dram.items()}
        found = self._array(counters) | self._selection(counters) | self._softmax(counters)
        for name in ("q", "k", "v", "predictor", "mask", "score", "output"):
            found[f"buffer_{name}"] = self._buffer(name, counters)
        burst_bits = 8 * value["burst_bytes"]
        found["dram"] = (
            counters["dram_activates"] * value["activate_pj"]
            + counters["dram_refreshes"] * value["refresh_pj"]
            + counters["dram_read_bursts"] * burst_bits * (value["read_pj_per_bit"] + value["io_pj_per_bit"])
            + counters["dram_write_bursts"] * burst_bits * (value["write_pj_per_bit"] + value["io_pj_per_bit"])
        )
        edge_ns = {"DDR4_3200": 0.625, "DDR4_2400": 0.833}[design["dram"]["preset"]]
        time_ns = cycles / design["clock_ghz"]
        opened = counters["dram_open_edges"] * edge_ns
        closed = design["dram"]["channels"] * time_ns - opened
        found["dram_background"] = opened * value["standby_mw"] + closed * value["precharged_mw"]
        found["leakage"] = sum(self.leakage_mw.values()) * time_ns
        return found | {"total": sum(found.values())}

    def use(self, name: str, bits: int) -> tuple[float, float]:
        """PJ a use and mW of leakage of one operator at the design's node."""
        return self._operator(name, bits)[:2]

    def _operator(self, name: str, bits: int) -> tuple[float, float, float]:
        """Those, and um2."""
        rows = [row for row in table("operations.yaml")["operations"] if row["name"] == name and row["bits"] >= bits]
        row = min(rows, key=lambda row: row["bits"])
        nodes = table("node_scaling.yaml")["nodes"]

        def scaled(key: str, ratio: str) -> float:
            return row[key]["value"] * nodes[self.node][ratio] / nodes[row[key]["node_nm"]][ratio]

        leakage_mw = scaled("leakage_nw", "area_ratio") * 1e-6
        return scaled("energy_pj", "energy_ratio"), leakage_mw, scaled("area_um2", "area_ratio")

    def _array(self, counters: dict[str, int]) -> Energies:
        """A MAC is a multiplier and an accumulator; a PE so many times that."""
        design, array, predictor = self.design, self.design["pe_array"], self.design["predictor"]
        overhead = design["cost"]["pe_overhead_ratio"]
        if array["organisation"] == "coupled":
            overhead *= design["cost"]["composable_overhead_ratio"]
        macs = array["lanes"] * design["scheduler"]["token_parallelism"] * array["macs_per_row"]
        multiply, add = self.use("multiply", array["bits"]), self.use("add", 2 * array["bits"] + 8)
        done = sum(counters[f"macs_{name}"] for name in ("sddmm", "spmm", "dense"))
        self.leakage_mw["pe_array"] = macs * overhead * (multiply[1] + add[1])
        found = {"pe_array": done * overhead * (multiply[0] + add[0]), "predictor": 0.0}
        if self.predicts:
            multiply, add = self.use("multiply", predictor["bits"]), self.use("add", 24)
            own = 0 if array["organisation"] == "coupled" else predictor["array_rows"] * predictor["array_columns"]
            self.leakage_mw["predictor"] = own * overhead * (multiply[1] + add[1])
            found["predictor"] = overhead * (
                counters["macs_predictor"] * (multiply[0] + add[0]) + counters["adds_predictor"] * add[0]
            )
        return found

    def _selection(self, counters: dict[str, int]) -> Energies:
        """Quick-select lanes (two comparators, a register, two eliminators, one used), and the schedulers' queues."""
        design, generator = self.design, self.design["mask_generator"]
        found = {"mask_generator": 0.0, "scheduler": 0.0}
        bit = self.use("register", 1)
        if design["predictor"]["method"] == "dense":
            return found
        if self.predicts:
            bits = 2 * design["predictor"]["bits"] + 8
            compare, eliminate = self.use("compare", bits), self.use("zero_eliminator_lane", 12)
            shares = [bits / 12 * part for part in eliminate]
            found["mask_generator"] = counters["mask_comparisons"] * (2 * compare[0] + bits * bit[0] + shares[0])
            lanes = generator["num_selectors"] * generator["comparators"]
            self.leakage_mw["mask_generator"] = lanes * (2 * compare[1] + bits * bit[1] + 2 * shares[1])
        plan = design["scheduler"]
        rows, queues = plan["token_parallelism"], 2 ** plan["token_parallelism"] - 1
        count, encoders = self.use("popcount", 64), -(-queues // 16)
        find = [part * encoders for part in self.use("leading_zeros", 16)]
        found["scheduler"] = counters["keys_classified"] * count[0] * rows / 64
        found["scheduler"] += counters["keys_issued"] * (2 * 16 * bit[0] + find[0])
        stored = 2 * queues * plan["id_queue_entries"] * 16 * bit[1]
        one = plan["keys_classified_per_cycle"] * count[1] * rows / 64 + stored + find[1]
        self.leakage_mw["scheduler"] = plan["num_schedulers"] * one
        return found

    def _softmax(self, counters: dict[str, int]) -> Energies:
        design, unit, bits = self.design, self.design["softmax"], self.design["pe_array"]["bits"]
        bit, compare = self.use("register", 1), self.use("compare", bits)
        parts = (self.use("add", bits), self.use("exponential", 12), self.use("add", 32))
        exponential = [sum(part) + 2 * bits * one for *part, one in zip(*parts, bit, strict=True)]
        division = [sum(part) for part in zip(self.use("reciprocal", 12), self.use("multiply", bits), strict=True)]
        division = [part + 2 * bits * one for part, one in zip(division, bit, strict=True)]
        rows = design["pe_array"]["lanes"] * design["scheduler"]["token_parallelism"]
        self.leakage_mw["softmax"] = (
            unit["exp_per_cycle"] * exponential[1] + unit["div_per_cycle"] * division[1] + rows * compare[1]
        )
        exponentials, divisions = counters["softmax_exponentials"], counters["softmax_divisions"]
        return {"softmax": exponentials * (exponential[0] + compare[0]) + divisions * division[0]}

    def _buffer(self, name: str, counters: dict[str, int]) -> float:
        """Whole accesses of a port's width; leakage times the design's ratio."""
        buffer, method = self.design["buffers"][name], self.design["predictor"]["method"]
        if buffer is None or (name == "predictor" and not self.predicts) or (name == "mask" and method == "dense"):
            return 0.0
        read, write, leakage = self._memory(buffer)
        self.leakage_mw[f"buffer_{name}"] = leakage * self.design["cost"]["leakage_ratio"]
        reads, writes = (counters[f"{name}_buffer_{way}_bytes"] for way in ("read", "write"))
        return (reads * read + writes * write) / buffer["port_bytes"]

    def _memory(self, buffer: dict[str, Any]) -> tuple[float, ...]:
        """CACTI's point, or straight between its neighbours in the logarithms; from 32 nm where 28 is wanted.

        Below its smallest point that one's accesses, and its leakage or that of registers if these are smaller.
        """
        known = min((22, 32, 45, 65), key=lambda node: abs(node - self.node))
        nodes = table("node_scaling.yaml")["nodes"]
        energy, area = (nodes[self.node][key] / nodes[known][key] for key in ("energy_ratio", "area_ratio"))
        wanted = (str(known), self.design["cost"]["sram_device"], str(buffer["port_bytes"]), str(buffer["banks"]))
        rows = {}
        for row in csv.DictReader((TABLES / "cacti_sram.csv").read_text().splitlines()):
            if (row["tech_nm"], row["device"], row["block_bytes"], row["banks"]) == wanted:
                rows[int(row["size_bytes"])] = [
                    float(row[key]) for key in ("read_pj", "write_pj", "leakage_mw", "area_mm2")
                ]
        if buffer["bytes"] < min(rows):
            read, write, leakage, macro = rows[min(rows)]
            _, register_mw, register_um2 = (8 * buffer["bytes"] * part for part in self._operator("register", 1))
            smaller = register_um2 * 1e-6 < macro * area
            return read * energy, write * energy, register_mw if smaller else leakage * area
        low = max(size for size in rows if size <= buffer["bytes"])
        high = min(size for size in rows if size >= buffer["bytes"])
        share = math.log2(buffer["bytes"] / low) / math.log2(high / low) if high > low else 0.0
        read, write, leakage, _ = (a ** (1 - share) * b**share for a, b in zip(rows[low], rows[high], strict=True))
        return read * energy, write * energy, leakage * area


@cache
def table(name: str) -> dict[str, Any]:
    """A shipped table."""
    found: dict[str, Any] = yaml.safe_load((TABLES / name).read_text(encoding="utf-8"))
    return found
