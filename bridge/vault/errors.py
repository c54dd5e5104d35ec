"""What can go wrong with stored objects: one word for each trouble, and how disk errors are told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from bridge.errors import BridgeError


class Trouble(StrEnum):
    """Stable words, the same in errors, in reports and in what `bridge vault verify --json` prints."""

    DISK_FULL = "diskFull"
    READ_ONLY = "readOnly"
    IO = "io"
    NOT_FOUND = "notFound"
    EXISTS = "exists"
    KEY_MISSING = "keyMissing"
    """There is no wrapped key: it was shredded, or lost."""
    KEY_UNREADABLE = "keyUnreadable"
    """The wrapped key is damaged, or wrapped for somebody else."""
    KEY_FOREIGN = "keyForeign"
    """The wrapped key is another object's, or was not made by this server."""
    MISSING = "missing"
    FOREIGN = "foreign"
    """A part of another object or stream."""
    MOVED = "moved"
    """A part of this stream in another place than its own."""
    REPEATED = "repeated"
    ALTERED = "altered"
    CUT_SHORT = "cutShort"
    """Bytes were taken out of a part."""
    CUT = "cut"
    """The stream ends in the midst of a part, as after a crash."""
    EXTRA = "extra"
    """Bytes that belong to no part."""
    UNENDED = "unended"
    """The stream was not closed: it is being written, or its writer died."""
    UNSEALED = "unsealed"
    """There is no list of the object's streams: it is being written, or its writer died."""
    STREAM_MISSING = "streamMissing"
    STREAM_UNKNOWN = "streamUnknown"


DISK_TROUBLES = frozenset({Trouble.DISK_FULL, Trouble.READ_ONLY, Trouble.IO})
"""The disk's, and no harm to what is stored."""
_CODES = {
    Trouble.NOT_FOUND: "notFound",
    Trouble.KEY_MISSING: "notFound",
    Trouble.EXISTS: "conflict",
    Trouble.DISK_FULL: "storageFailed",
    Trouble.READ_ONLY: "storageFailed",
    Trouble.IO: "storageFailed",
}
"""On the wire; all else is damage."""
_DISK = {
    errno.ENOSPC: (Trouble.DISK_FULL, "The disk is full."),
    errno.EDQUOT: (Trouble.DISK_FULL, "The disk quota is used up."),
    errno.EFBIG: (Trouble.DISK_FULL, "The file has reached its largest size."),
    errno.EROFS: (Trouble.READ_ONLY, "The disk is read-only."),
    errno.EACCES: (Trouble.READ_ONLY, "The disk may not be written or read."),
    errno.EPERM: (Trouble.READ_ONLY, "The disk may not be written or read."),
}


class VaultError(BridgeError):
    """Why something cannot be stored or read; `trouble` says it in one word."""

    def __init__(self, trouble: Trouble, text: str) -> None:
        super().__init__(text, _CODES.get(trouble, "damaged"))
        self.trouble = trouble


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a stored object. `stream` and `part` are None where it is not about one."""

    trouble: Trouble
    stream: int | None
    part: int | None
    text: str


@contextmanager
def disk_errors() -> Iterator[None]:
    """Tells an OSError of the block as a VaultError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        trouble, text = _DISK.get(error.errno or 0, (Trouble.IO, f"The disk failed: {reason}."))
        raise VaultError(trouble, text) from error
