"""A file or a pipe that a user named, read once from front to end, for readers that never hold it whole."""

import io
import os
from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from dsasim.inputs.source import Source

WAIT_SECONDS = 60
"""How long a pipe may bring nothing; whoever feeds it may take as long over all of it as they like."""


def open_stream(source: "Source") -> BinaryIO:
    """The file opened, or the pipe (a FIFO, /dev/stdin, `<(command)`), of which `max_bytes` are read and no more.

    Raises the source's error here for what is neither, and in a read when a pipe brings nothing for WAIT_SECONDS or too
    much. Any other OSError of a read is the caller's to name.
    """
    if not _is_pipe(source):
        return source.open()
    try:
        # without waiting for a writer: reads do that, and not for ever
        number = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        source.refuse(f"cannot be read: {(error.strerror or str(error)).lower()}")
    return cast("BinaryIO", io.BufferedReader(_Pipe(source, number)))


def _is_pipe(source: "Source") -> bool:
    try:
        return source.path.is_fifo()
    except OSError:  # `Source.open` says why
        return False


class _Pipe(io.RawIOBase):
    """The reading end of a pipe, opened so that reads do not wait."""

    def __init__(self, source: "Source", number: int) -> None:
        super().__init__()
        self._source, self._number, self._bytes = source, number, 0

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The operating system's number of it."""
        return self._number

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if not self.closed:
            os.close(self._number)
        super().close()

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        """Wait for bytes and read some; 0 once every writer is gone."""
        view = memoryview(buffer).cast("B")
        while True:
            self._wait()
            try:
                count = os.readv(self._number, [view])
            except BlockingIOError:  # woken for nothing, or someone else took it
                continue
            self._bytes += count
            if self._bytes > self._source.max_bytes:
                self._source.refuse(f"more than {self._source.max_bytes:,} bytes: not {self._source.what}")
            return count

    def _wait(self) -> None:
        """Until there are bytes or the last writer left; a pipe that nobody has opened yet counts as having neither."""
        import select

        poll = select.poll()
        poll.register(self._number, select.POLLIN)
        if not poll.poll(1000 * WAIT_SECONDS):
            self._source.refuse(f"nothing came through this pipe for {WAIT_SECONDS} s")
