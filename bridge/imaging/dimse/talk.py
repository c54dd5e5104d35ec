"""What the DICOM process and the server say to each other: the messages, and the lines that carry them.

One line is there from the start and carries a new line for each association. On that the process asks and the server
answers, one question after the other. A message may bring a file in memory along. Knows neither DICOM nor the archive.
"""

from __future__ import annotations

import contextlib
import os
import socket
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from bridge.imaging.errors import DicomError
from bridge.imaging.scratch import Scratch

BODY_BYTES = 48 * 1024
"""Of a message inside a packet; the kernel holds a few of them. What is longer comes in memory of its own."""
LARGE_BYTES = 64 * 1024 * 1024
ROWS_AT_ONCE = 200
UNREACHABLE, REFUSED, BUSY, BROKEN = 1, 2, 3, 4
"""How an errand ends that failed as a whole."""
_INLINE, _LARGE = b"i", b"l"


class _Message(Struct, frozen=True, tag=True, array_like=True):
    pass


class Setup(_Message, frozen=True):
    """The first message to the process; brings the listening socket."""

    title: str
    associations: int
    tls_cert: str = ""
    tls_key: str = ""
    tls_ca: str = ""


class Association(_Message, frozen=True):
    """There is a new association; brings the line for it."""


class Ready(_Message, frozen=True):
    """The process takes associations now."""


class Hello(_Message, frozen=True):
    """Somebody wants an association."""

    calling: str
    called: str
    address: str


class Welcome(_Message, frozen=True):
    """`reason` is empty, or why not: `calling`, `called`, `busy`."""

    reason: str = ""


class Keep(_Message, frozen=True):
    """Keep this object; brings the Part 10 file."""

    sop_class: str
    sop_instance: str


class Find(_Message, frozen=True):
    """`keys` are the identifier's by tag, as `0020000D`: values with `\\` between them, "" for what is only asked for.
    `level` is as in the identifier, `patients` the patient root."""

    patients: bool
    level: str
    keys: dict[str, str]


class Locate(_Message, frozen=True):
    """Which objects are to be sent. `destination` is an AE title; "" for who asks."""

    patients: bool
    level: str
    keys: dict[str, str]
    destination: str = ""


class Fetch(_Message, frozen=True):
    """One object that was located; in this transfer syntax, or as it is kept."""

    study: str
    sop_instance: str
    transfer_syntax: str = ""


class Done(_Message, frozen=True):
    """Answers Keep, Fetch (with the file, if all is well), and ends what Find and Locate answer."""

    status: int = 0
    comment: str = ""


class Rows(_Message, frozen=True):
    """Some matches of a Find: values by tag."""

    rows: list[dict[str, str]]


class Place(Struct, frozen=True, array_like=True):
    """An object of the archive."""

    study: str
    sop_instance: str
    sop_class: str
    transfer_syntax: str


class Places(_Message, frozen=True):
    """All that Locate found, and where it goes."""

    places: list[Place]
    host: str = ""
    port: int = 0


class Errand(_Message, frozen=True):
    """To a process that goes out, after its Setup: what is to be sent where. With a `transaction` UID, the other side
    is asked to say that it keeps it, if it can."""

    title: str
    found: Places
    transaction: str = ""
    before: list[tuple[str, str]] = []
    """Class and instance of what the other side was sent earlier, to be asked about too."""


class Sent(_Message, frozen=True):
    """One object of an errand was answered with this status; -1 if it could not be sent."""

    sop_instance: str
    status: int


class Judgement(_Message, frozen=True):
    """Which objects are kept for good (PS3.4 J.3.3): class and instance; with a reason of those that are not."""

    transaction: str
    committed: list[tuple[str, str]]
    failed: list[tuple[str, str, int]] = []


class Commit(_Message, frozen=True):
    """Somebody asks whether these are kept for good: class and instance. Answered by a Judgement for this association,
    or Done if it is told elsewhere."""

    transaction: str
    objects: list[tuple[str, str]]


class Notify(_Message, frozen=True):
    """To a process that goes out, instead of an errand: this is to be told there."""

    title: str
    host: str
    port: int
    judgement: Judgement


Message = (
    Setup
    | Association
    | Ready
    | Hello
    | Welcome
    | Keep
    | Find
    | Locate
    | Fetch
    | Done
    | Rows
    | Places
    | Errand
    | Sent
    | Judgement
    | Commit
    | Notify
)
_Said = TypeVar("_Said", bound=_Message)
_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Message] = msgspec.msgpack.Decoder(Message)


class LineClosed(Exception):
    """The other side is gone, or does not make sense."""


class Line:
    """One end. For one thread at a time."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    @staticmethod
    def pair() -> tuple[socket.socket, socket.socket]:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def send(self, message: Message, file: int | None = None) -> None:
        """Raises LineClosed. The descriptor stays the caller's."""
        body = _encoder.encode(message)
        try:
            if len(body) <= BODY_BYTES:
                socket.send_fds(self._end, [_INLINE + body], [file] if file is not None else [])
                return
            if file is not None or len(body) > LARGE_BYTES:
                raise ValueError("too long to be said")
            with Scratch.of(body) as large:
                socket.send_fds(self._end, [_LARGE], [large.seal()])
        except OSError:
            raise LineClosed from None

    def receive(self) -> tuple[Message, int | None]:
        """The next message, with the descriptor that it brought, which is the caller's then. Raises LineClosed."""
        try:
            packet, files, _, _ = socket.recv_fds(self._end, BODY_BYTES + 16, 1)
        except OSError:
            raise LineClosed from None
        try:
            return self._read(packet, files)
        except (msgspec.DecodeError, UnicodeError, DicomError):
            for file in files:
                with contextlib.suppress(OSError):
                    os.close(file)
            raise LineClosed from None

    def ask(self, message: Message, answer: type[_Said], file: int | None = None) -> _Said:
        """Raises LineClosed, also if the answer is of another sort."""
        self.send(message, file)
        said, brought = self.receive()
        if brought is not None:
            os.close(brought)
        return expected(said, answer)

    def wake(self) -> None:
        """Ends it for whoever waits on it; from any thread."""
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """For the thread that uses it."""
        self.wake()
        self._end.close()

    def _read(self, packet: bytes, files: list[int]) -> tuple[Message, int | None]:
        if not packet:
            raise LineClosed
        if packet[:1] == _INLINE:
            return _decoder.decode(memoryview(packet)[1:]), files[0] if files else None
        if not files:
            raise LineClosed
        with Scratch.received(files.pop(), LARGE_BYTES) as large:
            return _decoder.decode(large.view()), None


def expected(said: Any, sort: type[_Said]) -> _Said:
    """Raises LineClosed if it is something else."""
    if not isinstance(said, sort):
        raise LineClosed
    return said
