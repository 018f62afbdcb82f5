"""Attention traces: what a model computed, stored in safetensors and read one head at a time."""
