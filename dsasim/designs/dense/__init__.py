"""A dense attention machine that keeps no whole row of scores: tiles of queries by tiles of keys, online softmax.

config     its configuration
rules      how long each unit works on a tile, in closed form
mapping    which tiles; the best that fit the buffers, by search
work       a layer cut into tiles of queries, and these into steps along the keys
silicon    what the units are made of, and prices of their events
stream     the steps as jobs
design     the machine
"""

from dsasim.designs.dense.design import DenseMachine

DESIGN = DenseMachine
