"""Names and contacts of people, sealed for a row of a table (AES-256-GCM) and bound to it. Knows no tables."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PURPOSE = b"launch events"
"""What the key is made for, of the installation's secret that the vault keeps."""
_NONCE_BYTES = 12


class Sealer:
    """With one key; safe for use by several threads."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, text: str, row: str) -> bytes:
        """`row` is the id of where it will lie."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, text.encode("utf-8"), row.encode("utf-8"))

    def open(self, sealed: bytes, row: str) -> str:
        """Empty if it cannot be opened, as after the vault was lost: a list is still good without a name."""
        try:
            return self._aead.decrypt(
                sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], row.encode("utf-8")
            ).decode("utf-8")
        except (InvalidTag, ValueError):
            return ""
