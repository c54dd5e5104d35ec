"""Recordings as `docs/protocol.md` ("Recordings over HTTP") shows them: the objects on the wire. No I/O, no rights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bridge.recordings.index import PartEntry, RecordingReader, TrackIndex
from bridge.recordings.layout import PartNote, RecordingStarted
from bridge.store import RecordingRecord, SessionRecord
from bridge.vault import Finding

KEY, DAMAGED, LOSS = 1, 2, 4
"""Flags of a part."""
FINDINGS_LIMIT = 100
"""Of one track; a line says how many more there are."""


def recorded(
    row: RecordingRecord,
    session: SessionRecord,
    started: RecordingStarted | None,
    end_ms: int,
    size_bytes: int,
) -> dict[str, Any]:
    """`started` is None where it was not read: title and window are the session's then."""
    return {
        "id": row.id,
        "session": row.session,
        "title": started.title if started is not None else session.title,
        "kind": session.kind,
        "state": row.state,
        "startedAt": row.started_at_ms,
        "beginMs": started.begin_ms if started is not None else 0,
        "endMs": end_ms,
        "sizeBytes": size_bytes,
        "hold": row.hold,
        "retainUntil": row.retain_until_ms,
        "clipOf": row.clip_of,
    }


def recorded_track(track: TrackIndex) -> dict[str, Any]:
    about = track.about
    return {
        "id": track.stream,
        "participant": about.participant,
        "source": about.source,
        "kind": about.kind,
        "live": track.live,
        "beginMs": track.begin_us // 1000,
        "endMs": -(-track.end_us // 1000),
        "sizeBytes": track.size_bytes,
        "inits": [
            {
                "part": part,
                "mediaType": init.media_type,
                "codec": init.codec,
                "width": init.width,
                "height": init.height,
            }
            for part, init in track.inits.items()
        ],
    }


def whole(reader: RecordingReader, events: list[dict[str, Any]]) -> dict[str, Any]:
    """What goes beside `recorded`."""
    return {
        "tracks": [recorded_track(track) for track in reader.tracks],
        "events": events,
        "findings": findings(reader.findings()),
    }


def part_row(entry: PartEntry) -> list[int]:
    note = entry.note
    lost = any(gap.reason == "loss" for gap in note.gaps)
    flags = KEY * note.key | DAMAGED * note.damaged | LOSS * lost
    init = entry.init if entry.init is not None else -1
    begin_ms = note.start_us // 1000
    duration_ms = (note.start_us + note.duration_us) // 1000 - begin_ms
    return [entry.number, init, begin_ms, duration_ms, flags, entry.size_bytes, note.frames]


def findings(found: Iterable[Finding]) -> list[dict[str, Any]]:
    shown: list[dict[str, Any]] = []
    more = 0
    for finding in found:
        if len(shown) < FINDINGS_LIMIT:
            shown.append({"part": finding.part, "trouble": finding.trouble, "text": finding.text})
        else:
            more += 1
    if more:
        shown.append({"part": None, "trouble": "more", "text": f"And {more} more."})
    return shown


def frame_starts(note: PartNote) -> Iterator[int]:
    """When each frame begins; evenly spread where the note had no room for them."""
    at_us = note.start_us
    if len(note.steps_us) == note.frames:
        for step_us in note.steps_us:
            yield at_us
            at_us += step_us
    else:
        for number in range(note.frames):
            yield at_us + number * note.duration_us // note.frames
