"""Sends objects to another archive by STOW-RS (PS3.18 10.5): in requests of bounded size, an answer for each object.

Streams from memory files; for one event loop. Slow is waited for as long as something goes forward, and no longer; a
stop breaks off at once. Errors name no address and no UID.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from bridge.config import WebPeer
from bridge.imaging.dimse.talk import Place
from bridge.imaging.errors import DicomError
from bridge.imaging.jobs import Later, Progress
from bridge.imaging.scratch import Scratch

OBJECTS_AT_ONCE = 50
BYTES_AT_ONCE = 64 * 1024 * 1024
"""Of one request; a larger object goes alone."""
_PIECE_BYTES = 256 * 1024
_TOKEN_BYTES = 8192
_ANSWER_BYTES = 8 * 1024 * 1024
STALL_S = 60.0
"""So long a piece may take."""
ANSWER_S = 300.0
"""So long, from the end of what is sent to the end of the answer: it keeps all of it first."""
_TIMEOUT = aiohttp.ClientTimeout(total=None, connect=15, sock_connect=15)
"""The rest is bounded by `STALL_S` and `ANSWER_S`."""
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

    async def send(self, parcels: list[Parcel], progress: Progress) -> dict[str, int]:
        """By SOPInstanceUID 0 for each that is kept, or the reason why it is not.

        Raises Later, DicomError, Stopped.
        """
        loop = asyncio.get_running_loop()
        posting = loop.create_task(self._post(parcels))
        progress.on_stop = lambda: loop.call_soon_threadsafe(posting.cancel)
        try:
            progress.check()
            status, content = await posting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not task.cancelling():
                progress.check()
            raise
        finally:
            progress.on_stop = lambda: None
            posting.cancel()
            # What it sends is the caller's, who lets go of it next.
            await asyncio.wait([posting])
        return _told(status, content, parcels)

    async def _post(self, parcels: list[Parcel]) -> tuple[int, bytes]:
        """Status and content of the answer."""
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary="{boundary}"',
            "Accept": _JSON,
            **await asyncio.to_thread(_authorization, self._peer.token),
        }
        url = f"{self._peer.url}/studies"
        try:
            async with asyncio.timeout(STALL_S) as limit, aiohttp.ClientSession(timeout=_TIMEOUT) as client:
                body = _body(parcels, boundary, limit)
                async with client.post(url, data=body, headers=headers, allow_redirects=False) as answer:
                    try:
                        return answer.status, await _read(answer)
                    finally:
                        answer.close()  # Who answers before all is sent may read no more of it.
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise Later("The destination does not answer, or broke off.") from None


async def _body(parcels: list[Parcel], boundary: str, limit: asyncio.Timeout) -> AsyncIterator[bytes]:
    for parcel in parcels:
        # The parameter transfer-syntax, which the file says anyway, is not understood by all.
        yield f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode("ascii")
        content = parcel.object.view()
        for offset in range(0, len(content), _PIECE_BYTES):
            yield bytes(content[offset : offset + _PIECE_BYTES])
            _wait(limit, STALL_S)
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode("ascii")
    _wait(limit, ANSWER_S)


def _wait(limit: asyncio.Timeout, more_s: float) -> None:
    with contextlib.suppress(RuntimeError):  # It is over already.
        limit.reschedule(asyncio.get_running_loop().time() + more_s)


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for piece in answer.content.iter_chunked(_PIECE_BYTES):
        content += piece
        if len(content) > _ANSWER_BYTES:
            raise DicomError("The destination answers more than can be read.")
    return bytes(content)


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
