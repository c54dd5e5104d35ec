"""Writes session descriptions (RFC 8866, 8829): the lines that answers, offers and fragments share; pure.

The server is ICE-lite (RFC 8445 section 2.5) and always DTLS-passive, and has only host candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bridge.media.contract import Description
from bridge.media.sdp_codecs import CodecRow

CRLF = "\r\n"
MAX_CANDIDATES = 16

# RFC 8445 section 5.1.2.1: type preference of host candidates; component 1.
_HOST_PREFERENCE = 126


@dataclass(frozen=True, slots=True)
class Local:
    """What every description says of the server's side of one peer.

    `addresses` are IP addresses as the peer shall reach them, best first; `fingerprint` is SHA-256 in hex with colons.
    """

    ufrag: str
    pwd: str
    fingerprint: str
    addresses: tuple[str, ...]
    port: int


def session_lines(session_id: int, version: int, bundle: Sequence[str]) -> list[str]:
    """The session level; `bundle` the mids that share the transport."""
    lines = ["v=0", f"o=- {session_id} {version} IN IP4 127.0.0.1", "s=-", "t=0 0", "a=ice-lite"]
    if bundle:
        lines.append("a=group:BUNDLE " + " ".join(bundle))
    lines.append("a=msid-semantic: WMS *")
    return lines


def candidate_lines(local: Local) -> list[str]:
    """Host candidates over UDP (RFC 8839 section 5.1), the first address preferred."""
    lines = []
    for index, address in enumerate(local.addresses[:MAX_CANDIDATES]):
        priority = (_HOST_PREFERENCE << 24) | ((65_535 - index) << 8) | 255
        lines.append(f"a=candidate:{index + 1} 1 udp {priority} {address} {local.port} typ host")
    lines.append("a=end-of-candidates")
    return lines


def transport_lines(local: Local) -> list[str]:
    """ICE and DTLS of a section.

    Candidates stand in every section: one per bundle would do by RFC 9143, but aiortc takes those of the last section
    that shares a transport, and with two videos would have none.
    """
    return [
        f"a=ice-ufrag:{local.ufrag}",
        f"a=ice-pwd:{local.pwd}",
        f"a=fingerprint:sha-256 {local.fingerprint}",
        "a=setup:passive",
        *candidate_lines(local),
    ]


def media_line(kind: str, protocol: str, formats: Iterable[str | int], port: int = 9) -> list[str]:
    names = " ".join(str(name) for name in formats) or "0"
    return [f"m={kind} {port} {protocol} {names}", "c=IN IP4 0.0.0.0"]


def codec_lines(row: CodecRow, extra: Sequence[tuple[str, str]] = ()) -> list[str]:
    """rtpmap, feedback and parameters of a codec and of its RTX."""
    name = {"opus": "opus/48000/2", "av1": "AV1/90000"}.get(
        row.codec, f"{row.codec.upper()}/{row.clock_rate_hz}"
    )
    lines = [f"a=rtpmap:{row.payload_type} {name}"]
    lines += [f"a=rtcp-fb:{row.payload_type} {feedback}" for feedback in row.feedback]
    parameters = ";".join(f"{key}={value}" for key, value in (*row.parameters, *extra))
    if parameters:
        lines.append(f"a=fmtp:{row.payload_type} {parameters}")
    if row.rtx_payload_type:
        lines.append(f"a=rtpmap:{row.rtx_payload_type} rtx/{row.clock_rate_hz}")
        lines.append(f"a=fmtp:{row.rtx_payload_type} apt={row.payload_type}")
    return lines


def payload_numbers(rows: Iterable[CodecRow]) -> list[int]:
    """Payload types for the m-line: each codec followed by its RTX."""
    return [number for row in rows for number in (row.payload_type, row.rtx_payload_type) if number]


def fragment(local: Local, mid: str, kind: str) -> Description:
    """The server's half of an ICE restart (RFC 8840 section 9, RFC 9725 section 4.3.3)."""
    lines = ["a=ice-lite", f"a=group:BUNDLE {mid}", f"m={kind} 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mid}"]
    lines += [f"a=ice-ufrag:{local.ufrag}", f"a=ice-pwd:{local.pwd}", *candidate_lines(local)]
    return join(lines)


def join(lines: Sequence[str]) -> Description:
    return Description(CRLF.join(lines) + CRLF)
