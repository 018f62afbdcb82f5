"""The machine of DSA (Liu et al. 2021, arXiv 2110.11299) and its dense relatives."""

from dsasim.designs.dsa.design import Dsa

DESIGN = Dsa
