"""Finds the sections of a description that can live on one transport, and what of them must agree; pure.

RFC 8843 (BUNDLE): one ICE and DTLS transport a peer, one table of payload types and one of header extensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bridge.errors import MediaError
from bridge.media.contract import Kind, Mid
from bridge.media.sdp import Section, Session, malformed
from bridge.media.sdp_codecs import EXTENSIONS, RID_URI, CodecRow, usable_codecs, usable_extensions

MAX_LAYERS = 8

_PROTOCOLS = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "RTP/SAVPF"})


@dataclass(frozen=True, slots=True)
class Remote:
    """The other side's transport: who it is (RFC 8122) and its ICE session."""

    ufrag: str
    fingerprints: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One layer as the relay finds it: by rid, by SSRC, or (both None) by the mid."""

    rid: str | None = None
    ssrc: int | None = None
    rtx_ssrc: int | None = None


@dataclass(frozen=True, slots=True)
class Usable:
    """An offered section that can live on the bundled transport."""

    section: Section
    mid: Mid
    kind: Kind
    codecs: tuple[CodecRow, ...]
    extensions: Mapping[str, int]


def usable_sections(session: Session) -> dict[str, Usable]:
    usable: dict[str, Usable] = {}
    bundled = set(session.bundle)
    for section in session.sections:
        if section.rejected or section.protocol not in _PROTOCOLS or not section.rtcp_mux:
            continue
        if section.mid is None:
            malformed("a section without a mid")
        # One transport only: without a bundle that is the first section's.
        if section.mid not in bundled and (bundled or usable):
            continue
        kind: Kind | None = (
            "audio" if section.kind == "audio" else "video" if section.kind == "video" else None
        )
        codecs = usable_codecs(section, kind) if kind else []
        if kind and codecs:
            extensions = usable_extensions(section, kind)
            usable[section.mid] = Usable(section, Mid(section.mid), kind, tuple(codecs), extensions)
    return usable


def layers(entry: Usable) -> tuple[LayerRow, ...]:
    section = entry.section
    rids = section.send_rids
    if len(rids) > MAX_LAYERS:
        malformed("too many simulcast layers")
    if rids and entry.kind == "video":
        if RID_URI not in entry.extensions:
            raise MediaError("Simulcast needs the header extension of the stream id.")
        return tuple(LayerRow(rid=rid) for rid in _lowest_first(rids))
    repairs = {group[0]: group[1] for name, group in section.ssrc_groups if name == "FID" and len(group) == 2}
    for name, group in section.ssrc_groups:
        if name == "SIM" and 1 < len(group) <= MAX_LAYERS:
            return tuple(LayerRow(ssrc=ssrc, rtx_ssrc=repairs.get(ssrc)) for ssrc in group)
    if not section.ssrcs:
        return (LayerRow(),)
    ssrc = next((first for first in repairs if first in section.ssrcs), section.ssrcs[0])
    return (LayerRow(ssrc=ssrc, rtx_ssrc=repairs.get(ssrc)),)


def _lowest_first(rids: Sequence[str]) -> list[str]:
    """Our clients name layers l, m, h and many others q, h, f; any other names are taken in the order of the offer."""
    for order in ("lmh", "qhf"):
        if all(rid in order for rid in rids):
            return sorted(rids, key=order.index)
    return list(rids)


def remote_of(session: Session) -> Remote:
    """Transport parameters of a description's live sections. Raises ProtocolError where they are missing."""
    return remote_of_sections([section for section in session.sections if not section.rejected])


def tagged(usable: Mapping[str, Usable]) -> tuple[Mid, Kind]:
    first = next(iter(usable.values()))
    return first.mid, first.kind


def remote_of_usable(usable: Iterable[Usable]) -> Remote:
    return remote_of_sections([entry.section for entry in usable])


def remote_of_sections(sections: Sequence[Section]) -> Remote:
    # Bundled sections may leave out what the first says (RFC 8843 section 7.1.3).
    owner = next((section for section in sections if section.ice.ufrag and section.ice.pwd), None)
    if owner is None or owner.ice.ufrag is None:
        malformed("no ICE credentials")
    fingerprints = next((section.fingerprints for section in sections if section.fingerprints), None)
    if not fingerprints:
        malformed("no fingerprint")
    if owner.setup in ("passive", "holdconn"):
        raise MediaError("The server is the passive side of DTLS: the offer must be actpass or active.")
    return Remote(owner.ice.ufrag, tuple(fingerprints))


def extension_names(usable: Iterable[Usable]) -> dict[str, int]:
    """One table for the transport: an id means the same in every bundled section (RFC 8843 section 9.2)."""
    names: dict[str, int] = {}
    for entry in usable:
        for uri, number in entry.extensions.items():
            if names.setdefault(EXTENSIONS[uri], number) != number:
                malformed("an extension with two ids")
    if len(set(names.values())) != len(names):
        malformed("an extension id with two meanings")
    return names


def unique_codecs(rows: Iterable[CodecRow]) -> tuple[CodecRow, ...]:
    """One table for the transport: a payload type means the same in every bundled section (RFC 8843 section 9.1)."""
    table: dict[int, CodecRow] = {}
    taken: dict[int, tuple[str, int]] = {}
    for row in rows:
        meaning = (row.codec, row.payload_type)
        table.setdefault(row.payload_type, row)
        for number in (row.payload_type, row.rtx_payload_type):
            if number and taken.setdefault(number, meaning) != meaning:
                malformed("a payload type with two meanings")
    return tuple(table.values())
