"""The browser's half of both negotiations, as little of it as a crowd needs (RFC 8829); pure.

The publisher's offer sends a microphone and a camera with simulcast by rid (RFC 8853); the subscriber's answer takes
all that the server offers. The server is ICE-lite and DTLS-passive, so both are active.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.errors import ProtocolError
from bridge.media.contract import Kind
from bridge.media.sdp import Section, Session, parse
from bridge.media.sdp_codecs import (
    ABS_SEND_TIME_URI,
    AUDIO_FEEDBACK,
    AUDIO_LEVEL_URI,
    EXTENSIONS,
    MID_URI,
    REPAIRED_RID_URI,
    RID_URI,
    TRANSPORT_WIDE_CC_URI,
    VIDEO_FEEDBACK,
    CodecName,
    CodecRow,
    usable_codecs,
    usable_extensions,
)
from bridge.media.sdp_write import codec_lines, join, media_line, payload_numbers

AUDIO_MID, VIDEO_MID = "0", "1"
OPUS = CodecRow(111, "opus", 48_000, 0, (("minptime", "10"), ("useinbandfec", "1")), AUDIO_FEEDBACK)
VP8 = CodecRow(96, "vp8", 90_000, 97, (), VIDEO_FEEDBACK)
AUDIO_EXTENSIONS = {MID_URI: 1, AUDIO_LEVEL_URI: 2, ABS_SEND_TIME_URI: 3, TRANSPORT_WIDE_CC_URI: 4}
VIDEO_EXTENSIONS = {
    MID_URI: 1,
    ABS_SEND_TIME_URI: 3,
    TRANSPORT_WIDE_CC_URI: 4,
    RID_URI: 10,
    REPAIRED_RID_URI: 11,
}
_CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ host", re.MULTILINE | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Own:
    """Our side of one transport."""

    ufrag: str
    pwd: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Server:
    """The server's side of one transport: where it is, its ICE credentials and certificates."""

    host: str
    port: int
    ufrag: str
    pwd: str
    fingerprints: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Incoming:
    """One track that the server sends. `rtx_ssrc` 0: nothing comes again."""

    mid: str
    kind: Kind
    codec: CodecName
    ssrc: int
    rtx_ssrc: int


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to the server's offer, and what the offer said. `extensions` by the relay's names."""

    sdp: str
    server: Server | None
    incoming: tuple[Incoming, ...]
    extensions: dict[str, int]


def write_offer(own: Own, rids: Sequence[str]) -> str:
    """A microphone, and a camera in these layers."""
    lines = _session_lines([AUDIO_MID, VIDEO_MID])
    lines += [*media_line("audio", "UDP/TLS/RTP/SAVPF", payload_numbers([OPUS]))]
    lines += [*_transport_lines(own, AUDIO_MID), *_extension_lines(AUDIO_EXTENSIONS), "a=sendonly"]
    lines += codec_lines(OPUS)
    lines += [*media_line("video", "UDP/TLS/RTP/SAVPF", payload_numbers([VP8]))]
    lines += [*_transport_lines(own, VIDEO_MID), *_extension_lines(VIDEO_EXTENSIONS), "a=sendonly"]
    lines += codec_lines(VP8)
    lines += [f"a=rid:{rid} send" for rid in rids]
    lines.append("a=simulcast:send " + ";".join(rids))
    return join(lines)


def publishing_extensions() -> dict[str, int]:
    """Ids of `write_offer`, by the relay's names."""
    return {EXTENSIONS[uri]: number for uri, number in (AUDIO_EXTENSIONS | VIDEO_EXTENSIONS).items()}


def read_answer(sdp: str) -> Server:
    """Where the server takes what we publish. Raises ProtocolError where that is not said."""
    server = _server(sdp, parse(sdp))
    if server is None:
        raise ProtocolError("The server's answer has no transport.")
    return server


def answer(offer: str, own: Own) -> Answered:
    """Takes all tracks of the server's offer."""
    session = parse(offer)
    lines = _session_lines(session.bundle)
    incoming: list[Incoming] = []
    extensions: dict[str, int] = {}
    for section in session.sections:
        kind: Kind = "audio" if section.kind == "audio" else "video"
        rows = usable_codecs(section, kind)[:1]
        known = usable_extensions(section, kind)
        extensions |= {EXTENSIONS[uri]: number for uri, number in known.items()}
        sends = section.direction == "sendonly" and bool(rows)
        if sends:
            incoming.append(_incoming(section, kind, rows[0]))
        lines += media_line(section.kind, section.protocol, payload_numbers(rows) or section.format_names)
        lines += [*_transport_lines(own, section.mid or ""), *_extension_lines(known)]
        lines.append("a=recvonly" if sends else "a=inactive")
        lines += [line for row in rows for line in codec_lines(row)]
    return Answered(join(lines), _server(offer, session), tuple(incoming), extensions)


def _incoming(section: Section, kind: Kind, row: CodecRow) -> Incoming:
    pairs = (group for name, group in section.ssrc_groups if name == "FID" and len(group) == 2)
    ssrc, rtx_ssrc = next(pairs, (section.ssrcs[0] if section.ssrcs else 0, 0))
    return Incoming(section.mid or "", kind, row.codec, ssrc, rtx_ssrc)


def _server(text: str, session: Session) -> Server | None:
    candidate = _CANDIDATE.search(text)
    section = next((section for section in session.sections if not section.rejected), None)
    if candidate is None or section is None or section.ice.ufrag is None or section.ice.pwd is None:
        return None
    host, port = candidate[1], int(candidate[2])
    return Server(host, port, section.ice.ufrag, section.ice.pwd, tuple(section.fingerprints))


def _session_lines(mids: Sequence[str]) -> list[str]:
    return ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=group:BUNDLE " + " ".join(mids)]


def _transport_lines(own: Own, mid: str) -> list[str]:
    return [
        f"a=ice-ufrag:{own.ufrag}",
        f"a=ice-pwd:{own.pwd}",
        f"a=fingerprint:sha-256 {own.fingerprint}",
        "a=setup:active",
        f"a=mid:{mid}",
        "a=rtcp-mux",
        "a=rtcp-rsize",
    ]


def _extension_lines(extensions: dict[str, int]) -> list[str]:
    return [f"a=extmap:{number} {uri}" for uri, number in extensions.items()]
