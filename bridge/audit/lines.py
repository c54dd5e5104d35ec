"""One line of the audit: JSON that holds the hash of the line before it and a seal by the audit's key. No I/O."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge.audit.events import CODINGS, Entry, Event, Outcome

LINE_LIMIT_BYTES = 4096
FIRST_PREV = "0" * 64
"""What the very first line has in the place of a hash."""
_SEAL_BEGINS = b',"seal":"'


@dataclass(frozen=True, slots=True)
class Line:
    """A line that is what it was when it was written."""

    n: int
    prev: str
    hash: str
    """SHA-256 of the whole line without its line feed."""
    content: dict[str, Any]


def write_line(key: bytes, n: int, prev: str, at_ms: int, entry: Entry) -> bytes:
    """The line without its line feed."""
    coding = CODINGS[entry.event]
    content = {
        "n": n,
        "at": datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds"),
        "event": entry.event.value,
        "code": coding.code,
        "subtype": coding.subtype,
        "action": coding.action,
        "lifecycle": coding.lifecycle,
        "outcome": int(entry.outcome),
        "who": entry.who,
        "on": entry.on,
        "detail": dict(entry.detail),
        "prev": prev,
    }
    body = json.dumps(content, separators=(",", ":")).encode("ascii")[:-1]
    return body + _SEAL_BEGINS + seal(key, body).encode("ascii") + b'"}'


def read_line(key: bytes, raw: bytes) -> Line | None:
    """The line, if its seal is right."""
    body, found, rest = raw.rpartition(_SEAL_BEGINS)
    expected = seal(key, body).encode("ascii") + b'"}'
    if not found or not hmac.compare_digest(rest, expected):
        return None
    content = json.loads(raw)
    return Line(content["n"], content["prev"], hash_line(raw), content)


def read_entry(content: dict[str, Any]) -> Entry:
    """The entry that a line was written for. Raises ValueError for one of a later version of this program."""
    return Entry(
        Event(content["event"]),
        content["who"],
        content["on"],
        Outcome(content["outcome"]),
        content["detail"],
    )


def hash_line(raw: bytes) -> str:
    """What the next line has as `prev`."""
    return hashlib.sha256(raw).hexdigest()


def seal(key: bytes, content: bytes) -> str:
    """HMAC-SHA-256: nobody without the key can write a line."""
    return hmac.new(key, content, hashlib.sha256).hexdigest()
