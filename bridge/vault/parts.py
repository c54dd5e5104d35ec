"""The bytes of one sealed part, and the names of what it belongs to; `docs/recording-format.md` is the specification.

A part is a header in the clear, a sealed note and a sealed body. Both seals (AES-256-GCM, NIST SP 800-38D) cover the
header, so a part fits only its own object, stream and number. Nothing here touches a disk.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ObjectId = NewType("ObjectId", str)
Bytes = bytes | bytearray | memoryview

MAGIC = b"BrdgPrt1"
"""Eight bytes, so that the next part can be found behind damage and never by chance."""
SALT = b"bridge-vault-1"
DATA_KEY_BYTES = 32
TAG_BYTES = 16
NONCE_BYTES = 12
NOTE_LIMIT_BYTES = 1024
BODY_LIMIT_BYTES = 64 * 1024 * 1024
"""More than a part of any track; it bounds what a hostile file can make a reader hold."""
NUMBER_LIMIT = 2**32 - 1
"""Nonces are random, which is safe for this many parts of one stream's key."""

END = 1
"""Flag: the last part of its stream, without content."""
FIXED = 2
"""Flag: every part of the stream but the last two has a body of the same size, and no part has a note."""

_HEADER = struct.Struct(">8s B16sI BHII 12s")
_OWNER = struct.Struct(">B16sI")
_OWNER_AT = slice(8, 8 + _OWNER.size)
HEADER_BYTES = _HEADER.size
OVERHEAD_BYTES = HEADER_BYTES + 2 * TAG_BYTES
_ID = re.compile(r"[a-z2-7]{16}")


class ObjectKind(StrEnum):
    """What a stored object is."""

    RECORDING = "recording"
    STUDY = "study"
    DOCUMENT = "document"
    DERIVED = "derived"
    """No object for itself: what can be made anew from a study, of the same id and sealed by the study's data key."""


STORED_KINDS = (ObjectKind.RECORDING, ObjectKind.STUDY, ObjectKind.DOCUMENT)
"""Those that have a key of their own."""
_KIND_CODES = {
    ObjectKind.RECORDING: 1,
    ObjectKind.STUDY: 2,
    ObjectKind.DOCUMENT: 3,
    ObjectKind.DERIVED: 4,
}


@dataclass(frozen=True, slots=True, order=True)
class ObjectRef:
    """The name of an object: a kind and an opaque id, as `bridge.ids.new_id` makes them."""

    kind: ObjectKind
    id: ObjectId

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ValueError("an object's id has sixteen of the characters a-z and 2-7")

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}"


def parse_ref(text: str) -> ObjectRef:
    """The object named `kind/id`. Raises ValueError."""
    kind, _, id = text.partition("/")
    return ObjectRef(ObjectKind(kind), ObjectId(id))


@dataclass(frozen=True, slots=True)
class Header:
    """The clear beginning of a part, not to be believed before its note was opened."""

    raw: bytes
    owner: bytes
    flags: int
    note_bytes: int
    number: int
    body_bytes: int
    nonce: bytes

    @property
    def stream(self) -> int:
        stream: int = _OWNER.unpack(self.owner)[2]
        return stream

    @property
    def body_offset(self) -> int:
        """Where the sealed body begins, from the beginning of the part."""
        return HEADER_BYTES + self.note_bytes + TAG_BYTES

    @property
    def frame_bytes(self) -> int:
        """The length of the whole part on disk."""
        return OVERHEAD_BYTES + self.note_bytes + self.body_bytes


def parse_header(raw: bytes) -> Header | None:
    """The header that these bytes begin with, if they can be one at all."""
    if len(raw) < HEADER_BYTES or not raw.startswith(MAGIC):
        return None
    raw = raw[:HEADER_BYTES]
    _, _, _, _, flags, note_bytes, number, body_bytes, nonce = _HEADER.unpack(raw)
    if note_bytes > NOTE_LIMIT_BYTES or body_bytes > BODY_LIMIT_BYTES:
        return None
    return Header(raw, raw[_OWNER_AT], flags, note_bytes, number, body_bytes, nonce)


class StreamKeys:
    """Seals and opens the parts of one stream of one object."""

    def __init__(self, data_key: bytes, ref: ObjectRef, stream: int) -> None:
        if len(data_key) != DATA_KEY_BYTES:
            raise ValueError("a data key has 32 bytes")
        self.stream = stream
        self.owner = _OWNER.pack(_KIND_CODES[ref.kind], ref.id.encode("ascii"), stream)
        derived = HKDF(SHA256(), 2 * DATA_KEY_BYTES, SALT, self.owner).derive(data_key)
        self._note = AESGCM(derived[:DATA_KEY_BYTES])
        self._body = AESGCM(derived[DATA_KEY_BYTES:])

    def seal(self, number: int, flags: int, note: Bytes, body: Bytes) -> tuple[bytes, bytes, bytes]:
        """The three pieces of a part as they follow each other on disk. Raises ValueError for what is too large."""
        if len(note) > NOTE_LIMIT_BYTES or len(body) > BODY_LIMIT_BYTES or number > NUMBER_LIMIT:
            raise ValueError("too large for a part")
        # Random, so that a part that is written again after a failure, or by another process, never meets an old nonce.
        nonce = os.urandom(NONCE_BYTES)
        fields = _OWNER.unpack(self.owner)
        header = _HEADER.pack(MAGIC, *fields, flags, len(note), number, len(body), nonce)
        return header, self._note.encrypt(nonce, note, header), self._body.encrypt(nonce, body, header)

    def open_note(self, header: Header, sealed: Bytes) -> bytes | None:
        """The note, which proves the header; None if it is not what was sealed for this stream."""
        try:
            return self._note.decrypt(header.nonce, sealed, header.raw)
        except InvalidTag:
            return None

    def open_body(self, header: Header, sealed: Bytes) -> bytes | None:
        """The body; None if it is not what was sealed for this stream."""
        try:
            return self._body.decrypt(header.nonce, sealed, header.raw)
        except InvalidTag:
            return None
