"""Sends objects to another archive by STOW-RS (PS3.18 10.5): in requests of bounded size, an answer for each object.

Streams from memory files; for one event loop. Errors name no address and no UID.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bridge.config import WebPeer
from bridge.imaging.dimse.talk import Place
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Later
from bridge.imaging.scratch import Scratch

OBJECTS_AT_ONCE = 50
BYTES_AT_ONCE = 64 * 1024 * 1024
"""Of one request; a larger object goes alone."""
_PIECE_BYTES = 256 * 1024
_TOKEN_BYTES = 8192
_ANSWER_BYTES = 8 * 1024 * 1024
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=15, sock_connect=15, sock_read=300)
_JSON = "application/dicom+json"
_SOP_INSTANCE, _REASON, _STORED, _FAILED = "00081155", "00081197", "00081199", "00081198"
_LATER_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504, 507})
UNANSWERED = 0x0110
SYNTAX_NOT_TAKEN = frozenset((0xC122, 0x0122))
"""Reasons for which an object is worth another try in a plain transfer syntax."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One object of a request. `reason` is why it was not kept, 0 if it was."""

    place: Place
    transfer_syntax: str
    object: Scratch


class Stow:
    """One archive that is sent to."""

    def __init__(self, peer: WebPeer) -> None:
        self._peer = peer

    async def send(self, parcels: list[Parcel], check: Callable[[], None]) -> dict[str, int]:
        """By SOPInstanceUID 0 for each that is kept, or the reason why it is not. `check` raises to break off.

        Raises Later, DicomError.
        """
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Accept": _JSON,
            **await asyncio.to_thread(_authorization, self._peer.token),
        }
        url = f"{self._peer.url}/studies"
        try:
            async with (
                aiohttp.ClientSession(timeout=_TIMEOUT) as client,
                client.post(
                    url, data=_body(parcels, boundary, check), headers=headers, allow_redirects=False
                ) as answer,
            ):
                content = await _read(answer)
                return _told(answer.status, content, parcels)
        except (aiohttp.ClientError, TimeoutError, OSError):
            check()
            raise Later("The destination does not answer, or broke off.") from None


async def _body(parcels: list[Parcel], boundary: str, check: Callable[[], None]) -> AsyncIterator[bytes]:
    for parcel in parcels:
        # The parameter transfer-syntax, which the file says anyway, is not understood by all.
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        content = parcel.object.view()
        for offset in range(0, len(content), _PIECE_BYTES):
            check()
            yield bytes(content[offset : offset + _PIECE_BYTES])
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode("ascii")


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = b""
    async for piece in answer.content.iter_chunked(_PIECE_BYTES):
        content += piece
        if len(content) > _ANSWER_BYTES:
            raise DicomError("The destination answers more than can be read.")
    return content


def _told(status: int, content: bytes, parcels: list[Parcel]) -> dict[str, int]:
    if status in (401, 403):
        raise DicomError(
            "The destination does not let us in; its token may be wrong or too old.", "notAllowed"
        )
    if status in _LATER_STATUSES:
        raise Later("The destination takes nothing just now.")
    if status not in (200, 202, 409):
        raise DicomError(f"The destination answers {status}; its address may be wrong.", "unsupported")
    results = {parcel.place.sop_instance: UNANSWERED for parcel in parcels}
    try:
        said = json.loads(content)
        dataset = said[0] if isinstance(said, list) else said
        for item in dataset.get(_STORED, {}).get("Value", ()):
            results[_first(item, _SOP_INSTANCE)] = 0
        for item in dataset.get(_FAILED, {}).get("Value", ()):
            results[_first(item, _SOP_INSTANCE)] = int(_first(item, _REASON)) or UNANSWERED
    except Exception:
        # That something was kept is believed only if it is said.
        raise DicomError("The destination's answer cannot be read.") from None
    return {parcel.place.sop_instance: results[parcel.place.sop_instance] for parcel in parcels}


def _first(item: dict[str, Any], tag: str) -> Any:
    return item.get(tag, {}).get("Value", [0])[0]


def _authorization(token: Path | None) -> dict[str, str]:
    """Raises DicomError."""
    if token is None:
        return {}
    try:
        with token.open("rb") as file:
            said = file.read(_TOKEN_BYTES).decode("ascii").strip()
    except (OSError, UnicodeError):
        raise DicomError("The file with the destination's token cannot be read.", "notAllowed") from None
    word, _, rest = said.partition(" ")
    if word.lower() == "basic" and ":" in rest:
        return {"Authorization": f"Basic {base64.b64encode(rest.strip().encode()).decode()}"}
    return {"Authorization": said if rest else f"Bearer {said}"}
