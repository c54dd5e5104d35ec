"""Which codecs and header extensions Bridge takes, and how they are found in a media section; pure.

Opus (RFC 7587), VP8 (RFC 7741), VP9 profile 0 (RFC 9628), H.264 packetization mode 1 (RFC 6184), AV1 (AOM RTP
specification), each with RTX (RFC 4588). The relay forwards without decoding: what is taken is what browsers decode.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiortc.sdp import H264Profile, parse_h264_profile_level_id

from bridge.media.contract import Kind
from bridge.media.sdp import Format, Section, malformed

CodecName = Literal["opus", "vp8", "vp9", "h264", "av1"]

# RFC 8834 section 7: dynamic payload types; 64 to 95 would be taken for RTCP (RFC 5761 section 4).
USABLE_PAYLOAD_TYPES = (*range(35, 64), *range(96, 128))

VIDEO_FEEDBACK = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
AUDIO_FEEDBACK = ("transport-cc",)

MID_URI = "urn:ietf:params:rtp-hdrext:sdes:mid"
RID_URI = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
REPAIRED_RID_URI = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
AUDIO_LEVEL_URI = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"
ABS_SEND_TIME_URI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
TRANSPORT_WIDE_CC_URI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
VIDEO_ORIENTATION_URI = "urn:3gpp:video-orientation"
PLAYOUT_DELAY_URI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

# Names as in the relay's table of extension ids.
EXTENSIONS: Mapping[str, str] = {
    MID_URI: "mid",
    RID_URI: "rid",
    REPAIRED_RID_URI: "repaired_rid",
    AUDIO_LEVEL_URI: "audio_level",
    ABS_SEND_TIME_URI: "abs_send_time",
    TRANSPORT_WIDE_CC_URI: "transport_wide_cc",
    VIDEO_ORIENTATION_URI: "video_orientation",
    PLAYOUT_DELAY_URI: "playout_delay",
}
_ONLY_VIDEO = frozenset({RID_URI, REPAIRED_RID_URI, VIDEO_ORIENTATION_URI, PLAYOUT_DELAY_URI})

# H.264 is told apart by profile, because a receiver may decode one and not another: profile_idc of each.
H264_PROFILES: Mapping[H264Profile, str] = {
    H264Profile.PROFILE_CONSTRAINED_BASELINE: "42e01f",
    H264Profile.PROFILE_BASELINE: "42e01f",
    H264Profile.PROFILE_MAIN: "4d001f",
    H264Profile.PROFILE_CONSTRAINED_HIGH: "640c1f",
    H264Profile.PROFILE_HIGH: "64001f",
}
BASELINE = "42e01f"


@dataclass(frozen=True, slots=True)
class CodecRow:
    """One usable codec of a section. `h264_profile` is a representative profile-level-id, "" for other codecs."""

    payload_type: int
    codec: CodecName
    clock_rate_hz: int
    rtx_payload_type: int
    parameters: tuple[tuple[str, str], ...]
    feedback: tuple[str, ...]
    h264_profile: str = ""


def usable_codecs(section: Section, kind: Kind) -> list[CodecRow]:
    """The section's codecs that Bridge takes, in the order of its m-line."""
    rtx = _rtx_table(section)
    rows = (_row(known, kind, rtx) for known in section.formats)
    return [row for row in rows if row is not None]


def usable_extensions(section: Section, kind: Kind) -> dict[str, int]:
    """Offered extensions that Bridge takes, by URI. Ids over 14 need two-byte headers, which are not spoken here."""
    if len(set(section.extensions.values())) != len(section.extensions):
        malformed("an extension id that stands twice")
    return {
        uri: number
        for uri, number in section.extensions.items()
        if uri in EXTENSIONS
        and 1 <= number <= 14
        and not (kind == "audio" and uri in _ONLY_VIDEO)
        and not (kind == "video" and uri == AUDIO_LEVEL_URI)
        and section.extension_directions.get(uri, "sendrecv") in ("sendrecv", section.direction)
    }


def _rtx_table(section: Section) -> dict[int, int]:
    table: dict[int, int] = {}
    for known in section.formats:
        apt = known.parameters.get("apt", "")
        if known.name == "rtx" and apt.isascii() and apt.isdecimal() and len(apt) <= 3:
            table.setdefault(int(apt), known.payload_type)
    return table


def _row(known: Format, kind: Kind, rtx: Mapping[int, int]) -> CodecRow | None:
    if known.payload_type not in USABLE_PAYLOAD_TYPES:
        return None
    if kind == "audio":
        if (known.name, known.clock_rate_hz, known.channels) != ("opus", 48_000, 2):
            return None
        feedback = tuple(item for item in AUDIO_FEEDBACK if item in known.feedback)
        return CodecRow(known.payload_type, "opus", 48_000, 0, (), feedback)
    checked = _video_parameters(known)
    if checked is None or known.clock_rate_hz != 90_000:
        return None
    codec, parameters, profile = checked
    repair = rtx.get(known.payload_type, 0)
    if repair not in USABLE_PAYLOAD_TYPES:
        repair = 0
    feedback = tuple(item for item in VIDEO_FEEDBACK if item in known.feedback)
    return CodecRow(known.payload_type, codec, 90_000, repair, parameters, feedback, profile)


def _video_parameters(known: Format) -> tuple[CodecName, tuple[tuple[str, str], ...], str] | None:
    """The codec, what the answer says of it, and the H.264 profile; None where Bridge does not take it."""
    if known.name == "vp8":
        return "vp8", (), ""
    if known.name == "vp9" and known.parameters.get("profile-id", "0") == "0":
        return "vp9", (("profile-id", "0"),), ""
    if known.name == "av1" and known.parameters.get("profile", "0") == "0":
        return "av1", (), ""
    if known.name == "h264" and known.parameters.get("packetization-mode", "0") == "1":
        return _h264(known.parameters.get("profile-level-id", "42e01f"))
    return None


def _h264(profile_level_id: str) -> tuple[CodecName, tuple[tuple[str, str], ...], str] | None:
    try:
        profile, _ = parse_h264_profile_level_id(profile_level_id)
    except ValueError:
        return None
    if profile not in H264_PROFILES or len(profile_level_id) != 6:
        return None
    # Level asymmetry: each side says what it can receive, and the relay receives anything.
    parameters = (
        ("level-asymmetry-allowed", "1"),
        ("packetization-mode", "1"),
        ("profile-level-id", profile_level_id.lower()),
    )
    return "h264", parameters, H264_PROFILES[profile]
