"""What a person reads: the printed result."""
