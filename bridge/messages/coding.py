"""Turning messages from and to JSON; what is decoded is well formed and within its limits, and nothing more."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, Struct

from bridge.errors import LimitExceeded, ProtocolError, PublicError
from bridge.messages.client import AnyClientMessage, ClientMessage
from bridge.messages.objects import MESSAGE_LIMIT_BYTES
from bridge.messages.server import AnyServerMessage, Error, ServerMessage


class _Envelope(Struct):
    request: object = None


_client_decoder: msgspec.json.Decoder[AnyClientMessage] = msgspec.json.Decoder(AnyClientMessage)
_server_decoder: msgspec.json.Decoder[AnyServerMessage] = msgspec.json.Decoder(AnyServerMessage)
_envelope_decoder = msgspec.json.Decoder(_Envelope)
_encoder = msgspec.json.Encoder()


def decode_client(data: str | bytes) -> AnyClientMessage:
    """Raises ProtocolError (`malformed`) or LimitExceeded (`tooLarge`); the text names the field, never its value."""
    if len(data) > MESSAGE_LIMIT_BYTES:
        raise LimitExceeded(f"A message has at most {MESSAGE_LIMIT_BYTES // 1024} KiB.", "tooLarge")
    try:
        return _client_decoder.decode(data)
    except msgspec.ValidationError as error:
        raise _refusal(str(error)) from None
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The message is not JSON.") from None


def request_of(data: str | bytes) -> int | None:
    """The request number of a message that could not be decoded, so that its error can still be told apart."""
    try:
        request = _envelope_decoder.decode(data).request
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    return request if type(request) is int and 1 <= request <= 2**53 else None


def encode(message: ServerMessage | ClientMessage) -> bytes:
    """One JSON object in UTF-8."""
    return _encoder.encode(message)


def numbered(change: bytes, seq: int) -> bytes:
    """An encoded change with its number written in: the costly part is encoded once however many receive it."""
    return b'{"seq":%d,%b' % (seq, change[1:])


def decode_server(data: str | bytes) -> AnyServerMessage:
    """For clients written in Python. Raises ProtocolError, also for a type that is not known."""
    try:
        return _server_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise ProtocolError("The server's message is not in the protocol.") from None


def error_message(error: PublicError, request: int | None) -> Error:
    """What a client is told of an error."""
    return Error(code=error.code, text=error.text, request=UNSET if request is None else request)


def _refusal(reason: str) -> ProtocolError | LimitExceeded:
    """msgspec says what was expected and where (`$.name`), and quotes values of enumerations, which stay here."""
    what, _, where = reason.partition(" - at ")
    field = where.strip("`").removeprefix("$").lstrip(".")
    if "length <=" in what:
        return LimitExceeded(f"The field {field} is over its limit.", "tooLarge")
    if field == "type":
        return ProtocolError("There is no such message type.")
    if what.startswith("Object missing required field"):
        return ProtocolError(f"A field is missing: {what.rpartition(' ')[2].strip('`')}.")
    return ProtocolError(
        f"The field {field} has a wrong value." if field else "The message is not in the protocol."
    )
