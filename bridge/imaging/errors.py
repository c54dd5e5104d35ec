"""Why a DICOM object is refused, in words for people that hold nothing of the object."""

from __future__ import annotations

from bridge.errors import BridgeError


class DicomError(BridgeError):
    """What came is no object that can be kept or shown.

    Code `damaged` for what contradicts itself, `wrongType` for what is not DICOM or of an unknown sort, `tooLarge` for
    what goes beyond a limit, `tooMany` where there is no room for it just now.
    """

    default_code = "damaged"


class NotOfClass(DicomError):
    """An object that is not the one its request named, or a query that is not of its model."""

    default_code = "wrongType"
