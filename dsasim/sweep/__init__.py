"""Many runs: a YAML spec becomes points, points become rows of one JSONL file, and rows a Pareto front."""
