"""Which status of DICOM an error is, the same over the network and the web (PS3.4 B.2.3 and C.4, PS3.7 C). Pure."""

from __future__ import annotations

from bridge.errors import BridgeError, Conflict, LimitExceeded, NotAuthorised
from bridge.imaging.errors import NotOfClass

PROCESSING_FAILED = 0x0110
DUPLICATE = 0x0111
NO_SUCH_OBJECT, OTHER_CLASS = 0x0112, 0x0119
"""Why an object is not said to be kept (PS3.3 C.14.1.1)."""
NOT_AUTHORISED = 0x0124
NO_RESOURCES = 0xA700
"""The only one that asks the sender to try again; what is too large will be so tomorrow too."""
NO_MATCH_OF_CLASS = 0xA900
NOT_UNDERSTOOD = 0xC000
_LATER = frozenset({"storageFailed", "tooMany", "shuttingDown"})


def status_of(error: BaseException) -> int:
    """Of an error that ended a request, or kept an object out."""
    if isinstance(error, NotOfClass):
        return NO_MATCH_OF_CLASS
    if isinstance(error, Conflict):
        return DUPLICATE
    if isinstance(error, NotAuthorised):
        return NOT_AUTHORISED
    if isinstance(error, LimitExceeded | OSError) or (
        isinstance(error, BridgeError) and error.code in _LATER
    ):
        return NO_RESOURCES
    if isinstance(error, BridgeError | ValueError) and getattr(error, "code", "") != "internal":
        return NOT_UNDERSTOOD
    return PROCESSING_FAILED
