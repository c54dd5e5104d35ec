"""What a transfer syntax means for reading a file: byte order, VR, and how pixels are packed (PS3.5 A, PS3.6 A)."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.config import IGNORE
from pydicom.uid import UID

from bridge.imaging.errors import DicomError

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
_DEFLATED = frozenset((DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))
_WITHOUT_PIXELS = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (94, 95, 204, 205))
"""JPIP: the pixels are fetched from somewhere else, by who reads it."""
_VIDEO = tuple(f"1.2.840.10008.1.2.4.{number}" for number in range(100, 109))
_MARKED_END = "1.2.840.10008.1.2.4."
"""JPEG in all its kinds, whose frames end with FF D9."""


@dataclass(frozen=True, slots=True)
class Syntax:
    """How one file is to be read."""

    explicit: bool
    little: bool
    deflated: bool
    encapsulated: bool
    video: bool
    marked_end: bool


def syntax_of(uid: str) -> Syntax:
    """Raises DicomError for what is not a transfer syntax that can be kept."""
    if uid in (IMPLICIT_LITTLE, EXPLICIT_LITTLE, EXPLICIT_BIG, DEFLATED):
        return Syntax(uid != IMPLICIT_LITTLE, uid != EXPLICIT_BIG, uid == DEFLATED, False, False, False)
    if UID(uid, validation_mode=IGNORE).type != "Transfer Syntax":
        raise DicomError("The object has a transfer syntax that is not known here.", "wrongType")
    video = any(uid == name or uid.startswith(name + ".") for name in _VIDEO)
    return Syntax(
        explicit=True,
        little=True,
        deflated=uid in _DEFLATED,
        encapsulated=uid not in _WITHOUT_PIXELS,
        video=video,
        marked_end=uid.startswith(_MARKED_END) and not video,
    )
