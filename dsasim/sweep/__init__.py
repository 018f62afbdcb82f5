"""Many runs: a YAML spec becomes points, points become rows of one JSONL file, and rows a Pareto front."""

from dsasim.sweep.load import load_sweep

__all__ = ["load_sweep"]
