"""The hardware: one unit a file, each a SimPy process with its timing rule; `accelerator` wires them."""
