"""Text of a dataset as Unicode, by its SpecificCharacterSet in all its forms (PS3.3 C.12.1.1.2, PS3.5 6.1).

A value is decoded as a whole and split afterwards: in many character sets the second byte of a letter looks like a
separator. Pure.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from pydicom.charset import convert_encodings, decode_bytes, python_encoding

_PERSON_DELIMITERS = {ord(sign) for sign in "\\^="}
_TEXT_DELIMITERS = {ord(sign) for sign in "\\\r\n\t\f"}
_ESCAPE = 0x1B
_DEFAULT = "iso8859"
_CODE_PAGES = ("cp125", "windows-125", "windows_125", "koi8")
"""Not of the standard, but written by devices; of all else that Python knows, some is dangerous to decode."""


class Alphabet:
    """Decodes the text of one dataset."""

    def __init__(self, names: Sequence[str] = ()) -> None:
        """`names` are the values of SpecificCharacterSet; none for the default repertoire."""
        self._is_told = any(names)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = convert_encodings(list(names))
            except (LookupError, ValueError):
                found = [_DEFAULT]
        self._encodings = [name if _is_safe(name) else _DEFAULT for name in found]

    def text(self, value: bytes, *, person: bool = False) -> str:
        """Never raises: what cannot be read becomes U+FFFD."""
        if value.isascii() and _ESCAPE not in value:
            return value.decode("ascii")
        if not self._is_told:
            # By the letter it is an error. In truth it is UTF-8, or one of many code pages that nobody can guess.
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                return value.decode("latin-1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return decode_bytes(
                    value, self._encodings, _PERSON_DELIMITERS if person else _TEXT_DELIMITERS
                )
            except (LookupError, ValueError):
                return value.decode("ascii", "replace")


def _is_safe(encoding: str) -> bool:
    return encoding in python_encoding.values() or encoding.lower().startswith(_CODE_PAGES)
