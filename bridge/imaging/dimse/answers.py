"""The answer to a C-STORE (PS3.7 9.3.1.2), for which every sender waits: pynetdicom takes half a millisecond for it.
Pure."""

from __future__ import annotations

import struct

_RESPONSE, _NO_DATASET = 0x8001, 0x0101


def store_answer(message_id: int, sop_class: str, sop_instance: str, status: int, comment: str = "") -> bytes:
    """The command set, in implicit little endian as all are."""
    elements = b"".join(
        (
            _text(0x0002, sop_class, b"\0"),
            _number(0x0100, _RESPONSE),
            _number(0x0120, message_id),
            _number(0x0800, _NO_DATASET),
            _number(0x0900, status),
            _text(0x0902, comment, b" ") if comment else b"",
            _text(0x1000, sop_instance, b"\0"),
        )
    )
    return struct.pack("<HHLL", 0, 0, 4, len(elements)) + elements


def _number(element: int, value: int) -> bytes:
    return struct.pack("<HHLH", 0, element, 2, value)


def _text(element: int, value: str, padding: bytes) -> bytes:
    raw = value.encode("ascii", "replace")
    raw += padding * (len(raw) % 2)
    return struct.pack("<HHL", 0, element, len(raw)) + raw
