"""Large objects while they come in piece by piece, over hours if need be: sealed on the disk, with keys in memory only.

Their files have no name, so a server that dies leaves nothing behind, and nobody can open what is left in free blocks.
Who may send, and what becomes of what is whole, is decided elsewhere. Pieces follow the ideas of tus.io.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bridge.errors import BridgeError, Conflict, LimitExceeded, NotFound, ProtocolError
from bridge.ids import new_id
from bridge.imaging.layout import INSTANCE_LIMIT_BYTES

PIECE_LEAST_BYTES = 16 * 1024
"""Of all but the last: a gigabyte in single bytes would be a list without end."""
PIECE_MOST_BYTES = 4 * 1024 * 1024
UNFINISHED_LIMIT = 64
OF_ONE_SENDER = 6
BUSY_S = 60.0
"""One that got a piece within this time is not given up for another one of its sender."""
FORGOTTEN_S = 6 * 3600.0
EMPTY_S = 300.0
"""So long one is kept of which nothing came: longer than a piece may take."""
RESERVED_S = 600.0
"""So long after its last piece the disk's room is kept free for the rest; who comes back later may find none."""
RESERVED_LIMIT_BYTES = 4 * INSTANCE_LIMIT_BYTES
"""What the disk keeps free for one sender: two objects of the largest sort."""
ENDED_S = 600.0
"""So long the answer for a whole object can be asked for again: it may have been lost on the way."""
KEY_BITS = 256
_NONCE_BYTES = 12


class Unfinished:
    """One object. `append` and `read` block, for one thread at a time; so may `close`, which frees much at once."""

    def __init__(self, folder: Path, who: str, key: str, size_bytes: int) -> None:
        self.id = new_id()
        self.who = who
        self.key = key
        self.size_bytes = size_bytes
        self.received_bytes = 0
        self.used_s = 0.0
        self._folder = folder
        self._sealer = AESGCM(AESGCM.generate_key(KEY_BITS))
        self._count = 0
        # Number, place and length of each piece in the file.
        self._pieces: list[tuple[int, int, int]] = []
        self._file: IO[bytes] | None = None
        self._is_closed = False
        self._working = threading.Lock()

    @property
    def is_whole(self) -> bool:
        return self.received_bytes == self.size_bytes

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def check(self, offset: int, size_bytes: int) -> None:
        """Raises Conflict where another piece is due, ProtocolError for what cannot be a piece, NotFound once it is
        closed."""
        if self._is_closed:
            raise over()
        if offset != self.received_bytes:
            raise Conflict("Another piece of this object is due.")
        left_bytes = self.size_bytes - offset
        if size_bytes > left_bytes:
            raise ProtocolError("The piece is longer than what is missing of the object.")
        if size_bytes < min(PIECE_LEAST_BYTES, left_bytes):
            raise ProtocolError(f"A piece has at least {PIECE_LEAST_BYTES} bytes, unless it is the last one.")

    def append(self, offset: int, content: bytes) -> None:
        """The next piece, or nothing at all of it. Raises what `check` raises, and BridgeError (`storageFailed`)."""
        with self._at_work():
            self.check(offset, len(content))
            # Never used twice, also not after a piece that found no room.
            self._count += 1
            sealed = self._sealer.encrypt(_nonce(self._count), content, self.id.encode())
            place = sum(self._pieces[-1][1:]) if self._pieces else 0
            try:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115  # lives with this
                _write_all(self._file.fileno(), sealed, place)
            except OSError:
                if self._file is not None:
                    self._file.truncate(place)
                raise disk_failed() from None
            self._pieces.append((self._count, place, len(sealed)))
            self.received_bytes += len(content)

    def read(self) -> Iterator[bytes]:
        """All of it, piece by piece. Raises NotFound, and BridgeError (`storageFailed`) if the disk lost it."""
        with self._at_work():
            for number, place, size_bytes in self._pieces:
                if self._is_closed or self._file is None:
                    raise over()
                try:
                    sealed = os.pread(self._file.fileno(), size_bytes, place)
                    content = self._sealer.decrypt(_nonce(number), sealed, self.id.encode())
                except (OSError, InvalidTag):
                    raise disk_failed() from None
                yield content

    def give_up(self) -> None:
        """Nothing more is done with it. Never blocks; a thread that works on it closes it when it is through."""
        self._is_closed = True

    def close(self) -> None:
        """It is gone for ever, at the latest when a thread that works on it is through; may be repeated."""
        self.give_up()
        self._close_if_idle()

    @contextmanager
    def _at_work(self) -> Iterator[None]:
        try:
            with self._working:
                if self._is_closed:
                    raise over()
                yield
        finally:
            if self._is_closed:
                self._close_if_idle()

    def _close_if_idle(self) -> None:
        # The number of a file that is closed under a thread may be another file's at once.
        if not self._working.acquire(blocking=False):
            return
        try:
            self._pieces.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
        finally:
            self._working.release()


class UnfinishedObjects:
    """All of them, within bounds. For one thread; only `close` and `Unfinished` itself block."""

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._now_s = now_s
        self._known: dict[str, Unfinished] = {}
        self._gone: list[Unfinished] = []

    def begin(self, who: str, key: str, size_bytes: int, free_bytes: int) -> tuple[Unfinished, bool]:
        """The one that this sender began with the same key and size, or a new one (True). `free_bytes`: of the disk.

        Raises LimitExceeded (`tooMany`, `tooLarge`), BridgeError (`storageFailed`) if the disk has no room for it.
        """
        if size_bytes > INSTANCE_LIMIT_BYTES:
            raise LimitExceeded("The object is too large to be kept.", "tooLarge")
        own = [each for each in self._known.values() if each.who == who]
        for each in own:
            if (each.key, each.size_bytes) == (key, size_bytes):
                self.use(each)
                return each, False
        self._make_room(own, OF_ONE_SENDER)
        self._make_room(list(self._known.values()), UNFINISHED_LIMIT)
        self._check_room(who, size_bytes, free_bytes)
        unfinished = Unfinished(self._folder, who, key, size_bytes)
        self._known[unfinished.id] = unfinished
        self.use(unfinished)
        return unfinished, True

    def find(self, who: str, id: str) -> Unfinished:
        """Raises NotFound, also for another's."""
        found = self._known.get(id)
        if found is None or found.who != who:
            raise NotFound("There is no such upload.")
        return found

    def ids(self) -> set[str]:
        return set(self._known)

    def use(self, unfinished: Unfinished) -> None:
        """It is not forgotten for a while."""
        unfinished.used_s = self._now_s()

    def end(self, unfinished: Unfinished) -> None:
        """Of its content nothing is needed any more."""
        unfinished.give_up()
        self._gone.append(unfinished)

    def forget(self, unfinished: Unfinished) -> None:
        self._known.pop(unfinished.id, None)
        self.end(unfinished)

    def gone(self) -> list[Unfinished]:
        """Those that are still to be closed, by a thread that may block. Each is given once."""
        gone, self._gone = self._gone, []
        return gone

    def let_old_go(self) -> None:
        """To be called now and then."""
        for each in list(self._known.values()):
            if self._now_s() - each.used_s >= _kept_s(each):
                self.forget(each)

    def close(self) -> None:
        for each in list(self._known.values()):
            self.forget(each)
        for each in self.gone():
            each.close()

    def _make_room(self, among: list[Unfinished], limit: int) -> None:
        """What was left lying the longest goes. Raises LimitExceeded if all of them are being worked on."""
        if len(among) < limit:
            return
        oldest = min(among, key=lambda each: (not each.is_closed, each.used_s))
        if not oldest.is_closed and self._now_s() - oldest.used_s < BUSY_S:
            raise LimitExceeded("Too many large objects are arriving just now; try again in a moment.")
        self.forget(oldest)

    def _check_room(self, who: str, size_bytes: int, free_bytes: int) -> None:
        """Every object lies there twice for a moment when it is whole; nothing begins that could not end.

        Raises LimitExceeded for a sender that keeps others away, BridgeError.
        """
        reserved = Counter[str]()
        for each in self._known.values():
            if not each.is_closed and self._now_s() - each.used_s < RESERVED_S:
                reserved[each.who] += 2 * each.size_bytes - each.received_bytes
        if reserved[who] + 2 * size_bytes > RESERVED_LIMIT_BYTES:
            raise LimitExceeded("Too many large objects are arriving just now; try again in a moment.")
        due_bytes = 2 * size_bytes + sum(min(each, RESERVED_LIMIT_BYTES) for each in reserved.values())
        if free_bytes < due_bytes:
            raise disk_failed()


def _kept_s(unfinished: Unfinished) -> float:
    """How long it is kept after it was last used."""
    if unfinished.is_closed:
        return ENDED_S
    return FORGOTTEN_S if unfinished.received_bytes else EMPTY_S


def _nonce(number: int) -> bytes:
    return number.to_bytes(_NONCE_BYTES, "big")


def _write_all(file: int, content: bytes, place: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, place)
        view = view[written:]
        place += written


def over() -> NotFound:
    return NotFound("This upload is over.")


def disk_failed() -> BridgeError:
    return BridgeError("The server has no room for this object just now.", "storageFailed")
