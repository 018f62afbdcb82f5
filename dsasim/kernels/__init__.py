"""Numba inner loops: arrays in, arrays out; no configuration, no events, no files (where compiled code goes: `jit`)."""
