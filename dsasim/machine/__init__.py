"""The engine: executes jobs on units, and knows nothing of attention.

    job.Job            one piece of work of one unit: how long, what it waits for, where its output goes
    token.Token        an operand that will be there
    space              slots, amounts and other jobs' ends: where an output can go; to wait for it is back-pressure
    unit.Unit          does its jobs in order; every idle cycle has an owner (`waits`)
    dma.DmaEngine      a unit whose jobs are transfers of a memory, several open at a time
    arbiter.Arbiter    hardware that several units share, in the order of the stream
    stage.Stage        a stream of jobs between two barriers, made while it is consumed; it says when a unit has no more
    system.System      units and memories in one environment; runs stages to the end
    watcher.Watcher    who looks on

The one timing rule, of every unit:

    start = max(end of the unit's previous job, space for the output, operands there, hardware granted, stage begun)

Nothing is chosen by arrival, so no result depends on the order of simultaneous events.
"""
