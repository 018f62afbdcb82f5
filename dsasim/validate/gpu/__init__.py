"""Attention as GPUs run it: dense, block-sparse and column-vector-sparse kernels, and how long each takes."""
