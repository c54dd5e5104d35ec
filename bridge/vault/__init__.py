"""Encryption at rest for everything that is stored: `docs/recording-format.md` says how, byte by byte."""

from bridge.vault.errors import DISK_TROUBLES, Finding, Trouble, VaultError
from bridge.vault.keys import Keyring, read_identities
from bridge.vault.objects import ObjectReader, ObjectWriter, StreamSummary
from bridge.vault.parts import (
    BODY_LIMIT_BYTES,
    NOTE_LIMIT_BYTES,
    ObjectId,
    ObjectKind,
    ObjectRef,
    parse_ref,
)
from bridge.vault.reading import BlobReader, StreamReader
from bridge.vault.scan import Part
from bridge.vault.vault import Rotated, Vault
from bridge.vault.writing import BlobWriter, StreamWriter

__all__ = [
    "BODY_LIMIT_BYTES",
    "DISK_TROUBLES",
    "NOTE_LIMIT_BYTES",
    "BlobReader",
    "BlobWriter",
    "Finding",
    "Keyring",
    "ObjectId",
    "ObjectKind",
    "ObjectReader",
    "ObjectRef",
    "ObjectWriter",
    "Part",
    "Rotated",
    "StreamReader",
    "StreamSummary",
    "StreamWriter",
    "Trouble",
    "Vault",
    "VaultError",
    "parse_ref",
    "read_identities",
]
