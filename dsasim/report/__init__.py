"""What a person reads: the printed result, listings, progress; and the files results are written to."""
