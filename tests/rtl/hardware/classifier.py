"""First half of a scheduler: which rows keep each key? Keys with the same answer wait in the same ID queue.

A word of the mask takes one cycle, and one more for each of its keys that finds its queue full: the pause in which the
key is spilled, that is, appended to the overflow list of its row set. A list entry holds a key and the place of the
next entry, which is set aside when the entry is written: one write a key is enough, and a list keeps its order.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for


class Classifier(Component):
    """`keys_per_cycle` positions a cycle; `swap` starts a group with empty queues and lists."""

    def __init__(self, token_parallelism: int, keys_per_cycle: int, id_queue_entries: int, max_keys: int) -> None:
        self.T, self.C, self.entries = token_parallelism, keys_per_cycle, id_queue_entries
        key, count = unsigned(bits_for(max_keys - 1)), unsigned(bits_for(max_keys))
        rows, sets = unsigned(token_parallelism), 1 << token_parallelism
        put = StructLayout({"valid": 1, "rows": rows, "entry": bits_for(id_queue_entries - 1), "key": key})
        super().__init__(
            {
                "word_valid": In(1),
                "word": In(ArrayLayout(rows, keys_per_cycle)),
                "ends_group": In(1),
                "word_done": Out(1),
                "swap": In(1),
                "puts": Out(ArrayLayout(put, keys_per_cycle)),
                "spill_valid": Out(1),
                "spill": Out(StructLayout({"place": key, "key": key, "link": key})),
                # the group as it will be after this cycle
                "counts": Out(ArrayLayout(count, sets)),
                "heads": Out(ArrayLayout(key, sets)),
                "total": Out(count),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        first_key = Signal(self.spill.key.shape())
        spilling = Signal(self.C)  # keys of this word that still have to be spilled
        left = Signal(self.C)
        no_room = self._put(m, first_key, first_look=~spilling.any())
        m.d.comb += [
            left.eq(Mux(spilling.any(), spilling & (spilling - 1), no_room)),
            self.word_done.eq(self.word_valid & ~left.any()),
        ]
        with m.If(self.word_valid):
            m.d.sync += spilling.eq(left)
        with m.If(self.word_done):
            m.d.sync += first_key.eq(Mux(self.ends_group, 0, first_key + self.C))
        self._append(m, spilling, first_key)
        return m

    def _put(self, m: Module, first_key: Signal, first_look: object) -> Signal:
        """Give each position its entry, behind the keys of its set before it; return those whose queue is full."""
        no_room, wanted = Signal(self.C), Signal(self.C)
        held, held_total = Signal.like(self.counts), Signal.like(self.total)
        for at, put in enumerate(self.puts):
            rows, entry = self.word[at], Signal(range(2 * (1 << len(self.total))), name=f"entry_{at}")
            m.d.comb += [
                wanted[at].eq(self.word_valid & first_look & rows.any()),
                entry.eq(held[rows] + _number(self.word[other] == rows for other in range(at))),
                no_room[at].eq(wanted[at] & (entry >= self.entries)),
                put.valid.eq(wanted[at] & ~no_room[at]),
                put.rows.eq(rows),
                put.entry.eq(entry),
                put.key.eq(first_key + at),
            ]
        for rows in range(1, 1 << self.T):
            more = _number(wanted[at] & (self.word[at] == rows) for at in range(self.C))
            m.d.comb += self.counts[rows].eq(held[rows] + more)
        m.d.comb += self.total.eq(held_total + _number(wanted))
        m.d.sync += [held.eq(self.counts), held_total.eq(self.total)]
        with m.If(self.swap):
            m.d.sync += [held.eq(0), held_total.eq(0)]
        return no_room

    def _append(self, m: Module, spilling: Signal, first_key: Signal) -> None:
        """Append the lowest of the spilled keys to the list of its row set."""
        rows, free = Signal(self.T), Signal.like(self.spill.place)
        started, tails = Signal(1 << self.T), Signal.like(self.heads)
        heads = Signal.like(self.heads)
        for at in reversed(range(self.C)):
            with m.If(spilling[at]):
                m.d.comb += [rows.eq(self.word[at]), self.spill.key.eq(first_key + at)]
        starts = ~started.bit_select(rows, 1)
        m.d.comb += [
            self.spill_valid.eq(self.word_valid & spilling.any()),
            self.spill.place.eq(Mux(starts, free, tails[rows])),
            self.spill.link.eq(Mux(starts, free + 1, free)),
            self.heads.eq(heads),
        ]
        m.d.sync += heads.eq(self.heads)
        with m.If(self.spill_valid):
            m.d.sync += [tails[rows].eq(self.spill.link), free.eq(self.spill.link + 1)]
            m.d.sync += started.bit_select(rows, 1).eq(1)
            with m.If(starts):
                m.d.comb += self.heads[rows].eq(free)
        with m.If(self.swap):
            m.d.sync += [free.eq(0), started.eq(0)]


def _number(bits: object) -> object:
    """How many of `bits` are set."""
    return sum(Cat(bits), Const(0, 1))
