"""The beginning of a Part 10 file, for datasets that come without one, as by C-STORE (PS3.10 section 7.1). Pure."""

from __future__ import annotations

import struct

IMPLEMENTATION_CLASS = "2.25.204961847313029387625140379813545721611"
"""Of this program; made once from a random UUID (PS3.5 B.2)."""
IMPLEMENTATION_VERSION = "BRIDGE"
_PREAMBLE = bytes(128) + b"DICM"


def file_meta(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Everything before the dataset. The same for the same object, whoever sent it. Raises ValueError for what is no
    UID at all."""
    elements = b"".join(
        (
            _element(0x0001, b"OB", b"\0\1"),
            _element(0x0002, b"UI", _uid(sop_class)),
            _element(0x0003, b"UI", _uid(sop_instance)),
            _element(0x0010, b"UI", _uid(transfer_syntax)),
            _element(0x0012, b"UI", _uid(IMPLEMENTATION_CLASS)),
            _element(0x0013, b"SH", IMPLEMENTATION_VERSION.encode("ascii")),
        )
    )
    return _PREAMBLE + _element(0x0000, b"UL", struct.pack("<L", len(elements))) + elements


def _element(number: int, vr: bytes, value: bytes) -> bytes:
    if vr == b"OB":
        return struct.pack("<HH2sHL", 2, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", 2, number, vr, len(value)) + value


def _uid(uid: str) -> bytes:
    raw = uid.encode("ascii")
    if not 0 < len(raw) <= 64:
        raise ValueError("a UID has at most 64 characters")
    return raw + b"\0" * (len(raw) % 2)
