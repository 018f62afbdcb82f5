"""What keep masks do to a whole model: its own task with the masks of a predictor in place (extra `torch`)."""
