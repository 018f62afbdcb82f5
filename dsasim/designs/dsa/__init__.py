"""The machine of DSA (Liu et al. 2021) and its dense relatives: units, rules, and a layer as a stream of jobs."""
