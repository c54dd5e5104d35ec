"""How a recording began, as it says itself, without reading the rest of it."""

from __future__ import annotations

from bridge.ids import RecordingId
from bridge.recordings.layout import (
    EventsNote,
    RecordingStarted,
    UnreadableRecording,
    decode_events,
    decode_note,
    event_of,
    ref_of,
)
from bridge.vault import DISK_TROUBLES, StreamReader, Vault, VaultError


def read_started(vault: Vault, recording: RecordingId) -> RecordingStarted:
    """It stands at the beginning of the first stream, unless that is lost; later ones are looked at only then.

    Blocks. Raises UnreadableRecording if it is nowhere, VaultError, ConfigError.
    """
    stored = vault.open(ref_of(recording))
    for number in stored.streams():
        try:
            with stored.stream(number) as reader:
                started = _started_in(reader)
        except (UnreadableRecording, VaultError) as error:
            if isinstance(error, VaultError) and error.trouble in DISK_TROUBLES:
                raise
            continue
        if started is not None:
            return started
    raise UnreadableRecording("The beginning of the recording cannot be read.")


def _started_in(reader: StreamReader) -> RecordingStarted | None:
    for part in reader.parts:
        if not isinstance(decode_note(part.note), EventsNote):
            return None
        for event in decode_events(reader.read(part.number)):
            known = event_of(event)
            if isinstance(known, RecordingStarted):
                return known
    return None
