"""From keep masks to work for the array: one policy a file."""
