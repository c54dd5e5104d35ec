"""Every error that a person or a client is told of: a stable code, a human text, and how it looks on the wire.

`docs/protocol.md` lists the codes; a test holds both together. What is not a `BridgeError` is told as `internal`
and nothing more: `public_error` is the one place that decides.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wire:
    """How a code looks outside: HTTP status, and WebSocket close code (None: never ends a connection)."""

    http: int
    close: int | None


CODES: dict[str, Wire] = {
    "malformed": Wire(400, 4400),
    "unsupported": Wire(406, 4406),
    "notAuthorised": Wire(401, 4401),
    "tokenExpired": Wire(401, 4402),
    "inviteRevoked": Wire(401, 4403),
    "notAllowed": Wire(403, None),
    "notFound": Wire(404, 4404),
    "joinTimeout": Wire(408, 4408),
    "joinedElsewhere": Wire(409, 4409),
    "conflict": Wire(409, None),
    "sessionEnded": Wire(410, 4410),
    "removed": Wire(403, 4411),
    "resumeFailed": Wire(410, None),
    "tooLarge": Wire(413, 4413),
    "wrongType": Wire(415, None),
    "damaged": Wire(422, None),
    "storageFailed": Wire(507, None),
    "preconditionRequired": Wire(428, None),
    "preconditionFailed": Wire(412, None),
    "tooMany": Wire(429, 4429),
    "sessionFull": Wire(503, 4453),
    "sessionLocked": Wire(503, 4454),
    "serverBusy": Wire(503, 4455),
    "shuttingDown": Wire(503, 4503),
    "internal": Wire(500, 4500),
}


class BridgeError(Exception):
    """An error with a stable code. The text is for people and holds nothing of a patient, token or address."""

    default_code = "internal"

    def __init__(self, text: str, code: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.code = code if code is not None else self.default_code
        if self.code not in CODES:
            raise ValueError(f"unknown error code {self.code!r}")


class ProtocolError(BridgeError):
    """The other side said something that is not in the protocol."""

    default_code = "malformed"


class NotAuthorised(BridgeError):
    """No valid token for this, or a role that may not do it (code `notAllowed`)."""

    default_code = "notAuthorised"


class NotFound(BridgeError):
    """The named thing is not (any more) there."""

    default_code = "notFound"


class LimitExceeded(BridgeError):
    """Too many, too large, or full."""

    default_code = "tooMany"


class Conflict(BridgeError):
    """It may be done, but not in the present state."""

    default_code = "conflict"


class MediaError(BridgeError):
    """A session description or a peer connection that cannot be used."""

    default_code = "unsupported"


@dataclass(frozen=True, slots=True)
class PublicError:
    """What the other side is told."""

    code: str
    text: str
    http: int
    close: int | None


def public_error(error: BaseException) -> PublicError:
    """Maps any error to what the other side may know of it."""
    if isinstance(error, BridgeError):
        wire = CODES[error.code]
        return PublicError(error.code, error.text, wire.http, wire.close)
    wire = CODES["internal"]
    return PublicError("internal", "Something went wrong on the server.", wire.http, wire.close)
