"""Request traces: what is read, in parts wherever they are cut, and what is refused and where."""

import contextlib
import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsasim.errors import TraceError
from dsasim.inputs import stream
from dsasim.kernels import dram_csv as kernel
from dsasim.trace import requests
from dsasim.trace.requests import read_requests


def read(path: Path, access_bytes: int = 64) -> list[tuple[str, int, int]]:
    """(op, address, not before) of all requests."""
    found = []
    for part in read_requests(path, access_bytes):
        ops = np.where(part.writes, "W", "R").tolist()
        addresses = (part.bursts * access_bytes).tolist()
        found += list(zip(ops, addresses, part.not_before.tolist(), strict=True))
    return found


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_reads_plain_and_gzipped(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, "op,addr,not_before\nR,0,0\nW,128,7\r\n\nR,64,3", name)
    assert read(path) == [("R", 0, 0), ("W", 128, 7), ("R", 64, 3)]


def test_a_header_is_not_needed(tmp_path: Path) -> None:
    assert read(written(tmp_path, "R,64,0\n")) == [("R", 64, 0)]


@pytest.mark.parametrize("before", ["\ufeff", "\n", "\r\n\n", "\ufeff\n"])
@pytest.mark.parametrize("header", ["", "op,addr,not_before\n", "Op, Addr, Not_before\r\n"])
def test_a_byte_order_mark_and_empty_lines_may_come_first(tmp_path: Path, before: str, header: str) -> None:
    assert read(written(tmp_path, before + header + "R,64,0\n")) == [("R", 64, 0)]
    with pytest.raises(TraceError, match=rf"t\.csv:{1 + (before + header).count(chr(10))}: op must be"):
        read(written(tmp_path, before + header + "X,64,0\n"))


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", "op,addr,not_before", "op,addr,not_before\n\n"])
def test_a_trace_of_nothing_is_refused(tmp_path: Path, text: str, name: str) -> None:
    with pytest.raises(TraceError, match="no requests; a line is op,addr,not_before"):
        read(written(tmp_path, text, name))


@pytest.mark.parametrize("compress", [bytes, gzip.compress])
def test_a_pipe(tmp_path: Path, compress: Callable[[bytes], bytes]) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    lines = b"R,64,0\n" * 20_000
    writer = Thread(target=lambda: pipe.write_bytes(compress(lines)))
    writer.start()
    assert len(read(pipe)) == 20_000
    writer.join()


def test_a_process_substitution_whose_writer_has_left(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"R,64,0\n")
    os.close(writing)
    assert read(Path(f"/dev/fd/{reading}")) == [("R", 64, 0)]
    os.close(reading)


def test_a_pipe_that_nobody_writes_to_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WAIT_SECONDS", 0.05)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TraceError, match=r"pipe: nothing came through this pipe for 0\.05 s"):
        read(tmp_path / "pipe")


def test_a_pipe_whose_writer_falls_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "WAIT_SECONDS", 0.05)
    reading, writing = os.pipe()
    os.write(writing, b"R,64,0\n" * 100)
    with pytest.raises(TraceError, match="nothing came through this pipe"):
        read(Path(f"/dev/fd/{reading}"))
    os.close(reading)
    os.close(writing)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/null", "/dev/urandom"])
def test_a_device_is_refused(device: str) -> None:
    with pytest.raises(TraceError, match=f"{device}: is a pipe or a device, not a request trace"):
        read(Path(device))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"is a (folder|directory)"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["\0.csv", "n" * 5000, "loop"])
def test_a_name_that_cannot_be_opened(tmp_path: Path, name: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(TraceError, match="cannot be read: "):
        read(tmp_path / name)


def test_a_name_cannot_act_on_a_terminal(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"\\x1b\[31m\.csv: cannot be read") as caught:
        read(tmp_path / "\x1b[31m.csv")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_no_more_text_is_read_than_is_stated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Two million bytes of empty lines pack into two thousand."""
    path = written(tmp_path, "\n" * 2_000_000 + "R,0,0\n", name)
    monkeypatch.setattr(requests, "MAX_BYTES", 1_000_000)
    monkeypatch.setattr(requests, "PART_BYTES", 100_000)
    with pytest.raises(TraceError, match=r"more than 1,000,000(: not| bytes of text: not) a request trace"):
        read(path)


def test_a_packed_trace_takes_no_more_memory_than_a_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PART_BYTES", 1 << 16)
    path = written(tmp_path, "R,64,0\n" * 3_000_000, "t.csv.gz")
    kernel.parse_requests(
        np.frombuffer(b"R,0,0\n", np.uint8), 0, 64, *(np.empty(1, t) for t in (np.int64, np.uint8, np.int64))
    )
    tracemalloc.start()
    count = sum(len(part.bursts) for part in read_requests(path, 64))
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (count, peak_bytes < 3_000_000) == (3_000_000, True)


def test_a_pipe_without_end_is_read_up_to_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gzip member of nothing, again and again: there is never any text to count."""
    monkeypatch.setattr(requests, "MAX_BYTES", 200_000)
    reading, writing = os.pipe()
    nothing = gzip.compress(b"") * 2000

    def write() -> None:
        with contextlib.suppress(BrokenPipeError):
            while True:
                os.write(writing, nothing)

    writer = Thread(target=write)
    writer.start()
    pipe = Path(f"/dev/fd/{reading}")
    with pytest.raises(TraceError, match=r"more than 200,000 bytes: not a request trace"):
        read(pipe)
    os.close(reading)
    writer.join()
    os.close(writing)


REQUESTS = st.lists(st.tuples(st.sampled_from("RW"), st.integers(0, 10**10), st.integers(0, 10**12)), max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40, deadline=None)
@given(wanted=REQUESTS, header=st.booleans(), part_bytes=st.integers(1, 60), room=st.integers(1, 9))
def test_parts_may_be_cut_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: list[tuple], header: bool, part_bytes: int, room: int
) -> None:
    lines = [f"{op},{64 * burst},{time}\n" for op, burst, time in wanted]
    path = written(tmp_path, "op,addr,not_before\n" * header + "".join(lines))
    with monkeypatch.context() as patch:
        patch.setattr(requests, "PART_BYTES", part_bytes)
        patch.setattr(requests, "PART_REQUESTS", room)
        if wanted:
            assert read(path) == [(op, 64 * burst, time) for op, burst, time in wanted]
        else:
            with pytest.raises(TraceError, match="no requests"):
                read(path)


WRONG = {
    "letter": ("X,0,0", "op must be R or W, got 'X,0,0'"),
    "small letter": ("r,0,0", "op must be R or W"),
    "word": ("READ,0,0", "op must be R or W"),
    "unaligned": ("R,65,0", "addr is not a multiple of the burst of 64 bytes, got 'R,65,0'"),
    "hex": ("R,0x40,0", "addr must be a whole number"),
    "negative address": ("R,-64,0", "addr must be a whole number"),
    "no address": ("R,,0", "addr must be a whole number"),
    "late request": ("R,0,1000000000001", "not_before must be a whole number of memory clock cycles, at most 10^12"),
    "huge address": ("R," + "9" * 30 + ",0", "addr must be a whole number of at most 18 digits"),
    "negative time": ("R,64,-1", "not_before must be a whole number"),
    "fraction": ("R,64,1.5", "not_before must be a whole number"),
    "no time": ("R,64", "a line is op,addr,not_before, got 'R,64'"),
    "op alone": ("R", "a line is op,addr,not_before, got 'R'"),
    "no line": ("R;64;0", "op must be R or W"),
    "empty time": ("R,64,", "not_before must be a whole number"),
    "extra": ("R,64,0,7", "a line is op,addr,not_before"),
    "space": ("R, 64,0", "addr must be a whole number"),
    "binary": ("\x00\x01", "op must be R or W"),
}


@pytest.mark.parametrize(("line", "message"), WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("ending", ["", "\n", "\nR,0,0\n"])
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, line: str, message: str, ending: str) -> None:
    path = written(tmp_path, f"op,addr,not_before\nR,0,0\n\n{line}{ending}")
    with pytest.raises(TraceError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:4: ")
    assert message in str(caught.value)


def test_a_line_without_end_is_refused_in_bounded_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PART_BYTES", 1000)
    with pytest.raises(TraceError, match=r"t\.csv:2: a line of more than 4096 characters"):
        read(written(tmp_path, "R,0,0\n" + "R" * 20_000))


@pytest.mark.parametrize("name", ["none.csv", "none.csv.gz"])
def test_a_file_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceError, match=r"none\.csv.*: cannot be read: no such file or directory"):
        read(tmp_path / name)


def test_a_broken_archive(tmp_path: Path) -> None:
    path = written(tmp_path, "R,0,0\n" * 1000, "t.csv.gz")
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(TraceError, match=r"t\.csv\.gz:1: cannot be read from this line"):
        read(path)
    path.write_bytes(b"R,0,0\n")
    with pytest.raises(TraceError, match=r"t\.csv\.gz: cannot be read: not a gzipped file"):
        read(path)
