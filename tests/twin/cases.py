"""Random small machines on random small traces, as dictionaries that a failing test prints and a person can paste.

    {"design": {"pe_array.lanes": 2, ...}, "timing": {"nREFI": 400, ...}, "layers": [{"shape": ..., "heads": ...}, ...]}

`timing` replaces cycles of the DRAM preset, so that short runs meet refreshes. A layer has masks as `keep` (rows as
text, for each head), or random tensors and a random predictor as `seed`, or both; of the same heads on further
sequences a list of such as `batch`. Every key of the schema that may change time is drawn (`tests/twin/test_cases.py`
checks it), and every scope.
"""

from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from math import ceil
from random import Random
from typing import Any

import numpy as np

from dsasim.config.loader import load_arch
from dsasim.config.schema import ArchConfig
from dsasim.trace.arrays import LayerArrays, MaskArrays
from dsasim.trace.attention import AttentionTrace, FittedPredictor
from dsasim.trace.packing import pack_bits
from dsasim.trace.store import trace_in_memory

Case = dict[str, Any]
BUFFERS = ("q", "k", "v", "predictor", "mask", "score", "output")
MAPPINGS = (
    "row-bank-column-bankgroup-channel",
    "row-bank-bankgroup-column-channel",
    "row-channel-column-bank-bankgroup",
    "column-row-bankgroup-channel-bank",
    "row-bank-rank-column-bankgroup-channel",
    "rank-row-bank-bankgroup-column",
    "mop4",
)
HBM_MAPPINGS = ("row-bank-column-bankgroup-pseudochannel-channel", "row-pseudochannel-bank-bankgroup-column", "mop4")
STACK_MAPPINGS = ("row-bank-stack-column-bankgroup-channel", "stack-row-bank-bankgroup-pseudochannel-column")
OTHER_PRESETS = ("GDDR6", "GDDR6_14000", "LPDDR5_6400", "HBM2", "HBM2_2000", "HBM3", "HBM3_6400")
METHODS = ("given", "dsa2021", "dense", "oracle")


@cache
def _default() -> dict[str, Any]:
    return load_arch("dsa-decoupled", ()).model_dump()


def arch_of(case: Case) -> ArchConfig:
    """The default design with the case's overrides."""
    values: dict[str, Any] = {name: dict(v) if isinstance(v, dict) else v for name, v in _default().items()}
    values["buffers"] = {name: dict(buffer) for name, buffer in values["buffers"].items()}
    for path, value in case["design"].items():
        *parents, name = path.split(".")
        section = values
        for parent in parents:
            section = section[parent]
        exact = isinstance(value, str) and path in ("clock_ghz", "mask_generator.density", "predictor.sigma")
        section[name] = Decimal(value) if exact else value
    return ArchConfig.model_validate(values)


def trace_of(case: Case) -> AttentionTrace:
    """The case's layers as a trace in memory."""
    layers = [
        _tensor_layer(number, one, sequence) if "seed" in one else _mask_layer(number, one, sequence)
        for number, layer in _numbered(case)
        for sequence, one in enumerate([layer, *layer.get("batch", [])])
    ]
    masks_only = not any("seed" in layer for layer in case["layers"])
    return trace_in_memory("case", layers, kind="mask" if masks_only else "synthetic", dtype="float32")


def alone(case: Case, sequence: int) -> Case:
    """The case with one sequence of its batch only."""
    layers = []
    for layer in case["layers"]:
        of_sequence = [layer, *layer.get("batch", [])][sequence]
        layers.append({name: of_sequence[name] for name in of_sequence if name != "batch"} | {"heads": layer["heads"]})
    return {**case, "layers": layers}


def selection_of(case: Case) -> Mapping[int, list[int]]:
    """The query heads to run, by layer."""
    return {number: layer["heads"] for number, layer in _numbered(case)}


def _numbered(case: Case) -> list[tuple[int, Any]]:
    return list(enumerate(case["layers"]))


def _mask_layer(number: int, layer: Any, sequence: int) -> MaskArrays:
    shape = layer["shape"]
    packed = np.stack([pack_bits(head) for head in _keep(layer)])
    sizes = (shape["L_k"], shape["d_head"], shape["kv_heads"], shape["causal"])
    return MaskArrays(number, packed, *sizes, sequence=sequence)


def _keep(layer: Any) -> Any:
    return np.array([[[bit == "1" for bit in row] for row in head] for head in layer["keep"]])


def _tensor_layer(number: int, layer: Any, sequence: int) -> LayerArrays:
    """Small integers, so that scores are often equal."""
    shape, rng = layer["shape"], np.random.default_rng(layer["seed"])
    L_q, L_k, d_head, kv_heads = shape["L_q"], shape["L_k"], shape["d_head"], shape["kv_heads"]
    heads, d_model = kv_heads * shape["sharing"], shape["d_model"]
    allowed = np.tile(np.arange(L_k) < L_k - shape["padding"], (L_q, 1))
    if shape["holes"]:
        allowed &= rng.integers(0, 3, size=(L_q, L_k)) > 0
    allowed[-1, 0] = True
    return LayerArrays(
        number=number,
        q=rng.integers(-2, 3, size=(heads, L_q, d_head)).astype(np.float32),
        k=rng.integers(-2, 3, size=(kv_heads, L_k, d_head)).astype(np.float32),
        v=np.ones((kv_heads, L_k, d_head), np.float32),
        x_q=rng.integers(-2, 3, size=(L_q, d_model)).astype(np.float32),
        x_kv=None if L_q == L_k and not shape["cross"] else rng.normal(size=(L_k, d_model)).astype(np.float32),
        causal=shape["causal"],
        scale=0.5,
        allowed=None if allowed.all() else allowed,
        bias=rng.integers(-2, 3, size=(heads, L_q, L_k)).astype(np.float32) if shape["bias"] else None,
        keep=_keep(layer) if "keep" in layer else None,
        d_ff=shape["d_ff"],
        gated=shape["gated"],
        predictors=(_predictor(rng, shape, heads),),
        sequence=sequence,
    )


def _predictor(rng: Any, shape: Any, heads: int) -> FittedPredictor:
    """Random weights, and scales that let few codes or many be clipped."""
    k = ceil(Decimal(shape["sigma"]) * shape["d_model"])
    columns, rank, kv_heads = k + shape["extra_columns"], shape["rank"], shape["kv_heads"]

    def extra(rows: int) -> Any:
        return rng.normal(size=(rows, shape["extra_columns"])).astype(np.float32)

    sizes: dict[str, Any] = {"x": 1, "xp": 1, "q": heads, "k": kv_heads, "w_q": (heads, rank), "w_k": (kv_heads, rank)}
    return FittedPredictor(
        sigma=Decimal(shape["sigma"]),
        projection=rng.integers(-1, 2, size=(shape["d_model"], k)).astype(np.int8),
        w_q=rng.normal(size=(heads, columns, rank)).astype(np.float32),
        w_k=rng.normal(size=(kv_heads, columns, rank)).astype(np.float32),
        extra_q=extra(shape["L_q"]),
        extra_k=extra(shape["L_k"]),
        scales={
            bits: {name: (2.0 ** rng.uniform(-3, 2, size)).astype(np.float32) for name, size in sizes.items()}
            for bits in (2, 4, 8)
        },
        position_columns=0,
        fitted_on="nothing",
    )


# ----------------------------------------------------------------------------------------------------- random choice
def random_case(rng: Random, method: str, others: int | None = None) -> Case:
    """A design and a trace for `given`, `dsa2021`, `dense` or `oracle`; `others`: sequences beside the first."""
    scope = rng.choice(["attention", "attention", "attention", "layer", "model"])
    masks = method in ("given", "dense") and (method == "given" or rng.random() < 0.3)
    tensors = scope != "attention" or not masks
    sigma = rng.choice(["0.25", "0.5", "1"])
    count = rng.choice([1, 1, 2]) if scope != "attention" else rng.choice([1, 1, 1, 2, 3])
    layers = [_layer(rng, sigma, masks=masks, tensors=tensors) for _ in range(count)]
    often = {"nREFI": rng.choice([150, 400, 1000]), "nRFC": rng.choice([40, 90])}
    design = _design(rng, method, layers)
    others = rng.choice([0, 0, 0, 0, 0, 0, 0, 1, 1, 2]) if others is None else others
    for layer in layers if others else []:
        layer["batch"] = [_layer(rng, sigma, masks=masks, tensors=tensors, first=layer) for _ in range(others)]
    return {"design": design, "scope": scope, "timing": often, "layers": layers}


def _design(rng: Random, method: str, layers: list[dict[str, Any]]) -> dict[str, Any]:
    T, lanes = rng.choice([1, 2, 3, 4, 5, 8]), rng.randint(1, 4)
    systolic = method == "dense" and rng.random() < 0.6
    heads_apart = not systolic and rng.random() < 0.4
    preset = rng.choice(("DDR4_2400", "DDR4_3200") * 10 + OTHER_PRESETS)
    organisation = rng.choice(["decoupled", "coupled"])
    design: dict[str, Any] = {
        "clock_ghz": rng.choice(["0.3", "0.7", "1", "1.3", "1.6", "2.9"]),
        "predictor.method": rng.choice(["oracle_topk", "oracle_threshold"]) if method == "oracle" else method,
        "scheduler.token_parallelism": T,
        "scheduler.tile_rows": T * rng.randint(1, 3) * (lanes if heads_apart else rng.choice([1, 1, lanes])),
        "scheduler.order": "in_order" if method == "dense" else rng.choice(["in_order", "reordered"]),
        "scheduler.num_schedulers": rng.randint(1, 3),
        "scheduler.keys_classified_per_cycle": rng.randint(1, 8),
        "scheduler.id_queue_entries": rng.choice([1, 2, 64]),
        "pe_array.organisation": organisation,
        "pe_array.switch_cycles": rng.choice([0, 1, 7]) if organisation == "coupled" else 0,
        "pe_array.lanes": lanes,
        "pe_array.lane_sync": "lock_step" if systolic else rng.choice(["lock_step", "independent"]),
        "pe_array.lane_split": "heads" if heads_apart else "groups",
        **_macs(rng, lanes * T),
        "pe_array.bits": rng.choice([8, 16, 32]),
        "pe_array.dataflow": "systolic" if systolic else "token_parallel",
        "pe_array.stationary": rng.choice(["output", "weight", "input"]),
        "pe_array.pipelined_folds": rng.random() < 0.6,
        "softmax.exp_per_cycle": rng.randint(1, 4),
        "softmax.div_per_cycle": rng.randint(1, 4),
        "softmax.pipeline_depth_cycles": rng.choice([0, 1, 5, 20]),
        "dma.open_transfers": rng.randint(1, 4),
        "dma.outstanding_bursts": rng.choice([1, 2, 3, 64]),
        "dram.preset": preset,
        "dram.channels": rng.randint(1, 3),
        "dram.ranks": rng.choice([1, 1, 2, 4, 8]) if preset.startswith(("DDR4", "LPDDR5")) else 1,
        "dram.refresh": rng.random() < 0.6,
        "dram.page": rng.choice(["open", "open", "open", "closed"]),
        "dram.mapping": rng.choice(_mappings(preset)),
        "dram.layout": rng.choice(["head_contiguous", "token_interleaved"]),
    }
    for name in BUFFERS:
        slots = rng.randint(1, 3)
        design |= {
            f"buffers.{name}.bytes": _bytes(rng, name),
            f"buffers.{name}.banks": rng.randint(1, 5),
            f"buffers.{name}.port_bytes": rng.choice([1, 2, 8, 64]),
            f"buffers.{name}.double_buffered": slots > 1,
            f"buffers.{name}.num_slots": None if slots < 3 and rng.random() < 0.3 else slots,
        }
    vector_bytes = max(layer["shape"]["d_head"] for layer in layers) * design["pe_array.bits"] // 8
    for name in ("k", "v"):
        design[f"buffers.{name}.residency"] = rng.choice(["auto", "auto", "pool"])
        if rng.random() < 0.3:
            design[f"buffers.{name}.bytes"] = vector_bytes * (T + rng.randint(0, 8))
    if method == "dsa2021":
        design |= _prediction(rng, layers)
    elif method == "oracle":
        threshold = design["predictor.method"] == "oracle_threshold"
        design |= {"predictor.sigma": None} | _selection(rng, "threshold" if threshold else "top_k")
    return design


def _macs(rng: Random, rows: int) -> dict[str, Any]:
    """MACs of a row, or of the whole array."""
    macs = rng.randint(1, 5)
    if rng.random() < 0.7:
        return {"pe_array.macs_per_row": macs}
    return {"pe_array.macs_per_row": None, "pe_array.total_macs": rows * macs}


def _mappings(preset: str) -> tuple[str, ...]:
    """Orders of the address fields that a preset has."""
    if preset.startswith("HBM3"):
        return HBM_MAPPINGS + STACK_MAPPINGS
    return HBM_MAPPINGS if preset.startswith("HBM2") else MAPPINGS


def _bytes(rng: Random, name: str) -> int:
    """From hardly enough for one group, at times, to plenty; scores may be larger than their buffers."""
    low = {"q": 6, "k": 8, "v": 8, "predictor": 6, "mask": 4, "score": 3, "output": 6}[name]
    tight = 0.3 if name in ("predictor", "score") else 0.1
    return int(2 ** rng.uniform(low, low + 4)) if rng.random() < tight else 2 ** (low + 7)


def _prediction(rng: Random, layers: list[dict[str, Any]]) -> dict[str, Any]:
    rank = rng.choice([None, rng.randint(1, min(layer["shape"]["rank"] for layer in layers))])
    return {
        "predictor.sigma": layers[0]["shape"]["sigma"],
        "predictor.rank": rank,
        "predictor.bits": rng.choice([2, 4, 8]),
        "predictor.array_rows": rng.randint(1, 6),
        "predictor.array_columns": rng.randint(1, 6),
        **_selection(rng, rng.choice(["top_k", "top_k", "threshold"])),
    }


def _selection(rng: Random, selection: str) -> dict[str, Any]:
    unit = rng.choice(["quick_select", "bitonic"]) if selection == "top_k" else "quick_select"
    return {
        "mask_generator.selection": selection,
        "mask_generator.density": rng.choice(["0.1", "0.35", "0.5", "1"]) if selection == "top_k" else None,
        "mask_generator.threshold": rng.choice([-1.0, 0.0, 1.5]) if selection == "threshold" else None,
        "mask_generator.num_selectors": rng.randint(1, 4),
        "mask_generator.top_k_unit": unit,
        "mask_generator.comparators": rng.choice([1, 2, 4]) if unit == "bitonic" else rng.randint(1, 4),
    }


OF_LAYER = ("d_head", "kv_heads", "sharing", "d_model", "rank", "d_ff", "gated")
"""What all sequences of a layer have in common."""


def _layer(
    rng: Random, sigma: str, *, masks: bool, tensors: bool, first: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Any lengths, GQA or not, causal or not; some of the heads. Of another sequence than the `first`: its sizes."""
    causal = rng.random() < 0.4
    L_k = rng.randint(1, 14)
    kv_heads, sharing = rng.randint(1, 4), rng.randint(1, 3)
    if first is not None:
        kv_heads, sharing = first["shape"]["kv_heads"], first["sharing"]
    shape = {
        "L_q": rng.choice([L_k, rng.randint(1, L_k if causal else 16)]),
        "L_k": L_k,
        "d_head": rng.choice([1, 3, 4, 8, 9]),
        "kv_heads": kv_heads,
        "causal": causal,
    }
    heads = kv_heads * sharing
    some = sorted(rng.sample(range(heads), rng.randint(1, min(heads, 4))))
    layer: dict[str, Any] = {"shape": shape, "heads": some, "sharing": sharing}
    if masks:
        layer["keep"] = [[_row(rng, row, shape) for row in range(shape["L_q"])] for _ in range(heads)]
    if tensors:
        shape |= {
            "sharing": sharing,
            "sigma": sigma,
            "d_model": rng.randint(1, 9),
            "rank": rng.randint(1, 4),
            "extra_columns": rng.randint(0, 2),
            "d_ff": rng.randint(1, 9),
            "gated": rng.random() < 0.5,
            "cross": rng.random() < 0.3,
            "padding": 0 if masks else rng.choice([0, 0, rng.randint(0, L_k - 1)]),
            "holes": not masks and rng.random() < 0.2,
            "bias": rng.random() < 0.2,
        }
        layer["seed"] = rng.randint(0, 10**6)
    if first is not None:
        shape |= {name: first["shape"][name] for name in OF_LAYER if name in shape}
    return layer


def _row(rng: Random, row: int, shape: dict[str, Any]) -> str:
    """A row of a mask, as text: anything, little, nothing or everything that causality allows."""
    L_k = shape["L_k"]
    bits = rng.getrandbits(L_k)
    kind = rng.choice(["any", "any", "little", "none", "all"])
    bits = {"any": bits, "little": bits & rng.getrandbits(L_k), "none": 0, "all": 2**L_k - 1}[kind]
    seen = min(L_k, row + L_k - shape["L_q"] + 1) if shape["causal"] else L_k
    return "".join("1" if bits >> key & 1 and key < seen else "0" for key in range(L_k))
