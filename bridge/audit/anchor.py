"""Where the audit ended when it was last written, kept beside it so that a missing end is noticed.

Two slots in one file are written in turns: a write that a crash breaks off spoils only one of them.
"""

from __future__ import annotations

import hmac
import json
import os
from dataclasses import dataclass
from pathlib import Path

from bridge.audit.lines import seal
from bridge.durable import PRIVATE_MODE

HEAD_FILE = "head"
_SLOT_BYTES = 512


@dataclass(frozen=True, slots=True, order=True)
class Anchor:
    """The number of a line and its hash."""

    n: int
    hash: str

    def __str__(self) -> str:
        return f"{self.n}:{self.hash}"


def parse_anchor(text: str) -> Anchor:
    """What `str(anchor)` gives. Raises ValueError."""
    n, _, hash = text.partition(":")
    if len(bytes.fromhex(hash)) != 32 or not n.isdecimal():
        raise ValueError("no anchor")
    return Anchor(int(n), hash.lower())


def read_head(folder: Path, key: bytes) -> Anchor | None:
    """The later of the slots that are whole; None if there is none. Raises OSError."""
    try:
        content = (folder / HEAD_FILE).read_bytes()[: 2 * _SLOT_BYTES]
    except FileNotFoundError:
        return None
    slots = [_read_slot(content[at : at + _SLOT_BYTES], key) for at in (0, _SLOT_BYTES)]
    return max((slot for slot in slots if slot is not None), default=None)


def write_head(folder: Path, key: bytes, head: Anchor) -> None:
    """Raises OSError. Not synced: a head that lags behind the lines after a crash is right all the same."""
    body = str(head)
    slot = json.dumps({"head": body, "seal": seal(key, b"head " + body.encode("ascii"))}).encode("ascii")
    file = os.open(folder / HEAD_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        os.pwrite(file, slot.ljust(_SLOT_BYTES - 1) + b"\n", head.n % 2 * _SLOT_BYTES)
    finally:
        os.close(file)


def _read_slot(slot: bytes, key: bytes) -> Anchor | None:
    try:
        content = json.loads(slot)
        body = content["head"].encode("ascii")
        if not hmac.compare_digest(content["seal"], seal(key, b"head " + body)):
            return None
        return parse_anchor(content["head"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
