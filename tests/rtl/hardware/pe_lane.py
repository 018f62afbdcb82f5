"""One lane of the PE array computing S = Q K^T on kept positions (rules: `dsasim.kernels.array`).

    step ──► K banks ──► key registers (two sets) ──► T rows of W MACs ──► scores
    cycle    D_s - 1     D_s                          D_s + 1 ...          D_s + 1 + vector_cycles

A step gives each row a key or nothing. All banks are read at once, each a word of port_elements a cycle; a key that
several rows want is read once. Step s lasts until its last read and at least vector_cycles, as long as the rows compute
on the step before: it ends at D_s, when the next one begins, and its scores leave RESULT_LATENCY + vector_cycles later.
SpMM takes the same steps: a row multiplies its weight with W elements of V a cycle and adds them to its output.
"""

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import Component, In, Out
from amaranth.utils import bits_for, exact_log2

RESULT_LATENCY = 1
"""Cycles from a step's end to its first multiplication: the last word is on its way to the key registers."""


class PELane(Component):
    """T = `token_parallelism` rows of W = `macs_per_row` MACs, with the K buffer's banks (`num_banks` a power of 2)."""

    def __init__(
        self,
        token_parallelism: int,
        macs_per_row: int,
        d_head: int,
        num_banks: int,
        port_elements: int,
        max_keys: int,
        bits: int = 8,
    ) -> None:
        self.T, self.W, self.num_banks = token_parallelism, macs_per_row, num_banks
        self.vector_cycles, self.read_cycles = -(-d_head // macs_per_row), -(-d_head // port_elements)
        self.element, self.d_head, self.port_elements = signed(bits), d_head, port_elements
        self.word = word = ArrayLayout(self.element, port_elements)
        depth = -(-max_keys // num_banks) * self.read_cycles
        self.banks = [Memory(shape=word, depth=depth, init=[]) for _ in range(num_banks)]
        key, T = bits_for(max_keys - 1), token_parallelism
        step = StructLayout({"rows": T, "keys": ArrayLayout(key, T), "half": 1})
        score = signed(2 * bits + bits_for(d_head - 1))
        super().__init__(
            {
                "key_write": In(num_banks),
                "key_address": In(range(depth)),
                "key_word": In(word),
                "step_valid": In(1),
                "step": In(step),  # `half`: which of the two sets of queries it is for
                "step_done": Out(1),
                "query_write": In(1),
                "query_half": In(1),
                "queries": In(ArrayLayout(ArrayLayout(self.element, d_head), T)),
                "score_rows": Out(T),  # rows whose score leaves in this cycle
                "scores": Out(ArrayLayout(score, T)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        arrives = self._read_banks(m)
        ended, rows, half, phase = Signal(), Signal(self.T), Signal(), Signal()
        m.d.sync += [ended.eq(self.step_done), rows.eq(self.step.rows), half.eq(self.step.half)]
        with m.If(ended):
            m.d.sync += phase.eq(~phase)
        keys = self._key_registers(m, arrives, phase)
        self._multiply(m, keys, phase, ended, rows, half)
        return m

    def _read_banks(self, m: Module) -> list[tuple[Signal, Signal, Signal]]:
        """Read the step's keys; returns of each bank what arrives in the next cycle: (for which rows, word, data)."""
        fetched, done = Signal(self.T), Signal(self.T)
        elapsed = Signal(range(self.vector_cycles))
        shift = exact_log2(self.num_banks)
        finished, arrives = [], []
        for number, bank in enumerate(self.banks):
            m.submodules[f"bank_{number}"] = bank
            write = bank.write_port()
            m.d.comb += [write.en.eq(self.key_write[number]), write.addr.eq(self.key_address)]
            m.d.comb += write.data.eq(self.key_word)
            port, word = bank.read_port(), Signal(range(self.read_cycles), name=f"word_{number}")
            wanted, key = Signal(self.T, name=f"wanted_{number}"), Signal.like(self.step.keys[0], name=f"key_{number}")
            for row in reversed(range(self.T)):
                here = self.step.rows[row] & ~fetched[row] & (self.step.keys[row][:shift] == number)
                m.d.comb += wanted[row].eq(self.step_valid & here)
                with m.If(wanted[row]):
                    m.d.comb += key.eq(self.step.keys[row])
            served = Signal(self.T, name=f"served_{number}")
            m.d.comb += served.eq(Cat(wanted[row] & (self.step.keys[row] == key) for row in range(self.T)))
            last = word == self.read_cycles - 1
            m.d.comb += [port.en.eq(wanted.any()), port.addr.eq((key >> shift) * self.read_cycles + word)]
            with m.If(wanted.any()):
                m.d.sync += word.eq(Mux(last, 0, word + 1))
            finished.append(Mux(last, served, 0))
            arriving, arriving_word = Signal.like(served), Signal.like(word)
            m.d.sync += [arriving.eq(served), arriving_word.eq(word)]
            arrives.append((arriving, arriving_word, port.data))
        fetching = Const(0, self.T)
        for rows in finished:
            fetching |= rows
        m.d.comb += [
            done.eq(fetched | fetching | ~self.step.rows),
            self.step_done.eq(self.step_valid & done.all() & (elapsed == self.vector_cycles - 1)),
        ]
        m.d.sync += fetched.eq(Mux(self.step_done, 0, fetched | fetching))
        with m.If(self.step_done):
            m.d.sync += elapsed.eq(0)
        with m.Elif(self.step_valid & (elapsed != self.vector_cycles - 1)):
            m.d.sync += elapsed.eq(elapsed + 1)
        return arrives

    def _key_registers(self, m: Module, arrives: list[tuple[Signal, Signal, Signal]], phase: Signal) -> Signal:
        """Two keys a row: one arrives while the rows compute with the other."""
        vector = ArrayLayout(self.word, self.read_cycles)
        keys = Signal(ArrayLayout(ArrayLayout(vector, self.T), 2))
        for rows, word, data in arrives:
            for row in range(self.T):
                with m.If(rows[row]):
                    m.d.sync += keys[phase][row][word].eq(data)
        return keys

    def _multiply(self, m: Module, keys: Signal, phase: Signal, ended: Signal, rows: Signal, half: Signal) -> None:
        """W products a row and cycle, added up; a score leaves after the last."""
        queries = Signal(ArrayLayout(self.queries.shape(), 2))
        active_rows, active_half, chunk = Signal(self.T), Signal(), Signal(range(self.vector_cycles))
        last = chunk == self.vector_cycles - 1
        with m.If(self.query_write):
            m.d.sync += queries[self.query_half].eq(self.queries)
        m.d.sync += chunk.eq(Mux(last | ended, 0, chunk + 1))
        with m.If(ended):
            m.d.sync += [active_rows.eq(rows), active_half.eq(half)]
        with m.Elif(last):
            m.d.sync += active_rows.eq(0)
        m.d.sync += self.score_rows.eq(Mux(last, active_rows, 0))
        for row in range(self.T):
            key, query = self._chunk(keys[~phase][row], chunk), self._chunk(queries[active_half][row], chunk)
            products = [k.as_signed() * q.as_signed() for k, q in zip(key, query, strict=True)]
            total = Signal.like(self.scores[row], name=f"total_{row}")
            m.d.sync += [self.scores[row].eq(total + sum(products)), total.eq(total + sum(products))]
            with m.If(last | ended):
                m.d.sync += total.eq(0)

    def _chunk(self, vector: object, chunk: Signal) -> list:
        """W elements of a vector, zeros behind its end."""
        width = self.element.width
        bits = Cat(vector.as_value()[: self.d_head * width], Const(0, self.W * width))
        return [bits.word_select(chunk, self.W * width)[at * width :][:width] for at in range(self.W)]
