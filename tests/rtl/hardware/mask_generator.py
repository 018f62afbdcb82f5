"""The threshold mask generator: scores become mask words (rules: `dsasim.designs.dsa.mask_generator`).

    S~ buffer ──► score word ──► comparators ──► mask word ──► mask slot
                      one a selector and cycle

Row r of the tile is in the bank of selector r mod num_selectors; a selector compares `comparators` scores a cycle, row
after row, and passes over rows that may keep nothing. Its read port rests on its first word until the tile is handed
over, so that comparing starts at once; the tile is done when the last mask word is in its register.
"""

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for


class ThresholdSelector(Component):
    """Compares the scores of its rows, one word a cycle; `num_words` holds how many words each row has."""

    def __init__(self, num_rows: int, max_words: int, comparators: int, score_bits: int) -> None:
        self.num_rows = num_rows
        row, word = bits_for(num_rows - 1), bits_for(max_words)
        self.result = StructLayout({"valid": 1, "row": row, "word": word, "bits": comparators})
        super().__init__(
            {
                "start": In(1),
                "num_words": In(ArrayLayout(word, num_rows)),
                "threshold": In(signed(score_bits)),
                "read_row": Out(row),
                "read_word": Out(word),
                "scores": In(ArrayLayout(signed(score_bits), comparators)),  # read in the cycle before
                "mask": Out(self.result),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        todo, next_todo = Signal(self.num_rows), Signal(self.num_rows)
        row, word, next_word = Signal.like(self.read_row), Signal.like(self.read_word), Signal.like(self.read_word)
        active, row_ends = (self.start | self.busy) & todo.any(), word + 1 == self.num_words[row]
        m.d.comb += [next_todo.eq(todo), row.eq(_lowest(todo)), self.read_row.eq(_lowest(next_todo))]
        m.d.comb += self.read_word.eq(next_word)
        with m.If(active):
            m.d.comb += next_word.eq(Mux(row_ends, 0, word + 1))
            with m.If(row_ends):
                m.d.comb += next_todo.eq(todo & (todo - 1))
        with m.Elif(~self.busy):
            m.d.comb += next_todo.eq(Cat(count != 0 for count in self.num_words))
        m.d.sync += [
            todo.eq(next_todo),
            word.eq(next_word),
            self.busy.eq(active & next_todo.any()),
            self.mask.valid.eq(active),
            self.mask.row.eq(row),
            self.mask.word.eq(word),
            self.mask.bits.eq(Cat(score > self.threshold for score in self.scores)),
        ]
        return m


class ThresholdMaskGenerator(Component):
    """Selectors side by side, each with its bank of the tile's scores; `busy` until the slowest is done."""

    def __init__(
        self, num_selectors: int, rows_per_selector: int, max_words: int, comparators: int, score_bits: int
    ) -> None:
        self.selectors = [
            ThresholdSelector(rows_per_selector, max_words, comparators, score_bits) for _ in range(num_selectors)
        ]
        shape = ArrayLayout(signed(score_bits), comparators)
        self.words_per_row = 1 << bits_for(max_words)
        depth = rows_per_selector * self.words_per_row
        self.banks = [Memory(shape=shape, depth=depth, init=[]) for _ in range(num_selectors)]
        super().__init__(
            {
                "score_write": In(num_selectors),
                "score_address": In(range(depth)),
                "score_word": In(shape),
                "start": In(1),
                "threshold": In(signed(score_bits)),
                "num_words": In(ArrayLayout(ArrayLayout(bits_for(max_words), rows_per_selector), num_selectors)),
                "masks": Out(ArrayLayout(self.selectors[0].result, num_selectors)),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for at, (selector, bank) in enumerate(zip(self.selectors, self.banks, strict=True)):
            m.submodules[f"selector_{at}"], m.submodules[f"bank_{at}"] = selector, bank
            write, port = bank.write_port(), bank.read_port()
            m.d.comb += [
                write.en.eq(self.score_write[at]),
                write.addr.eq(self.score_address),
                write.data.eq(self.score_word),
                selector.start.eq(self.start),
                selector.num_words.eq(self.num_words[at]),
                self.masks[at].eq(selector.mask),
                selector.threshold.eq(self.threshold),
                port.addr.eq(Cat(selector.read_word, selector.read_row)),
                selector.scores.eq(port.data),
            ]
        m.d.comb += self.busy.eq(Cat(selector.busy for selector in self.selectors).any())
        return m


def _lowest(bits: Signal) -> object:
    """The number of the lowest bit that is set."""
    lowest = 0
    for at in reversed(range(len(bits))):
        lowest = Mux(bits[at], at, lowest)
    return lowest
