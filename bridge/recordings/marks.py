"""Marks of a recording: which stand, and how one is added to or taken from a recording that is over.

Nothing is rewritten: a mark is an event, and so is its removal. A recording that is over gets a further events stream.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from bridge.errors import ProtocolError
from bridge.recordings.layout import Event, EventsNote, encode_events, encode_note
from bridge.vault import ObjectRef, ObjectWriter, Vault, VaultError

MARK_LIMIT = 1000
"""Marks of one recording, those that were removed included."""
TEXT_LIMIT = 200


def standing(events: Iterable[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The marks that were not removed, by their ids; `events` as they were written."""
    marks: dict[str, dict[str, Any]] = {}
    for event in events:
        match event:
            case {"type": "markAdded", "mark": str(mark)}:
                marks[mark] = event
            case {"type": "markRemoved", "mark": str(mark)}:
                marks.pop(mark, None)
    return marks


def clean_text(text: str, limit: int = TEXT_LIMIT) -> str:
    """One line that can be shown. Raises ProtocolError."""
    cleaned = " ".join(text.split())
    if not cleaned.isprintable():
        raise ProtocolError("The text holds characters that cannot be shown.")
    if len(cleaned) > limit:
        raise ProtocolError(f"The text has at most {limit} characters.", "tooLarge")
    return cleaned


def append_events(vault: Vault, ref: ObjectRef, events: Sequence[Event]) -> None:
    """Adds events to a recording that is over, durably. Raises VaultError, ConfigError; then nothing was added."""
    writer = vault.reopen(ref)
    stream = write_events(writer, encode_events(list(events)), [event.at_ms or 0 for event in events])
    try:
        writer.seal_more([stream])
    except VaultError:
        # Without its place in the list it would look like something that was slipped in.
        with suppress(VaultError):
            writer.discard(stream)
        raise


def write_events(writer: ObjectWriter, body: bytes, times_ms: Sequence[int]) -> int:
    """A whole stream of these events; gives its number. Raises VaultError; then there is no such stream."""
    note = encode_note(EventsNote(from_ms=min(times_ms), until_ms=max(times_ms), count=len(times_ms)))
    with writer.new_stream() as stream:
        try:
            stream.append(body, note, durable=False)
            stream.end()
        except VaultError:
            with suppress(VaultError):
                stream.discard()
            raise
        return stream.stream
