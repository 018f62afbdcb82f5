"""Second half of a scheduler: from ID queues to the plan, one load a cycle.

In a step each row is served once. `idle` = the rows not served yet; next is the head of the queue whose set fits in
`idle` with the most rows, then the lowest bitmask. When none fits, the next step begins in the same cycle. Behind each
queue is an overflow list; a key from there is read back in a cycle of its own before it is issued.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for


def largest_first(token_parallelism: int) -> list[int]:
    """All row sets: most rows first, then the lowest bitmask."""
    return sorted(range(1, 1 << token_parallelism), key=lambda rows: (-rows.bit_count(), rows))


def load_layout(token_parallelism: int, max_keys: int) -> StructLayout:
    """One load of a plan: the key, the rows that it is for, and whether a step begins with it."""
    return StructLayout({"key": bits_for(max_keys - 1), "rows": token_parallelism, "begins_step": 1})


class Issuer(Component):
    """Empties a group's queues; `swap` loads the next group's counts and list heads."""

    def __init__(self, token_parallelism: int, id_queue_entries: int, max_keys: int) -> None:
        self.T, self.entries = token_parallelism, id_queue_entries
        key, count, sets = unsigned(bits_for(max_keys - 1)), unsigned(bits_for(max_keys)), 1 << token_parallelism
        super().__init__(
            {
                "swap": In(1),
                "counts": In(ArrayLayout(count, sets)),
                "heads": In(ArrayLayout(key, sets)),
                "total": In(count),
                "entry": Out(bits_for(id_queue_entries - 1)),  # of the queue of `load.rows`
                "queued_key": In(key),
                "list_read": Out(1),
                "list_place": Out(key),
                "listed": In(StructLayout({"key": key, "link": key})),  # a cycle after list_read
                "load_valid": Out(1),
                "load": Out(load_layout(token_parallelism, max_keys)),
                "empty": Out(1),
                "last": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        waiting, heads, left = Signal.like(self.counts), Signal.like(self.heads), Signal.like(self.total)
        taken = Signal(ArrayLayout(range(self.entries + 1), 1 << self.T))  # from the queue, in this group
        rows, spilled, was_read = self.load.rows, Signal(), Signal()
        self._choose(m, waiting)
        m.d.comb += [
            self.entry.eq(taken[rows]),
            self.list_place.eq(heads[rows]),
            self.empty.eq(left == 0),
            spilled.eq(taken[rows] == self.entries),
            self.list_read.eq(~self.empty & spilled & ~was_read),
            self.load_valid.eq(~self.empty & ~self.list_read),
            self.load.key.eq(Mux(spilled, self.listed.key, self.queued_key)),
            self.last.eq(self.load_valid & (left == 1)),
        ]
        m.d.sync += was_read.eq(self.list_read)
        with m.If(self.load_valid):
            m.d.sync += [left.eq(left - 1), waiting[rows].eq(waiting[rows] - 1)]
            with m.If(spilled):
                m.d.sync += heads[rows].eq(self.listed.link)
            with m.Else():
                m.d.sync += taken[rows].eq(taken[rows] + 1)
        with m.If(self.swap):
            m.d.sync += [left.eq(self.total), waiting.eq(self.counts), heads.eq(self.heads), taken.eq(0)]
        return m

    def _choose(self, m: Module, waiting: Signal) -> None:
        """The row set to serve next, and whether a step begins with it."""
        idle, wanting = Signal(self.T), Signal(self.T)
        some, fits = Signal(1 << self.T), Signal(1 << self.T)
        for rows in range(1, 1 << self.T):
            m.d.comb += [some[rows].eq(waiting[rows] != 0), fits[rows].eq(some[rows] & ((rows & ~idle) == 0))]
        for row in range(self.T):
            m.d.comb += wanting[row].eq(Cat(some[rows] for rows in largest_first(self.T) if rows >> row & 1).any())
        m.d.comb += self.load.begins_step.eq(~fits.any())
        candidates = Mux(fits.any(), fits, some)
        for rows in reversed(largest_first(self.T)):  # the last assignment wins
            with m.If(candidates[rows]):
                m.d.comb += self.load.rows.eq(rows)
        with m.If(self.load_valid):
            m.d.sync += idle.eq(Mux(fits.any(), idle, wanting) & ~self.load.rows)
