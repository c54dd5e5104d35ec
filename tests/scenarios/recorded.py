"""What lies in the recordings of a server, read as anybody would who has its keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bridge.errors import BridgeError
from bridge.recordings.index import RecordingReader
from bridge.recordings.layout import AnyEvent, event_of
from bridge.vault import ObjectKind, Vault
from tests.serving import Server

PATIENCE_S = 20.0


@contextmanager
def recordings(server: Server) -> Iterator[list[RecordingReader]]:
    """All recordings on the disk, the oldest first."""
    vault = Vault(server.data_dir)
    readers = [RecordingReader(vault.open(ref)) for ref in vault.objects(ObjectKind.RECORDING)]
    try:
        yield sorted(readers, key=lambda reader: reader.started.started_at)
    finally:
        for reader in readers:
            reader.close()


async def until_recorded(server: Server, true: Callable[[list[RecordingReader]], bool]) -> None:
    """Waits until the recordings on the disk are so; one that is being born may not be readable yet."""
    deadline_s = time.monotonic() + PATIENCE_S
    seen: object = None
    while time.monotonic() < deadline_s:
        try:
            with recordings(server) as found:
                if true(found):
                    return
                seen = [(reader.sealed, [type(e).__name__ for e in events(reader)]) for reader in found]
        except BridgeError as error:
            seen = error
        await asyncio.sleep(0.1)
    raise AssertionError(f"it did not become so: {seen}")


def events(reader: RecordingReader) -> list[AnyEvent]:
    return [known for event in reader.events() if (known := event_of(event)) is not None]


def windows_ms(reader: RecordingReader, participant: str, source: str) -> list[tuple[float, float]]:
    """From when to when the parts of somebody's track are."""
    return [
        (entry.note.start_us / 1000, (entry.note.start_us + entry.note.duration_us) / 1000)
        for track in reader.tracks
        if (track.about.participant, track.about.source) == (participant, source)
        for entry in track.parts
    ]
