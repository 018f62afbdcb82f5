"""How dense products run on an array of PEs: folds, blocks, and the products of a transformer layer."""
