"""What a stream takes for safe after its disk failed, and what it keeps in memory meanwhile."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.ids import RecordingId, new_id
from bridge.media.recorder.backlog import EventsBacklog, EventsEntry
from bridge.media.recorder.streams import GIVE_UP_AFTER, StoredStream
from bridge.recordings import layout
from bridge.vault import ObjectWriter, StreamReader, StreamWriter, Vault, VaultError

Dropped = Callable[[int], None]
"""What the disk makes of the file with this descriptor when memory forgets it."""


class Shelf:
    """One object of a vault."""

    def __init__(self, folder: Path) -> None:
        self._vault = Vault(folder)
        self.ref = layout.ref_of(RecordingId(new_id()))
        self._object: ObjectWriter = self._vault.create(self.ref.kind, self.ref.id)

    def may_begin(self) -> bool:
        return True

    def new_stream(self) -> StreamWriter:
        return self._object.new_stream()

    def read_stream(self, stream: int) -> StreamReader:
        return self._vault.open(self.ref).stream(stream, from_disk=True)

    def told(self) -> list[list[int]]:
        """The times of the events in each stream, as far as they can be read."""
        opened = self._vault.open(self.ref)
        found: list[list[int]] = []
        for number in opened.streams():
            found.append([])
            with opened.stream(number) as reader, contextlib.suppress(VaultError):
                for _, body in reader.iterate():
                    found[-1] += [event["atMs"] for event in layout.decode_events(body)]
        return found


def event(at_ms: int) -> layout.Event:
    return layout.StageChanged(at_ms=at_ms, stage=("heart",))


def write(stream: StoredStream[EventsEntry]) -> None:
    stream.append()
    stream.sync()


def fail_until_given_up(stream: StoredStream[EventsEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk takes writes, confirms nothing, and cannot even shorten a file."""

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as failing:
        failing.setattr(os, "fdatasync", fail)
        failing.setattr(os, "ftruncate", fail)
        for _ in range(GIVE_UP_AFTER):
            with pytest.raises(VaultError):
                write(stream)


def lost(descriptor: int) -> None:
    """The last byte of the last part never came there."""
    path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("dropped", "found"),
    [(lambda _: None, [[1, 2], [3]]), (lost, [[1], [2, 3]])],
    ids=["all came there", "a part did not"],
)
def test_only_what_the_disk_has_counts_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dropped: Dropped, found: list[list[int]]
) -> None:
    shelf, backlog = Shelf(tmp_path), EventsBacklog()
    stream = StoredStream(shelf, backlog)
    backlog.put(event(1))
    write(stream)
    backlog.put(event(2))
    fail_until_given_up(stream, monkeypatch)
    real = os.posix_fadvise

    def forget(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert advice == os.POSIX_FADV_DONTNEED
        real(descriptor, offset, length, advice)
        dropped(descriptor)

    monkeypatch.setattr(os, "posix_fadvise", forget)
    backlog.put(event(3))
    write(stream)
    assert stream.idle
    assert shelf.told() == found


def test_what_memory_gives_up_is_not_kept_because_a_file_may_hold_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backlog = EventsBacklog()
    stream = StoredStream(Shelf(tmp_path), backlog)
    backlog.put(event(1))
    fail_until_given_up(stream, monkeypatch)
    taken = backlog.take()
    assert taken is not None
    known = weakref.ref(taken)
    del taken
    gc.collect()
    assert known() is None
