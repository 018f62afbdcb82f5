"""The reader of DRAM requests, plain and gzipped, beside one of a few lines that nobody would call fast."""

import gzip
from pathlib import Path

from dsasim.trace.requests import BYTE_ORDER_MARK, HEADER, read_requests
from fuzz.attack import Reader

TEXTS = (
    b"op,addr,not_before\nR,0,0\nW,128,7\n\nR,64,3\nR,999999999999999936,1000000000000\n",
    b"\xef\xbb\xbfR, 64, 0\r\nw,128,5\r\n",
    b"R,0,0\n" * 40,
)


def request_readers() -> tuple[Reader, ...]:
    """Plain; gzipped, which a checksum covers; gzipped after it was broken."""
    zipped = tuple(gzip.compress(text, mtime=0) for text in TEXTS)
    return (
        Reader("requests", "t.csv", TEXTS, _same_requests, text=True),
        Reader("gzipped", "t.csv.gz", zipped, _same_requests, text=False),
        Reader(
            "requests gzipped", "t.csv.gz", TEXTS, _same_requests, text=True, spread=lambda part: gzip.compress(part, 1)
        ),
    )


def _same_requests(path: Path, _seed: bytes) -> None:
    found = []
    for part in read_requests(path, 64):
        found += zip(part.writes.tolist(), (part.bursts * 64).tolist(), part.not_before.tolist(), strict=True)
    data = path.read_bytes()
    assert found == _slow(gzip.decompress(data) if path.suffix == ".gz" else data)


def _slow(data: bytes) -> list[tuple[int, int, int]]:
    lines = [line.strip(b" \t\r") for line in data.removeprefix(BYTE_ORDER_MARK).split(b"\n")]
    lines = [line for line in lines if line]
    if lines and lines[0].replace(b" ", b"").lower() == HEADER:
        lines = lines[1:]
    fields = [[field.strip() for field in line.split(b",")] for line in lines]
    return [({b"R": 0, b"W": 1}[op.upper()], int(address), int(time)) for op, address, time in fields]
