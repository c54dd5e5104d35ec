"""Cuts a stretch out of a recording into a recording of its own: parts are copied as they are and sealed anew.

A clip keeps the clock of what it was cut from. Each track begins at the nearest keyframe before the stretch, since
nothing could be decoded otherwise. Everything blocks for the disk; one part is in memory at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import msgspec
from msgspec.structs import replace

from bridge.audit import Audit
from bridge.errors import BridgeError, Conflict
from bridge.recordings.index import PartEntry, RecordingReader, TrackIndex
from bridge.recordings.layout import PartNote, RecordingEnded, RecordingStarted, encode_note
from bridge.recordings.marks import standing, write_events
from bridge.vault import DISK_TROUBLES, ObjectKind, ObjectRef, ObjectWriter, StreamWriter, Vault, VaultError

LIMIT_MS = 60 * 60 * 1000
"""Longer ones are what the export is for."""


def cut_clip(
    vault: Vault,
    audit: Audit,
    reader: RecordingReader,
    ref: ObjectRef,
    started: RecordingStarted,
    check: Callable[[], None],
) -> int:
    """Writes the clip that `started` describes as the new object `ref`; gives its size in bytes.

    `check` is called between parts, and what it raises ends the work. Raises VaultError, Conflict, AuditError; after
    an error nothing of the clip is left.
    """
    begin_us = started.begin_ms * 1000
    end_us = (started.end_ms if started.end_ms is not None else reader.end_ms) * 1000
    tracks = [(track, chosen) for track in reader.tracks if (chosen := stretch(track, begin_us, end_us))]
    if not tracks:
        raise Conflict("Nothing was recorded in this stretch.")
    writer = vault.create(ObjectKind.RECORDING, ref.id)
    try:
        told = events_of(reader, started, begin_us // 1000, end_us // 1000)
        write_events(writer, msgspec.json.encode(told), [event["atMs"] for event in told])
        for track, chosen in tracks:
            with writer.new_stream() as stream:
                _copy(track, chosen, stream, check)
                stream.end()
        rows = writer.seal()
    except BaseException:
        _remove(vault, audit, writer)
        raise
    return sum(row.size_bytes for row in rows)


def stretch(track: TrackIndex, begin_us: int, end_us: int) -> list[PartEntry]:
    """The parts that are needed to show this time: those within, and what comes before them from a keyframe on."""
    parts = [entry for entry in track.parts if entry.init is not None]
    notes = [entry.note for entry in parts]
    within = [place for place, note in enumerate(notes) if _overlaps(note, begin_us, end_us)]
    if not within:
        return []
    first, last = within[0], within[-1]
    keys = [place for place in range(last + 1) if notes[place].key]
    before = [place for place in keys if place <= first]
    # Without a keyframe before it, nothing can be shown up to the next one; without any, all is as good as it gets.
    first = before[-1] if before else keys[0] if keys else first
    return parts[first : last + 1]


def events_of(
    reader: RecordingReader, started: RecordingStarted, begin_ms: int, end_ms: int
) -> list[dict[str, Any]]:
    """What happened in the stretch, after how things stood when it began."""
    written = reader.events_as_written()
    marks = standing(written)
    told: list[dict[str, Any]] = [msgspec.to_builtins(started)]
    told += _standing_at(reader.events(), begin_ms)
    for event in reader.events():
        sort, at_ms = event.get("type"), event.get("atMs")
        if not isinstance(at_ms, int) or not begin_ms <= at_ms < end_ms:
            continue
        if sort in _OF_THE_WHOLE or (sort == "markAdded" and event.get("mark") not in marks):
            continue
        told.append(event)
    told.append(msgspec.to_builtins(RecordingEnded(at_ms=end_ms, reason="stopped")))
    return told


_OF_THE_WHOLE = {"recordingStarted", "recordingEnded", "markRemoved"}


def _standing_at(events: list[dict[str, Any]], begin_ms: int) -> Iterator[dict[str, Any]]:
    """Who was there, under which name, what they had agreed to, and who had the floor, told anew as of then."""
    people: dict[str, dict[str, Any]] = {}
    consents: dict[str, dict[str, Any]] = {}
    latest: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("atMs", 0) >= begin_ms:
            break
        match event:
            case {"type": "participantJoined", "participant": str(who)}:
                people[who] = event
            case {"type": "participantRenamed", "participant": str(who), "name": str(name)} if who in people:
                people[who] = people[who] | {"name": name}
            case {"type": "participantLeft", "participant": str(who)}:
                # Nothing in the clip is of who was gone before it began.
                people.pop(who, None)
                consents.pop(who, None)
            case {"type": "consentAnswered", "participant": str(who)}:
                consents[who] = event
            case {"type": "stageChanged" | "handsChanged" | "leadChanged" | "studyShown" as sort}:
                latest[sort] = event
    for event in (*people.values(), *consents.values(), *latest.values()):
        yield event | {"atMs": begin_ms}


def _overlaps(note: PartNote, begin_us: int, end_us: int) -> bool:
    return note.start_us < end_us and note.start_us + note.duration_us > begin_us


def _copy(
    track: TrackIndex, chosen: list[PartEntry], stream: StreamWriter, check: Callable[[], None]
) -> None:
    """A damaged part is left out; what refers to it is marked, up to the next keyframe."""
    stream.append(b"", encode_note(track.about), durable=False)
    inits = track.inits
    written: tuple[int | None, int] = (None, 0)
    broken = False
    for entry in chosen:
        check()
        note = entry.note
        broken = broken and not note.key
        try:
            if entry.init != written[0] and entry.init is not None:
                init = track.read(entry.init)
                number = stream.append(init, encode_note(inits[entry.init]), durable=False)
                written = (entry.init, number)
            body = track.read(entry.number)
        except VaultError as error:
            if error.trouble in DISK_TROUBLES:
                raise
            broken = True
            continue
        kept = replace(note, init=written[1], damaged=note.damaged or broken)
        stream.append(body, encode_note(kept), durable=False)


def _remove(vault: Vault, audit: Audit, writer: ObjectWriter) -> None:
    """Whatever went wrong is the error to tell; if the disk refuses this too, the next start finds what is left."""
    with suppress(BridgeError):
        vault.shred(writer.ref, audit, "system")
