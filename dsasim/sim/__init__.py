"""Running the machine: from a trace to work, from work to cycles, and the checks on both."""
