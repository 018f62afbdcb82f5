"""The token-parallel scheduler: a tile's mask becomes the plan the array executes (rules: `dsasim.kernels.schedule`).

    mask slot ──► word ──► classifier ──► ID queues ───────► issuer ──► plan entry ──► mask slot
                                   └────► overflow lists ──┘
    cycle  0              1                                 2                  3

Queues and lists are double: one group is classified while the group before it is issued. They swap at the end of the
cycle in which the one is classified to its last word and the other issued to its last load.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out

from hardware.classifier import Classifier
from hardware.issuer import Issuer, load_layout


class Scheduler(Component):
    """One scheduler and its part of the mask slot: after `start`, entries leave until `ends_tile`.

    A word in `mask` is the row sets of its positions, and whether it is the last of its group and of the tile.
    """

    def __init__(
        self, token_parallelism: int, keys_per_cycle: int, id_queue_entries: int, max_keys: int, max_words: int
    ) -> None:
        self.design = token_parallelism, keys_per_cycle, id_queue_entries, max_keys
        positions = ArrayLayout(unsigned(token_parallelism), keys_per_cycle)
        word = StructLayout({"positions": positions, "ends_group": 1, "ends_tile": 1})
        self.mask = Memory(shape=word, depth=max_words, init=[])
        super().__init__(
            {
                "mask_write": In(1),
                "mask_address": In(range(max_words)),
                "mask_word": In(word),
                "start": In(1),
                "entry_valid": Out(1),
                "entry": Out(load_layout(token_parallelism, max_keys)),
                "ends_group": Out(1),
                "ends_empty_group": Out(1),
                "ends_tile": Out(1),
                "spills": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        T, C, entries, max_keys = self.design
        m = Module()
        m.submodules.classifier = classifier = Classifier(T, C, entries, max_keys)
        m.submodules.issuer = issuer = Issuer(T, entries, max_keys)
        filling = Signal()  # which half of queues and lists is being filled
        self._queues(m, classifier, issuer, filling)
        self._lists(m, classifier, issuer, filling)
        self._sequence(m, classifier, issuer, filling)
        m.d.sync += [self.entry_valid.eq(issuer.load_valid), self.entry.eq(issuer.load)]
        m.d.comb += self.spills.eq(classifier.spill_valid)
        return m

    def _sequence(self, m: Module, classifier: Classifier, issuer: Issuer, filling: Signal) -> None:
        """Read words, swap halves when both are done with theirs, and mark where groups and the tile end."""
        m.submodules.mask = self.mask
        write, port = self.mask.write_port(), self.mask.read_port()
        m.d.comb += [write.en.eq(self.mask_write), write.addr.eq(self.mask_address), write.data.eq(self.mask_word)]
        address, present = Signal.like(port.addr), Signal()
        classified, tile_classified, last_group, swap = Signal(), Signal(), Signal(), Signal()
        group_done = classified | (classifier.word_done & port.data.ends_group)
        tile_done = tile_classified | (classifier.word_done & port.data.ends_tile)
        kept_nothing = swap & (classifier.total == 0)
        m.d.comb += [
            port.en.eq(self.start | (classifier.word_done & ~port.data.ends_tile)),
            port.addr.eq(Mux(self.start, 0, address)),
            classifier.word_valid.eq(present & ~classified),
            classifier.word.eq(port.data.positions),
            classifier.ends_group.eq(port.data.ends_group),
            swap.eq(group_done & (issuer.empty | issuer.last)),
            classifier.swap.eq(swap),
            issuer.swap.eq(swap),
            issuer.counts.eq(classifier.counts),
            issuer.heads.eq(classifier.heads),
            issuer.total.eq(classifier.total),
        ]
        m.d.sync += [
            classified.eq(group_done & ~swap),
            tile_classified.eq(tile_done & ~swap),
            self.ends_group.eq(issuer.last),
            self.ends_empty_group.eq(kept_nothing),
            self.ends_tile.eq((issuer.last & last_group) | (kept_nothing & tile_done)),
        ]
        with m.If(classifier.word_done):
            m.d.sync += present.eq(0)
        with m.If(port.en):
            m.d.sync += [present.eq(1), address.eq(port.addr + 1)]
        with m.If(swap):
            m.d.sync += [filling.eq(~filling), last_group.eq(tile_done)]

    def _queues(self, m: Module, classifier: Classifier, issuer: Issuer, filling: Signal) -> None:
        """ID queues: registers that take a key from each position of a word at once, and give one a cycle."""
        T, _, entries, _ = self.design
        half = ((1 << T) - 1) * entries

        def place(of: Signal, rows: Signal, entry: Signal) -> object:
            return of * half + (rows - 1) * entries + entry

        m.submodules.queues = queues = Memory(
            shape=issuer.queued_key.shape(),
            depth=2 * half,
            init=[],
            attrs={"logic_block": 1},  # registers, not SRAM
        )
        for put in classifier.puts:
            port = queues.write_port()
            m.d.comb += [port.en.eq(put.valid), port.data.eq(put.key)]
            m.d.comb += port.addr.eq(place(filling, put.rows, put.entry))
        head = queues.read_port(domain="comb")
        m.d.comb += [head.addr.eq(place(~filling, issuer.load.rows, issuer.entry)), issuer.queued_key.eq(head.data)]

    def _lists(self, m: Module, classifier: Classifier, issuer: Issuer, filling: Signal) -> None:
        """Overflow lists in the mask slot: one key written and one read a cycle."""
        shape = issuer.listed.shape()
        m.submodules.lists = lists = Memory(shape=shape, depth=2 << len(issuer.list_place), init=[])
        write, read = lists.write_port(), lists.read_port()
        m.d.comb += [
            write.en.eq(classifier.spill_valid),
            write.addr.eq(Cat(classifier.spill.place, filling)),
            write.data.key.eq(classifier.spill.key),
            write.data.link.eq(classifier.spill.link),
            read.en.eq(issuer.list_read),
            read.addr.eq(Cat(issuer.list_place, ~filling)),
            issuer.listed.eq(read.data),
        ]
