"""A second dsasim that shares no code with the first: the whole machine, one core cycle after the other.

It is written to be obviously right, not fast. From `dsasim` it takes what is data: the design and the trace. What a
predictor scores and a threshold keeps, which keys a plan loads, how long a product lasts, when a burst moves and who
owns an idle cycle it works out anew, from the rules as dsasim's docstrings word them, each named where it is followed.

    plan      mask -> groups -> steps; the scheduler
    array     steps on lanes and banks; systolic products
    predict   scores, in plain numbers
    inputs    which keys each row may attend to, and keeps
    select    passes of the mask generator
    memory    bursts on channels and banks, edge by edge
    slow_memory  other buses: tests/twin_dram.py; both take timings and distances from tests/twin_presets.py
    layout    where tensors lie, which bursts a transfer touches, how many rows a tile has
    pool      K and V that do not fit: parts, fetches, victims
    layer     the jobs of a layer and what each waits for
    dense     the jobs of dense products around attention
    machine   the loop over core cycles, and the books
    cases     random designs and traces, as small dictionaries
    compare   both simulators on a case
"""
