"""One stream of a recording on its way from the backlog into the vault, through errors of the disk; it blocks.

What was written but not yet confirmed by a sync is kept in memory, so that it can be written again. It must not know
when to write, nor what to do about a failure but to try again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from bridge.media.recording.parts import Init
from bridge.recordings.layout import InitNote, encode_note
from bridge.vault import StreamReader, StreamWriter, Trouble, VaultError

# A file that refused so often in a row may belong to a disk that was taken away: the next try gets a new one, and the
# old one is let go, since nobody could repair a disk with files open for writing.
GIVE_UP_AFTER = 2


class Entry(Protocol):
    """One part to be."""

    @property
    def init(self) -> Init | None: ...
    @property
    def body(self) -> bytes: ...
    def note(self, init: int) -> bytes:
        """`init`: the number of the part that holds its initialisation segment."""


E = TypeVar("E", bound=Entry)


class Backlog(Protocol[E]):
    """Where entries wait, and where those go back to that could not be written."""

    @property
    def empty(self) -> bool: ...
    def take(self) -> E | None: ...
    def give_back(self, entries: list[E]) -> None: ...
    def written(self, entries: list[E]) -> None: ...


class Shelf(Protocol):
    """The object that the stream belongs to."""

    def may_begin(self) -> bool:
        """Whether a new file can be made in this round; else it is made in a later one."""

    def new_stream(self) -> StreamWriter:
        """Raises VaultError."""

    def read_stream(self, stream: int) -> StreamReader:
        """As the disk has it, whatever memory holds. Raises VaultError."""


@dataclass(frozen=True, slots=True)
class _Suspect(Generic[E]):
    """What a file that failed may hold although it was not confirmed, by the numbers of its parts.

    It waits in the backlog, which may give it up: it must not be kept here then.
    """

    stream: int
    confirmed_parts: int
    entries: WeakKeyDictionary[E, int]


class StoredStream(Generic[E]):
    """`head` is the note of part 0, if the stream has one of its own. The file is made when there is something for it.

    Methods raise VaultError, and can be called again then.
    """

    def __init__(self, shelf: Shelf, backlog: Backlog[E], head: bytes = b"") -> None:
        self._shelf = shelf
        self._backlog = backlog
        self._head = head
        self._writer: StreamWriter | None = None
        self._began = False
        self._init: tuple[Init | None, int] = (None, 0)
        """The newest initialisation segment, and the number of its part."""
        self._confirmed: tuple[bool, tuple[Init | None, int]] = (False, (None, 0))
        """`_began` and `_init` as of the last sync."""
        self._unsure: dict[E, int] = {}
        """Appended since the last sync, with their numbers."""
        self._suspect: _Suspect[E] | None = None
        self._there: WeakSet[E] = WeakSet()
        """What a file that was left holds indeed."""
        self._failures = 0

    @property
    def idle(self) -> bool:
        """Whether all that came is safe."""
        return self._backlog.empty and not self._unsure

    def append(self) -> None:
        """Writes all that waits, to be confirmed by `sync`."""
        if self._backlog.empty or (self._writer is None and not self._shelf.may_begin()):
            return
        with self._counting_failures():
            writer = self._writer or self._begin()
            while (entry := self._backlog.take()) is not None:
                if entry in self._there:
                    self._there.discard(entry)
                    self._backlog.written([entry])
                    continue
                try:
                    self._unsure[entry] = self._put(writer, entry)
                except BaseException:
                    self._backlog.give_back([entry])
                    raise
                # The file was cut to what is confirmed before it took this.
                self._suspect = None

    def sync(self) -> None:
        """Makes what was appended durable."""
        if self._writer is None or not self._unsure:
            return
        with self._counting_failures():
            try:
                self._writer.sync()
            except BaseException:
                self._began, self._init = self._confirmed
                self._take_back(self._writer)
                raise
        self._confirmed = (self._began, self._init)
        confirmed, self._unsure = self._unsure, {}
        self._backlog.written(list(confirmed))
        self._failures = 0

    def end(self) -> None:
        """Closes the stream for good, all of it being confirmed."""
        if self._writer is not None:
            with self._counting_failures():
                self._writer.end()
            self._writer = None

    def close(self) -> None:
        """Lets the file go as it is."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _begin(self) -> StreamWriter:
        writer = self._writer = self._shelf.new_stream()
        self._began, self._init = self._confirmed = (False, (None, 0))
        if self._suspect is not None:
            self._there = self._found_of(self._suspect)
            self._suspect = None
        return writer

    def _put(self, writer: StreamWriter, entry: E) -> int:
        if self._head and not self._began:
            writer.append(b"", self._head, durable=False)
        self._began = True
        init = entry.init
        if init is not None and init != self._init[0]:
            configuration = init.configuration
            note = InitNote(
                media_type=init.media_type,
                codec=configuration.codec,
                width=configuration.width,
                height=configuration.height,
            )
            self._init = (init, writer.append(init.data, encode_note(note), durable=False))
        return writer.append(entry.body, entry.note(self._init[1]), durable=False)

    def _found_of(self, suspect: _Suspect[E]) -> WeakSet[E]:
        """Which of them the file holds whole, with all that comes before them: what they refer to may be lost, and the
        disk may have got a header and nothing of its part."""
        whole = set()
        with contextlib.suppress(VaultError), self._shelf.read_stream(suspect.stream) as reader:
            for part, _ in reader.iterate(suspect.confirmed_parts):
                whole.add(part.number)
        return WeakSet([entry for entry, number in suspect.entries.items() if number in whole])

    def _take_back(self, writer: StreamWriter) -> None:
        """What was not confirmed waits again."""
        if self._unsure:
            self._suspect = _Suspect(writer.stream, writer.durable_parts, WeakKeyDictionary(self._unsure))
            self._backlog.give_back(list(self._unsure))
            self._unsure = {}

    @contextlib.contextmanager
    def _counting_failures(self) -> Iterator[None]:
        try:
            yield
        except VaultError as error:
            if error.trouble is not Trouble.DISK_FULL:
                self._failures += 1
            if self._failures >= GIVE_UP_AFTER:
                self._leave()
            raise

    def _leave(self) -> None:
        """Lets a file go that takes no more; the stream goes on in another."""
        self._failures = 0
        writer, self._writer = self._writer, None
        if writer is None:
            return
        self._take_back(writer)
        if writer.durable_parts:
            writer.close()
            return
        with contextlib.suppress(VaultError):
            writer.discard()
