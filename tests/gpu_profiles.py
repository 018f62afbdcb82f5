"""A GPU's profile as `validate` records it, of a device that does not exist: 16 units, 1 TFLOP/s and 1000 GB/s."""

from typing import Any

DEVICE = "NVIDIA H100 80GB HBM3"


def profile_of(*rows: dict[str, Any], **changes: object) -> dict[str, Any]:
    """The document with these rows, and other values where `changes` has them."""
    made = {
        "profile_version": 1,
        "device": DEVICE,
        "dtype": "float16",
        "parallel_units": 16,
        "matmul_tflops": 1.0,
        "copy_gbps": 1000.0,
        "launch_us": 5.0,
        "versions": {"torch": "2.11.0"},
        "clocks": {"sm_mhz": 1980},
        "unavailable": {},
        "rows": list(rows),
    }
    return made | changes


def dense_row() -> dict[str, Any]:
    """2 dense causal heads of 512 tokens in 2 ms."""
    row = {"kernel": "sdpa_flash", "L": 512, "num_heads": 2, "d_head": 64, "causal": True, "density": 1.0}
    return row | {"median_us": 2000.0, "p20_us": 1990.0, "p80_us": 2010.0}
