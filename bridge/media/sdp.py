"""Reads session descriptions (RFC 8866) into plain values, bounded and checked; it knows nothing of what we answer.

Attributes follow RFC 8829 (JSEP), 8843 (BUNDLE), 8851/8853 (rid, simulcast), 8285 (extmap), 8839 (ICE), 8122
(fingerprint). aiortc's own parser is not used: it has no rid, simulcast or bundle-only, and asserts on what is hostile.
Everything that is echoed later is a checked token or a number here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from bridge.errors import LimitExceeded, ProtocolError

MAX_SDP_BYTES = 200 * 1024
MAX_LINES = 10_000
MAX_SECTIONS = 160
MAX_FORMATS = 120
MAX_SSRCS = 64
MAX_FINGERPRINTS = 8
MAX_RIDS = 16
MAX_FEEDBACK = 16

# One-byte header extensions (RFC 8285) carry at most 16 bytes, and mid and rid travel in them.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`{|}~0-9A-Za-z]{1,16}")
_RID = re.compile(r"[0-9A-Za-z_\-]{1,16}")
_ICE = re.compile(r"[0-9A-Za-z+/=_\-]{4,256}")
_FINGERPRINT = re.compile(r"(?:[0-9A-Fa-f]{2}:){19,63}[0-9A-Fa-f]{2}")
_MEDIA = re.compile(r"([a-z]{1,16}) ([0-9]{1,5})(?:/[0-9]{1,5})? ([A-Za-z/]{1,32})((?: [!-~]{1,32})+) ?")
_URI = re.compile(r"[!-~]{1,200}")
_NAME = re.compile(r"[0-9A-Za-z._\-]{1,32}")
# These may stand before the rtpmap that they speak of.
_DEFERRED = ("fmtp", "rtcp-fb")
_DIRECTIONS = ("sendrecv", "sendonly", "recvonly", "inactive")


@dataclass(slots=True)
class Format:
    """One payload type: its rtpmap, fmtp parameters (keys in lower case) and RTCP feedback."""

    payload_type: int
    name: str = ""
    clock_rate_hz: int = 0
    channels: int = 1
    parameters: dict[str, str] = field(default_factory=dict)
    feedback: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Ice:
    """Credentials (RFC 8839 section 5.4); None where absent."""

    ufrag: str | None = None
    pwd: str | None = None


@dataclass(slots=True)
class Section:
    """One media section. `formats` keeps the order of the m-line; `send_rids` the order of the simulcast attribute.

    `feedback` is what was said of all formats at once; each format has it too.
    """

    kind: str
    port: int
    protocol: str
    format_names: tuple[str, ...]
    formats: list[Format] = field(default_factory=list)
    by_number: dict[int, Format] = field(default_factory=dict)
    feedback: set[str] = field(default_factory=set)
    mid: str | None = None
    direction: str = "sendrecv"
    bundle_only: bool = False
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    extensions: dict[str, int] = field(default_factory=dict)
    extension_directions: dict[str, str] = field(default_factory=dict)
    send_rids: list[str] = field(default_factory=list)
    ssrcs: list[int] = field(default_factory=list)
    ssrc_groups: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    ice: Ice = field(default_factory=Ice)
    fingerprints: list[tuple[str, str]] = field(default_factory=list)
    setup: str | None = None

    @property
    def rejected(self) -> bool:
        """Port 0 means rejected, except in an offer's bundle-only section (RFC 8843 section 6)."""
        return self.port == 0 and not self.bundle_only


@dataclass(slots=True)
class Session:
    """A whole description. ICE, fingerprint and setup of the session level are already given to the sections."""

    sections: list[Section] = field(default_factory=list)
    bundle: tuple[str, ...] = ()
    ice_lite: bool = False


@dataclass(slots=True)
class Fragment:
    """What an ICE restart needs of a trickle-ice-sdpfrag (RFC 8840) or of a whole description."""

    ufrag: str | None = None
    pwd: str | None = None


def malformed(text: str) -> NoReturn:
    raise ProtocolError(f"The session description cannot be read: {text}.")


def parse(text: str, max_sections: int = MAX_SECTIONS) -> Session:
    """Raises ProtocolError (`malformed`) or LimitExceeded (`tooLarge`), nothing else, whatever the text is."""
    lines = _lines(text)
    if next(lines, "") != "v=0":
        malformed("it does not begin with v=0")
    session = Session()
    top = Section("", 0, "", ())
    current = top
    deferred: list[tuple[Section, str, str]] = []
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            if current is top:
                _session_attribute(session, name, value)
            if name in _DEFERRED:
                deferred.append((current, name, value))
            else:
                _attribute(current, name, value)
        elif line.startswith("m="):
            if len(session.sections) >= max_sections:
                raise LimitExceeded("The session description has too many sections.", "tooLarge")
            current = _section(line[2:])
            session.sections.append(current)
    for section, name, value in deferred:
        _format_attribute(section, name, value)
    for section in session.sections:
        _inherit(section, top)
    _check_mids(session)
    return session


def parse_fragment(text: str) -> Fragment:
    """The first credentials of a fragment or description; same errors as `parse`."""
    fragment = Fragment()
    for line in _lines(text):
        if line.startswith("a=ice-ufrag:") and fragment.ufrag is None:
            fragment.ufrag = _ice_value(line[12:])
        elif line.startswith("a=ice-pwd:") and fragment.pwd is None:
            fragment.pwd = _ice_value(line[10:])
    return fragment


def _lines(text: str) -> Iterator[str]:
    # A string of code points is at least as many bytes; the exact check follows only for what is near the limit.
    if len(text) > MAX_SDP_BYTES or len(text.encode("utf-8", "replace")) > MAX_SDP_BYTES:
        raise LimitExceeded("The session description is too large.", "tooLarge")
    lines = text.split("\n")
    if len(lines) > MAX_LINES:
        raise LimitExceeded("The session description has too many lines.", "tooLarge")
    for raw in lines:
        if line := raw.removesuffix("\r"):
            yield line


def _section(value: str) -> Section:
    match = _MEDIA.fullmatch(value)
    if match is None:
        malformed("a media line")
    names = tuple(match[4].split())
    port = int(match[2])
    if len(names) > MAX_FORMATS or port > 65535:
        malformed("a media line")
    section = Section(match[1], port, match[3], names)
    if section.kind in ("audio", "video"):
        section.formats = [Format(_number(name, 127)) for name in dict.fromkeys(names)]
        section.by_number = {known.payload_type: known for known in section.formats}
    return section


def _session_attribute(session: Session, name: str, value: str) -> None:
    if name == "ice-lite":
        session.ice_lite = True
    elif name == "group" and value.split(" ", 1)[0] == "BUNDLE" and not session.bundle:
        mids = tuple(value.split()[1:])
        if len(mids) > MAX_SECTIONS:
            malformed("a bundle group")
        session.bundle = mids


def _attribute(section: Section, name: str, value: str) -> None:
    if (reader := _READERS.get(name)) is not None:
        reader(section, value.strip())
    elif name in _DIRECTIONS:
        section.direction = name


def _read_mid(section: Section, value: str) -> None:
    if _TOKEN.fullmatch(value) is None:
        malformed("a mid")
    section.mid = value


def _read_rtpmap(section: Section, value: str) -> None:
    number, _, encoding = value.partition(" ")
    target = _format(section, number)
    if target is None:
        return
    name, _, rest = encoding.strip().partition("/")
    rate, _, channels = rest.partition("/")
    if _NAME.fullmatch(name) is None:
        malformed("an rtpmap")
    target.name = name.lower()
    target.clock_rate_hz = _number(rate, 1_000_000)
    target.channels = _number(channels, 255) if channels else 1


def _read_extmap(section: Section, value: str) -> None:
    parts = value.split()
    if len(parts) < 2 or _URI.fullmatch(parts[1]) is None:
        malformed("an extmap")
    number, _, direction = parts[0].partition("/")
    section.extensions.setdefault(parts[1], _number(number, 4351))
    if direction in _DIRECTIONS:
        section.extension_directions.setdefault(parts[1], direction)
    if len(section.extensions) > 64:
        malformed("too many extensions")


def _read_ssrc(section: Section, value: str) -> None:
    ssrc = _number(value.split(" ", 1)[0], 0xFFFFFFFF)
    if ssrc not in section.ssrcs:
        section.ssrcs.append(ssrc)
    if len(section.ssrcs) > MAX_SSRCS:
        malformed("too many sources")


def _read_ssrc_group(section: Section, value: str) -> None:
    semantics, *members = value.split()[: MAX_SSRCS + 2] or ["", ""]
    if len(members) > MAX_SSRCS or len(section.ssrc_groups) >= MAX_SSRCS:
        malformed("too many sources")
    section.ssrc_groups.append((semantics, tuple(_number(member, 0xFFFFFFFF) for member in members)))


def _read_fingerprint(section: Section, value: str) -> None:
    algorithm, _, digest = value.partition(" ")
    digest = digest.strip()
    if _NAME.fullmatch(algorithm) is None or _FINGERPRINT.fullmatch(digest) is None:
        malformed("a fingerprint")
    if len(section.fingerprints) >= MAX_FINGERPRINTS:
        malformed("too many fingerprints")
    section.fingerprints.append((algorithm.lower(), digest.upper()))


def _read_setup(section: Section, value: str) -> None:
    if value not in ("active", "passive", "actpass", "holdconn"):
        malformed("a setup")
    section.setup = value


def _read_ufrag(section: Section, value: str) -> None:
    section.ice.ufrag = _ice_value(value)


def _read_pwd(section: Section, value: str) -> None:
    section.ice.pwd = _ice_value(value)


def _read_rtcp_mux(section: Section, value: str) -> None:
    section.rtcp_mux = True


def _read_rtcp_rsize(section: Section, value: str) -> None:
    section.rtcp_rsize = True


def _read_bundle_only(section: Section, value: str) -> None:
    section.bundle_only = True


def _format_attribute(section: Section, name: str, value: str) -> None:
    number, _, rest = value.strip().partition(" ")
    if name == "rtcp-fb":
        # What is said of all formats is kept once: thousands of such lines over 120 formats would hold up the loop.
        target = section if number == "*" else _format(section, number)
        if target is not None and len(target.feedback) < MAX_FEEDBACK:
            target.feedback.add(" ".join(rest.split())[:64])
        return
    target = _format(section, number)
    if target is not None:
        for part in rest.split(";")[:64]:
            key, _, text = part.strip().partition("=")
            target.parameters.setdefault(key.lower(), text.strip())


def _format(section: Section, number: str) -> Format | None:
    if section.kind not in ("audio", "video"):
        return None
    return section.by_number.get(_number(number, 127))


def _inherit(section: Section, top: Section) -> None:
    """Gives a section what was said for all, and its formats what was said for all of them."""
    section.ice = Ice(section.ice.ufrag or top.ice.ufrag, section.ice.pwd or top.ice.pwd)
    section.fingerprints = section.fingerprints or list(top.fingerprints)
    section.setup = section.setup or top.setup
    for known in section.formats:
        known.feedback |= section.feedback


def _read_simulcast(section: Section, value: str) -> None:
    words = value.split()
    if len(words) not in (2, 4) or any(word not in ("send", "recv") for word in words[::2]):
        malformed("a simulcast attribute")
    for direction, streams in zip(words[::2], words[1::2], strict=True):
        if direction == "send":
            section.send_rids = _rids(streams)


def _rids(streams: str) -> list[str]:
    """Alternatives of one stream ("a,b") are reduced to the first; "~" only says that it starts paused."""
    rids = [stream.split(",", 1)[0].removeprefix("~") for stream in streams.split(";", MAX_RIDS)]
    if (
        len(rids) > MAX_RIDS
        or any(_RID.fullmatch(rid) is None for rid in rids)
        or len(set(rids)) != len(rids)
    ):
        malformed("a simulcast attribute")
    return rids


def _check_mids(session: Session) -> None:
    mids = [section.mid for section in session.sections if section.mid is not None]
    if len(set(mids)) != len(mids):
        malformed("a mid that stands twice")


def _ice_value(value: str) -> str:
    value = value.strip()
    if _ICE.fullmatch(value) is None:
        malformed("ICE credentials")
    return value


def _number(text: str, largest: int) -> int:
    # isdecimal alone takes digits of other scripts; the length bounds what int() has to read.
    if len(text) <= 10 and text.isascii() and text.isdecimal():
        number = int(text)
        if number <= largest:
            return number
    malformed("a number")


_READERS = {
    "mid": _read_mid,
    "rtpmap": _read_rtpmap,
    "extmap": _read_extmap,
    "ssrc": _read_ssrc,
    "ssrc-group": _read_ssrc_group,
    "fingerprint": _read_fingerprint,
    "setup": _read_setup,
    "ice-ufrag": _read_ufrag,
    "ice-pwd": _read_pwd,
    "rtcp-mux": _read_rtcp_mux,
    "rtcp-rsize": _read_rtcp_rsize,
    "bundle-only": _read_bundle_only,
    "simulcast": _read_simulcast,
}
