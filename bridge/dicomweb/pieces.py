"""Large objects that come piece by piece: taken from requests, checked, kept as soon as they are whole.

The answer is remembered for who lost it with its line.

Who may send is told by the gate that is given; what is unfinished lies in `bridge.imaging.unfinished`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from bridge.dicomweb.uploads import MakeGate, Upload, Uploads
from bridge.errors import BridgeError, LimitExceeded, ProtocolError
from bridge.imaging.arriving import Arriving
from bridge.imaging.dicomweb.shelf import Threads
from bridge.imaging.dicomweb.stow import Failure
from bridge.imaging.unfinished import PIECE_MOST_BYTES, Unfinished, UnfinishedObjects, disk_failed, over

THREADS = 2
RECEIVING_LIMIT = 16
"""Pieces that are coming in at one time: each is held in memory until it is whole."""
RECEIVING_OF_ONE = 3
PIECE_WITHIN_S = 120.0
"""A sender whose piece takes longer makes smaller ones."""
CHECKSUM = "sha256"
AGAIN = frozenset({"tooMany", "storageFailed", "shuttingDown", "internal"})
"""What may be otherwise in a moment; everything else is the object's own fault, and final."""

Record = Callable[[Upload], Awaitable[None]]


@dataclass(slots=True)
class _Work:
    """What goes on with one unfinished object."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    keeping: asyncio.Task[Upload] | None = None
    done: Upload | None = None

    def ended(self, task: asyncio.Task[Upload]) -> None:
        self.keeping = None
        if not task.cancelled():
            task.exception()  # Who asked may be gone with its line, and asks again.


class Pieces:
    """For one event loop."""

    def __init__(self, folder: Path, uploads: Uploads) -> None:
        self._folder = folder
        self._uploads = uploads
        self._objects = UnfinishedObjects(folder)
        self._threads = Threads("pieces", THREADS)
        self._work: dict[str, _Work] = {}
        self._receiving: list[str] = []

    async def begin(self, who: str, key: str, size_bytes: int) -> tuple[Unfinished, bool]:
        """The upload of this sender with this key, and whether it is new. Raises LimitExceeded, BridgeError."""
        free_bytes = await self._threads.run(self._free_bytes)
        unfinished, is_new = self._objects.begin(who, key, size_bytes, free_bytes)
        if is_new:
            self._work[unfinished.id] = _Work()
        await self._close_gone()
        return unfinished, is_new

    def find(self, who: str, id: str) -> Unfinished:
        """Raises NotFound."""
        return self._objects.find(who, id)

    async def forget(self, who: str, id: str) -> None:
        """Raises NotFound."""
        self._objects.forget(self.find(who, id))
        self._work.pop(id, None)
        await self._close_gone()

    async def take(self, request: web.Request, unfinished: Unfinished) -> None:
        """The piece that a request brings. Raises Conflict, ProtocolError, BridgeError (`damaged`, `storageFailed`)."""
        offset, digest, size_bytes = _announced(request)
        self._objects.use(unfinished)
        unfinished.check(offset, size_bytes)
        content = await self._receive(request, unfinished.who, size_bytes)
        work = self._at_work(unfinished)
        # Who comes back after a broken line may meet its own earlier piece, so the offset is looked at again inside.
        async with work.lock:
            await self._threads.run(lambda: _append(unfinished, offset, content, digest))
        self._objects.use(unfinished)

    async def keep(self, unfinished: Unfinished, make_gate: MakeGate, record: Record) -> Upload:
        """What became of an object that is whole, also when it is asked for again. Raises NotFound, and what may be
        tried again."""
        work = self._at_work(unfinished)
        if work.done is not None:
            return work.done
        if work.keeping is None:
            work.keeping = asyncio.create_task(self._keep(unfinished, make_gate, record))
            work.keeping.add_done_callback(work.ended)
        upload = await asyncio.shield(work.keeping)
        result = upload.results[0]
        if isinstance(result, Failure) and result.code in AGAIN:
            raise BridgeError(result.text, result.code)
        work.done = upload
        self._objects.use(unfinished)
        self._objects.end(unfinished)
        await self._close_gone()
        return upload

    async def let_old_go(self) -> None:
        """To be called now and then."""
        self._objects.let_old_go()
        for id in self._work.keys() - self._objects.ids():
            del self._work[id]
        await self._close_gone()

    async def close(self) -> None:
        keeping = [work.keeping for work in self._work.values() if work.keeping is not None]
        if keeping:
            await asyncio.wait(keeping)
        await asyncio.to_thread(self._objects.close)
        await asyncio.to_thread(self._threads.close)

    async def _close_gone(self) -> None:
        if gone := self._objects.gone():
            await self._threads.run(lambda: _close(gone))

    def _at_work(self, unfinished: Unfinished) -> _Work:
        """Raises NotFound if it was forgotten while a request brought something for it."""
        work = self._work.get(unfinished.id)
        if work is None:
            raise over()
        return work

    async def _keep(self, unfinished: Unfinished, make_gate: MakeGate, record: Record) -> Upload:
        arriving = self._uploads.door.begin()
        try:
            await self._threads.run(lambda: _copy(unfinished, arriving))
        except BaseException:
            arriving.close()
            raise
        upload = await self._uploads.keep_one(arriving, make_gate())
        await record(upload)
        return upload

    async def _receive(self, request: web.Request, who: str, size_bytes: int) -> bytes:
        if len(self._receiving) >= RECEIVING_LIMIT or self._receiving.count(who) >= RECEIVING_OF_ONE:
            raise LimitExceeded("Too many pieces are arriving just now; try again in a moment.")
        self._receiving.append(who)
        try:
            async with asyncio.timeout(PIECE_WITHIN_S):
                return await request.content.readexactly(size_bytes)
        except TimeoutError:
            raise ProtocolError("The piece did not arrive in time.", "joinTimeout") from None
        except (asyncio.IncompleteReadError, web.PayloadAccessError, ValueError):
            raise ProtocolError("The piece is cut off.") from None
        finally:
            self._receiving.remove(who)

    def _free_bytes(self) -> int:
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            raise disk_failed() from None
        return disk.f_bavail * disk.f_frsize


def _append(unfinished: Unfinished, offset: int, content: bytes, digest: bytes) -> None:
    if hashlib.sha256(content).digest() != digest:
        raise BridgeError("The piece did not arrive as it was sent.", "damaged")
    unfinished.append(offset, content)


def _close(gone: list[Unfinished]) -> None:
    for each in gone:
        each.close()


def _copy(unfinished: Unfinished, arriving: Arriving) -> None:
    for piece in unfinished.read():
        arriving.write(piece)


def _announced(request: web.Request) -> tuple[int, bytes, int]:
    """Offset, checksum and size of a piece by its headers. Raises ProtocolError, LimitExceeded (`tooLarge`)."""
    if request.content_type != "application/offset+octet-stream":
        raise ProtocolError("A piece is application/offset+octet-stream.", "wrongType")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise ProtocolError("A piece comes as it is.", "wrongType")
    offset = request.headers.get("Upload-Offset", "")
    algorithm, _, encoded = request.headers.get("Upload-Checksum", "").partition(" ")
    try:
        digest = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    size_bytes = request.content_length
    if not (offset.isascii() and offset.isdigit() and len(offset) <= 16):
        raise ProtocolError("The header Upload-Offset is missing or no number.")
    if algorithm != CHECKSUM or len(digest) != hashlib.sha256().digest_size:
        raise ProtocolError(f"The header Upload-Checksum needs {CHECKSUM} and its value in base64.")
    if size_bytes is None:
        raise ProtocolError("A piece says its length.")
    if size_bytes > PIECE_MOST_BYTES:
        raise LimitExceeded(f"A piece has at most {PIECE_MOST_BYTES} bytes.", "tooLarge")
    return int(offset), digest, size_bytes
