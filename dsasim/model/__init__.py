"""Off-chip memory: the DRAM controller, address mappings, presets, and several memories on one clock."""
