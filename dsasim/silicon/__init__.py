"""What hardware is made of: area, leakage and energy of operations and memories, from tables with their sources."""
