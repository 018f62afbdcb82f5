"""Units of the machine in Amaranth, as they would be built; their tests hold them against the timing kernels."""
