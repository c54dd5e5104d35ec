"""Answers the offers of publishers and players (WHIP and browsers, WHEP): offer in, answer and relay tables out; pure.

RFC 8829 (JSEP) and RFC 8843 (BUNDLE) rule the shape. One transport a peer: what is not bundled is rejected. It knows
nothing of peers' state: who calls it keeps session ids and versions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import MediaError, ProtocolError
from bridge.media.contract import Description, Kind, Mid, Source, TrackWish
from bridge.media.sdp import Section, Session, parse
from bridge.media.sdp_codecs import BASELINE, CodecRow
from bridge.media.sdp_sections import (
    LayerRow,
    Remote,
    Usable,
    extension_names,
    layers,
    remote_of_usable,
    tagged,
    unique_codecs,
    usable_sections,
)
from bridge.media.sdp_write import (
    Local,
    codec_lines,
    join,
    media_line,
    payload_numbers,
    session_lines,
    transport_lines,
)

MAX_PUBLISHER_SECTIONS = 40

# The ceiling that the publisher's bandwidth estimation may reach. Without b=AS libwebrtc stops at 2.5 Mbit/s.
ULTRASOUND_MAX_KBPS = 9_000
# Where estimation starts. libwebrtc probes at 3 and 6 times this at once, so that 6 to 8 Mbit/s are found within a
# second, and a link that bears less sees one short burst and not seconds of loss.
ULTRASOUND_START_KBPS = 1_500
SPEECH_PARAMETERS = (("minptime", "10"), ("useinbandfec", "1"))
# In silence a microphone sends two packets in 400 ms instead of fifty a second (RFC 7587 section 3.1.3); most open ones
# of an event are silent. Numbers follow each other and time stamps go on: nothing counts as lost.
MICROPHONE_PARAMETERS = (*SPEECH_PARAMETERS, ("usedtx", "1"))
# Doppler sound is no speech: stereo, enough bits for its noise-like spectrum, and its silence is never left out.
ULTRASOUND_SOUND_PARAMETERS = (*SPEECH_PARAMETERS, ("maxaveragebitrate", "128000"), ("stereo", "1"))

AUDIO_SOURCES = frozenset({Source.MICROPHONE, Source.ULTRASOUND_SOUND})


@dataclass(frozen=True, slots=True)
class PublishedSection:
    """A section that will send, wished for and answered. `layers` lowest quality first."""

    mid: Mid
    source: Source
    kind: Kind
    codec: CodecRow
    layers: tuple[LayerRow, ...]

    @property
    def nack(self) -> bool:
        return "nack" in self.codec.feedback


@dataclass(frozen=True, slots=True)
class PublisherPlan:
    """All that follows from a publisher's offer. `extensions` by the relay's names; `tagged` is the bundle's first."""

    answer: Description
    sections: tuple[PublishedSection, ...]
    extensions: Mapping[str, int]
    codecs: tuple[CodecRow, ...]
    remote: Remote
    tagged: tuple[Mid, Kind]


@dataclass(frozen=True, slots=True)
class PlayerSlot:
    mid: Mid
    kind: Kind
    codecs: tuple[CodecRow, ...]
    ssrc: int
    rtx_ssrc: int


@dataclass(frozen=True, slots=True)
class PlayerPlan:
    """All that follows from a player's offer."""

    answer: Description
    slots: tuple[PlayerSlot, ...]
    extensions: Mapping[str, int]
    transport_cc: bool
    remb: bool
    remote: Remote
    tagged: tuple[Mid, Kind]


def answer_publisher(
    offer: str, wishes: Sequence[TrackWish], local: Local, session_id: int, version: int
) -> PublisherPlan:
    """Raises ProtocolError for what is malformed, MediaError where no wished section has a usable codec."""
    session = parse(offer, MAX_PUBLISHER_SECTIONS)
    usable = usable_sections(session)
    wished = _check_wishes(session, wishes)
    published = {mid: _publish(usable[mid], source) for mid, source in wished.items() if mid in usable}
    if not usable or (wished and not published):
        raise MediaError("The offer has no codec that is understood here.")
    writer = _Writer(session, usable, local, session_id, version)
    for entry in usable.values():
        writer.add(entry, _publisher_lines(entry, published.get(entry.mid)))
    codecs = tuple(published[mid].codec if mid in published else usable[mid].codecs[0] for mid in usable)
    return PublisherPlan(
        writer.write(),
        tuple(published.values()),
        extension_names(usable.values()),
        unique_codecs(codecs),
        remote_of_usable(usable.values()),
        tagged(usable),
    )


def answer_player(
    offer: str, ssrcs: Sequence[int], cname: str, local: Local, session_id: int, version: int
) -> PlayerPlan:
    """`ssrcs`: four fresh ones, for video, its RTX, audio and one to spare. Raises like `answer_publisher`."""
    session = parse(offer, MAX_PUBLISHER_SECTIONS)
    usable = usable_sections(session)
    slots: dict[str, PlayerSlot] = {}
    for entry in usable.values():
        wanted = entry.section.direction in ("recvonly", "sendrecv")
        if wanted and all(slot.kind != entry.kind for slot in slots.values()):
            slots[entry.mid] = _player_slot(entry, ssrcs)
    if not slots:
        raise MediaError("The offer has no codec that is understood here.")
    writer = _Writer(session, usable, local, session_id, version)
    for entry in usable.values():
        slot = slots.get(entry.mid)
        writer.add(entry, _player_lines(entry, slot, cname))
    feedback = {item for slot in slots.values() for row in slot.codecs for item in row.feedback}
    unique_codecs(row for slot in slots.values() for row in slot.codecs)
    return PlayerPlan(
        writer.write(),
        tuple(slots.values()),
        extension_names(usable.values()),
        "transport-cc" in feedback,
        "goog-remb" in feedback,
        remote_of_usable(usable.values()),
        tagged(usable),
    )


def encoder_wishes(offer: str, video: Source, audio: Source) -> tuple[TrackWish, ...]:
    """What an encoder that says nothing itself publishes (RFC 9725): its first sending video and audio section."""
    wishes: dict[str, TrackWish] = {}
    for section in parse(offer, MAX_PUBLISHER_SECTIONS).sections:
        sends = section.direction in ("sendonly", "sendrecv") and not section.rejected
        if sends and section.mid is not None and section.kind in ("audio", "video"):
            source = audio if section.kind == "audio" else video
            wishes.setdefault(section.kind, TrackWish(Mid(section.mid), source))
    if not wishes:
        raise MediaError("The offer sends neither audio nor video.")
    return tuple(wishes.values())


# --- reading ---


def _check_wishes(session: Session, wishes: Sequence[TrackWish]) -> dict[str, Source]:
    sections = {section.mid: section for section in session.sections}
    wished: dict[str, Source] = {}
    for wish in wishes:
        section = sections.get(wish.mid)
        if section is None or section.direction not in ("sendonly", "sendrecv") or section.rejected:
            raise ProtocolError("A track names a section that does not send.")
        if (wish.source in AUDIO_SOURCES) != (section.kind == "audio"):
            raise ProtocolError(f"The source {wish.source.value} cannot be {section.kind}.")
        if wish.mid in wished:
            raise ProtocolError("Two tracks name the same section.")
        wished[wish.mid] = wish.source
    return wished


def _publish(entry: Usable, source: Source) -> PublishedSection:
    return PublishedSection(entry.mid, source, entry.kind, entry.codecs[0], layers(entry))


def _player_slot(entry: Usable, ssrcs: Sequence[int]) -> PlayerSlot:
    rows: dict[str, CodecRow] = {}
    for row in entry.codecs:
        # One payload type a codec; of H.264 the baseline, which every decoder takes.
        if row.codec not in rows or (row.h264_profile == BASELINE != rows[row.codec].h264_profile):
            rows[row.codec] = row
    repaired = any(row.rtx_payload_type for row in rows.values())
    if entry.kind == "audio":
        return PlayerSlot(entry.mid, "audio", tuple(rows.values()), ssrcs[2], 0)
    return PlayerSlot(entry.mid, "video", tuple(rows.values()), ssrcs[0], ssrcs[1] if repaired else 0)


# --- writing ---


class _Writer:
    """Puts the answered sections into the order of the offer and rejects the others."""

    def __init__(
        self, session: Session, usable: Mapping[str, Usable], local: Local, session_id: int, version: int
    ) -> None:
        self._session = session
        self._local = local
        bundle = [mid for mid in session.bundle if mid in usable]
        self._head = session_lines(session_id, version, bundle)
        self._bodies: dict[str, list[str]] = {}

    def add(self, entry: Usable, body: tuple[list[int], list[str], list[str]]) -> None:
        formats, bandwidth, attributes = body
        section = entry.section
        lines = [*media_line(section.kind, section.protocol, formats), *bandwidth, "a=rtcp:9 IN IP4 0.0.0.0"]
        lines += transport_lines(self._local)
        lines.append(f"a=mid:{entry.mid}")
        lines += [f"a=extmap:{number} {uri}" for uri, number in entry.extensions.items()]
        lines.append("a=rtcp-mux")
        if section.rtcp_rsize:
            lines.append("a=rtcp-rsize")
        self._bodies[entry.mid] = lines + attributes

    def write(self) -> Description:
        lines = list(self._head)
        for section in self._session.sections:
            answered = self._bodies.get(section.mid) if section.mid is not None else None
            lines += answered if answered is not None else _rejection(section)
        return join(lines)


def _rejection(section: Section) -> list[str]:
    lines = [*media_line(section.kind, section.protocol, section.format_names, port=0), "a=inactive"]
    if section.mid is not None:
        lines.append(f"a=mid:{section.mid}")
    return lines


def _publisher_lines(
    entry: Usable, published: PublishedSection | None
) -> tuple[list[int], list[str], list[str]]:
    if published is None:
        # Inactive and not rejected: the m-line lives on, and a rejected first one would take the bundle with it.
        row = entry.codecs[0]
        return payload_numbers([row]), [], ["a=inactive", *codec_lines(row)]
    row = published.codec
    bandwidth: list[str] = []
    extra: tuple[tuple[str, str], ...] = ()
    if published.kind == "audio":
        sound = published.source is Source.ULTRASOUND_SOUND
        extra = ULTRASOUND_SOUND_PARAMETERS if sound else MICROPHONE_PARAMETERS
    elif published.source is Source.ULTRASOUND:
        bandwidth = [f"b=AS:{ULTRASOUND_MAX_KBPS}", f"b=TIAS:{ULTRASOUND_MAX_KBPS * 1000}"]
        extra = (("x-google-start-bitrate", str(ULTRASOUND_START_KBPS)),)
    lines = ["a=recvonly", *codec_lines(row, extra)]
    rids = [layer.rid for layer in published.layers if layer.rid is not None]
    if rids:
        # In the offer's order: RFC 8853 section 5.3.2 lets the answer remove streams, not sort them.
        rids = [rid for rid in entry.section.send_rids if rid in rids]
        lines += [f"a=rid:{rid} recv" for rid in rids]
        lines.append("a=simulcast:recv " + ";".join(rids))
    return payload_numbers([row]), bandwidth, lines


def _player_lines(
    entry: Usable, slot: PlayerSlot | None, cname: str
) -> tuple[list[int], list[str], list[str]]:
    if slot is None:
        row = entry.codecs[0]
        return payload_numbers([row]), [], ["a=inactive", *codec_lines(row)]
    lines = ["a=sendonly", f"a=msid:bridge {slot.kind}"]
    for row in slot.codecs:
        lines += codec_lines(row, SPEECH_PARAMETERS if slot.kind == "audio" else ())
    lines += source_lines(slot.ssrc, slot.rtx_ssrc, cname)
    return payload_numbers(slot.codecs), [], lines


def source_lines(ssrc: int, rtx_ssrc: int, cname: str) -> list[str]:
    """What we send is announced by SSRC too (RFC 5576): not every player finds it by mid."""
    lines = [f"a=ssrc-group:FID {ssrc} {rtx_ssrc}"] if rtx_ssrc else []
    return lines + [f"a=ssrc:{number} cname:{cname}" for number in (ssrc, rtx_ssrc) if number]
