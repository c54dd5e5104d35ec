"""Writes the server's offers to subscribers and reads their answers; pure.

Sections are slots: they are never taken away, only made inactive and used again for another track (RFC 8829 section
5.2.2 lets no section vanish). A slot keeps its mid and payload types; with each track it gets SSRCs of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import MediaError, ProtocolError
from bridge.media.contract import Description, Kind, Mid
from bridge.media.negotiation import SPEECH_PARAMETERS, source_lines
from bridge.media.sdp import MAX_SECTIONS, Section, malformed, parse
from bridge.media.sdp_codecs import (
    ABS_SEND_TIME_URI,
    AUDIO_FEEDBACK,
    AUDIO_LEVEL_URI,
    BASELINE,
    EXTENSIONS,
    MID_URI,
    PLAYOUT_DELAY_URI,
    TRANSPORT_WIDE_CC_URI,
    VIDEO_FEEDBACK,
    VIDEO_ORIENTATION_URI,
    CodecName,
    CodecRow,
)
from bridge.media.sdp_sections import Remote, remote_of
from bridge.media.sdp_write import (
    Local,
    codec_lines,
    join,
    media_line,
    payload_numbers,
    session_lines,
    transport_lines,
)

MAX_SLOTS = 120
# Until there are so many, a new track gets a new section: to some receivers (aiortc) a section that is used again with
# another SSRC stays dark where several sections share payload types.
SLOTS_BEFORE_REUSE = 24

_AUDIO_EXTENSIONS = {MID_URI: 1, AUDIO_LEVEL_URI: 2, ABS_SEND_TIME_URI: 3, TRANSPORT_WIDE_CC_URI: 4}
_VIDEO_EXTENSIONS = {
    MID_URI: 1,
    ABS_SEND_TIME_URI: 3,
    TRANSPORT_WIDE_CC_URI: 4,
    VIDEO_ORIENTATION_URI: 5,
    PLAYOUT_DELAY_URI: 6,
}

# Payload types of everything that is offered to any subscriber, fixed: in a bundle one number has one meaning.
_OPUS = CodecRow(111, "opus", 48_000, 0, (), AUDIO_FEEDBACK)
_VIDEO_ROWS: Mapping[CodecName, CodecRow] = {
    "vp8": CodecRow(96, "vp8", 90_000, 97, (), VIDEO_FEEDBACK),
    "vp9": CodecRow(98, "vp9", 90_000, 99, (("profile-id", "0"),), VIDEO_FEEDBACK),
    "av1": CodecRow(45, "av1", 90_000, 46, (), VIDEO_FEEDBACK),
}
_H264_NUMBERS = {BASELINE: 102, "4d001f": 104, "640c1f": 106, "64001f": 108}


@dataclass(frozen=True, slots=True)
class Slot:
    """What of a section stays while it shows one track.

    `h264_profile` is the one that its H.264 payload type stands for.
    """

    mid: Mid
    kind: Kind
    ssrc: int
    rtx_ssrc: int
    h264_profile: str = BASELINE


@dataclass(frozen=True, slots=True)
class OfferedSlot:
    """A slot in one offer: `stream` and `track` name what it shows (msid, RFC 8830), `track` None: inactive."""

    slot: Slot
    codec: CodecName
    stream: str = "-"
    track: str | None = None


@dataclass(frozen=True, slots=True)
class SubscriberAnswer:
    """What a subscriber took: mids of the sections it receives, with whether it takes RTX there."""

    receives: Mapping[Mid, bool]
    extensions: Mapping[str, int]
    transport_cc: bool
    remb: bool
    remote: Remote | None


def slot_codecs(slot: Slot) -> tuple[CodecRow, ...]:
    """All that a slot may ever carry: the relay's table for it, whichever of them an offer names."""
    if slot.kind == "audio":
        return (_OPUS,)
    return (*_VIDEO_ROWS.values(), _h264_row(slot.h264_profile))


def offer_subscriber(
    slots: Sequence[OfferedSlot], cname: str, local: Local, session_id: int, version: int
) -> Description:
    """An offer of all slots ever made, in order. Each names only its track's codec, so that a refusal is clear."""
    lines = session_lines(session_id, version, [offered.slot.mid for offered in slots])
    for offered in slots:
        lines += _section_lines(offered, cname, local)
    return join(lines)


def read_answer(answer: str, offered: Sequence[OfferedSlot]) -> SubscriberAnswer:
    """Raises ProtocolError where the answer does not fit the offer."""
    session = parse(answer, MAX_SECTIONS)
    if len(session.sections) != len(offered):
        malformed("the answer has not as many sections as the offer")
    receives: dict[Mid, bool] = {}
    extensions: dict[str, int] = {}
    feedback: set[str] = set()
    for section, wanted in zip(session.sections, offered, strict=True):
        if section.kind != wanted.slot.kind or section.mid not in (None, wanted.slot.mid):
            malformed("the answer's sections are not those of the offer")
        row = _row(wanted)
        taken = {known.payload_type: known for known in section.formats}
        if section.rejected or wanted.track is None or row.payload_type not in taken:
            continue
        if section.direction not in ("recvonly", "sendrecv"):
            continue
        _merge_extensions(extensions, section, wanted.slot.kind)
        feedback |= taken[row.payload_type].feedback
        receives[wanted.slot.mid] = row.rtx_payload_type in taken
    if any(section.setup == "passive" for section in session.sections):
        raise MediaError("The server is the passive side of DTLS: the answer must be active.")
    live = any(not section.rejected for section in session.sections)
    remote = remote_of(session) if live else None
    return SubscriberAnswer(receives, extensions, "transport-cc" in feedback, "goog-remb" in feedback, remote)


def _section_lines(offered: OfferedSlot, cname: str, local: Local) -> list[str]:
    slot = offered.slot
    row = _row(offered)
    lines = [*media_line(slot.kind, "UDP/TLS/RTP/SAVPF", payload_numbers([row])), "a=rtcp:9 IN IP4 0.0.0.0"]
    lines += transport_lines(local)
    lines.append(f"a=mid:{slot.mid}")
    lines += [f"a=extmap:{number} {uri}" for uri, number in _extensions(slot.kind).items()]
    lines += ["a=rtcp-mux", "a=rtcp-rsize"]
    if offered.track is None:
        lines.append("a=inactive")
    else:
        lines += ["a=sendonly", f"a=msid:{offered.stream} {offered.track}"]
    lines += codec_lines(row, SPEECH_PARAMETERS if slot.kind == "audio" else ())
    if offered.track is not None:
        lines += source_lines(slot.ssrc, slot.rtx_ssrc, cname)
    return lines


def _merge_extensions(table: dict[str, int], section: Section, kind: Kind) -> None:
    ours = _extensions(kind)
    for uri, number in section.extensions.items():
        if uri not in ours:
            continue
        if ours[uri] != number:
            raise ProtocolError("The answer gives a header extension another id than the offer.")
        table[EXTENSIONS[uri]] = number


def _extensions(kind: Kind) -> Mapping[str, int]:
    return _AUDIO_EXTENSIONS if kind == "audio" else _VIDEO_EXTENSIONS


def _row(offered: OfferedSlot) -> CodecRow:
    if offered.slot.kind == "audio":
        return _OPUS
    if offered.codec == "h264":
        return _h264_row(offered.slot.h264_profile)
    return _VIDEO_ROWS[offered.codec]


def _h264_row(profile: str) -> CodecRow:
    number = _H264_NUMBERS[profile]
    parameters = (
        ("level-asymmetry-allowed", "1"),
        ("packetization-mode", "1"),
        ("profile-level-id", profile),
    )
    return CodecRow(number, "h264", 90_000, number + 1, parameters, VIDEO_FEEDBACK)
