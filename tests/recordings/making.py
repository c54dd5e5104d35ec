"""Builds whole recordings straight into a vault: real encoded pictures and sound, cut by the recorder's own parts."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field

from bridge.ids import RecordingId, SessionFormat, SessionKind, new_id
from bridge.media.recording.parts import Part
from bridge.media.recording.track import TrackRecorder
from bridge.recordings import layout
from bridge.vault import ObjectWriter, Vault
from tests.media.recording.sending import START_US, Sent, arriving, sound, video

HUB, CLINIC = "hubhubhubhubhub2", "clinicclinicclin"
HUB_NAME, CLINIC_NAME = "Bác sĩ Hà", "Phòng khám Sa Pa"
TICK_US = 250_000
STARTED_AT_MS = 1_760_000_000_000


@dataclass(frozen=True)
class Track:
    """One track as it was sent; times of the packets from `START_US` on, which is the recording's zero."""

    participant: str
    source: str
    kind: str
    packets: Sequence[Sent]
    name: str = ""


@dataclass
class Made:
    """What was written. `parts` by stream, in the order of `tracks`; they are what a reader must find again."""

    recording: RecordingId
    tracks: list[Track]
    streams: list[int] = field(default_factory=list)
    parts: dict[int, list[Part]] = field(default_factory=dict)

    def of(self, participant: str, source: str) -> list[Part]:
        """All parts of a participant's source, over all of its streams."""
        return [
            part
            for stream, track in zip(self.streams, self.tracks, strict=True)
            if (track.participant, track.source) == (participant, source)
            for part in self.parts[stream]
        ]


@functools.cache
def consult() -> list[Track]:
    """Eight seconds of two participants. The clinic's ultrasound is published anew after a break, and its microphone
    pauses for three seconds."""
    late_us = START_US + 5_000_000
    ultrasound = video("h264", 120)
    again = video("h264", 90, from_us=late_us, timestamp=77, sequence=3 * 65_536 + 9)
    spoken = sound(150)
    later = sound(
        100, from_us=START_US + 6_000_000, timestamp=0xFFFF_F000 + 288_000 & 0xFFFF_FFFF, sequence=160
    )
    return [
        Track(HUB, "microphone", "audio", sound(400)),
        Track(HUB, "camera", "video", video("vp8", 240)),
        Track(CLINIC, "microphone", "audio", arriving(spoken, later)),
        Track(CLINIC, "ultrasound", "video", ultrasound),
        Track(CLINIC, "ultrasound", "video", again),
    ]


def events(session: str) -> list[layout.Event]:
    """Of that consult: who came, the floor, a line of chat, a finding, and one that was taken back."""
    return [
        layout.RecordingStarted(
            at_ms=0,
            session=session,
            title="Tim thai, 24 tuần",
            session_kind=SessionKind.CONSULTATION,
            session_format=SessionFormat.CONSULT,
            started_at=STARTED_AT_MS,
        ),
        layout.ParticipantJoined(at_ms=0, participant=HUB, name=HUB_NAME, role="hub", point="Hà Nội"),
        layout.ParticipantJoined(
            at_ms=0, participant=CLINIC, name=CLINIC_NAME, role="satellite", point="Sa Pa"
        ),
        layout.StageChanged(at_ms=0, stage=(HUB, CLINIC)),
        layout.ChatSent(at_ms=1_500, participant=CLINIC, name=CLINIC_NAME, text="Bên tôi thấy rõ"),
        layout.MarkAdded(
            at_ms=2_000, mark="markmarkmarkmar1", participant=HUB, name=HUB_NAME, text="Van hai lá"
        ),
        layout.MarkAdded(at_ms=3_000, mark="markmarkmarkmar2", participant=HUB, name=HUB_NAME, text="Nhầm"),
        layout.MarkRemoved(at_ms=3_500, mark="markmarkmarkmar2", participant=HUB),
        layout.StageChanged(at_ms=5_000, stage=(CLINIC,)),
    ]


def make_recording(
    vault: Vault,
    *,
    session: str = "sessionsessions2",
    tracks: Sequence[Track] | None = None,
    more: Sequence[layout.Event] = (),
    sealed: bool = True,
    recording: RecordingId | None = None,
) -> Made:
    """Writes a recording; not `sealed`, it is as its writer left it when it died: nothing ended, no list of streams."""
    made = Made(recording or RecordingId(new_id()), list(consult() if tracks is None else tracks))
    ref = layout.ref_of(made.recording)
    writer = vault.create(ref.kind, ref.id)
    told = [*events(session), *more]
    ended = [layout.RecordingEnded(at_ms=8_000, reason="stopped")] if sealed else []
    write_events(writer, [*told, *ended], sealed=sealed)
    for number, track in enumerate(made.tracks):
        parts = parts_of(track.packets)
        name = track.name or f"track{number}"
        stream = write_track(writer, track, parts, name=name, sealed=sealed)
        made.streams.append(stream)
        made.parts[stream] = parts
    if sealed:
        writer.seal()
    return made


def make_recording_of_parts(vault: Vault, track: Track, parts: Sequence[Part]) -> Made:
    """A recording of one track whose parts are there already."""
    made = Made(RecordingId(new_id()), [track])
    ref = layout.ref_of(made.recording)
    writer = vault.create(ref.kind, ref.id)
    write_events(writer, events("sessionsessions2"))
    made.streams.append(write_track(writer, track, parts, name="track0"))
    made.parts[made.streams[0]] = list(parts)
    writer.seal()
    return made


def parts_of(packets: Sequence[Sent]) -> list[Part]:
    """What the recorder makes of these packets."""
    recorder = TrackRecorder(START_US, lambda: None)
    parts: list[Part] = []
    now_us = START_US
    for packet in packets:
        while now_us + TICK_US <= packet.arrived_us:
            now_us += TICK_US
            parts += recorder.tick(now_us)
        now_us = packet.arrived_us
        parts += recorder.push([packet])
    return parts + recorder.flush(now_us)


def write_events(writer: ObjectWriter, events: Sequence[layout.Event], *, sealed: bool = True) -> int:
    """One stream of events, three to a part."""
    with writer.new_stream() as stream:
        for first in range(0, len(events), 3):
            some = list(events[first : first + 3])
            note = layout.EventsNote(
                from_ms=some[0].at_ms or 0, until_ms=some[-1].at_ms or 0, count=len(some)
            )
            stream.append(layout.encode_events(some), layout.encode_note(note), durable=False)
        if sealed:
            stream.end()
        return stream.stream


def write_track(
    writer: ObjectWriter, track: Track, parts: Sequence[Part], *, name: str, sealed: bool = True
) -> int:
    """One stream of a track, with its initialisation segments."""
    init = None
    with writer.new_stream() as stream:
        about = layout.TrackNote(
            track=name,
            participant=track.participant,
            source=track.source,
            kind="audio" if track.kind == "audio" else "video",
        )
        stream.append(b"", layout.encode_note(about), durable=False)
        for part in parts:
            if part.init != init:
                init = part.init
                stream.append(init.data, layout.encode_note(init_note(part)), durable=False)
            stream.append(part.data, layout.encode_note(part_note(part)), durable=False)
        if sealed:
            stream.end()
        return stream.stream


def init_note(part: Part) -> layout.InitNote:
    configuration = part.init.configuration
    return layout.InitNote(
        media_type=part.init.media_type,
        codec=configuration.codec,
        width=configuration.width,
        height=configuration.height,
    )


def part_note(part: Part) -> layout.PartNote:
    return layout.PartNote(
        start_us=part.start_us,
        duration_us=part.duration_us,
        frames=len(part.frames),
        key=part.keyframe,
        damaged=part.damaged,
        layer=part.layer,
        steps_us=tuple(mark.duration_us for mark in part.frames),
        gaps=tuple(
            layout.GapNote(gap.start_us, gap.duration_us, gap.reason, gap.lost_packets)
            for gap in part.gaps[: layout.GAPS_LIMIT]
        ),
    )
