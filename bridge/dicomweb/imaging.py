"""The imaging part of a running server: archive, workers, what is open, and the threads for them. Opened and closed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog

from bridge.audit import Audit
from bridge.auth import Auth
from bridge.dicomweb.ledger import Ledger
from bridge.dicomweb.pieces import Pieces
from bridge.dicomweb.uploads import Uploads
from bridge.errors import BridgeError
from bridge.imaging.access import Access
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Catalogue, StoreEntries
from bridge.imaging.dicomweb.sharpening import Sharpener
from bridge.imaging.dicomweb.shelf import THREADS, Shelf, Threads
from bridge.imaging.dicomweb.wado import Retriever
from bridge.imaging.frames import Frames
from bridge.imaging.framestore import LIMIT_BYTES, FrameStore
from bridge.imaging.premaking import Premaker
from bridge.imaging.workers import Workers
from bridge.recordings.accesses import Accesses
from bridge.store import Store
from bridge.vault import ObjectKind, Vault

HOUSEKEEPING_S = 2.0
REFRESH_ROUNDS = 5
TIDY_ROUNDS = 30
DECODING_LIMIT = 256
"""Requests that wait for a picture to be made."""
STILL_WITHIN_S = 5.0
STILL_MEMORY_BYTES = 256 << 20

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Imaging:
    """For one event loop. `reading` waits for the disk, `decoding` for workers."""

    archive: Archive
    workers: Workers
    access: Access
    ledger: Ledger
    shelf: Shelf
    retriever: Retriever
    frames: Frames
    sharpener: Sharpener
    uploads: Uploads
    pieces: Pieces
    reading: Threads
    decoding: Threads

    def forget(self, study: str) -> None:
        """As of one that is shredded: whatever is open or was made of it. Waits for the disk."""
        self.shelf.forget(study)
        self.frames.store.forget(study)

    async def still(self, codec: str, keyframe: bytes, record: bytes) -> bytes:
        """A small JPEG of a live picture's keyframe, made where studies are decoded: it comes from strangers, too.

        Raises BridgeError."""
        arguments = msgspec.msgpack.encode((codec, record))
        return await self.decoding.run(
            lambda: self.workers.call(
                "bridge.imaging.still:still",
                keyframe,
                arguments,
                timeout_s=STILL_WITHIN_S,
                memory_bytes=STILL_MEMORY_BYTES,
            )
        )

    async def run(self) -> None:
        """Closes what nobody reads or writes any more, and looks for what other servers took in."""
        rounds = 0
        while True:
            await asyncio.sleep(HOUSEKEEPING_S)
            rounds += 1
            await self.uploads.let_idle_go()
            await self.pieces.let_old_go()
            if rounds % TIDY_ROUNDS == 1:
                await asyncio.to_thread(self.frames.store.tidy)
            if rounds % REFRESH_ROUNDS == 0:
                await asyncio.to_thread(self._let_idle_go)
                await _settle(self.ledger)
                try:
                    await self.reading.run(self.archive.catalogue.refresh)
                except BridgeError as error:
                    _log.warning("index of studies not read", code=error.code)

    def _let_idle_go(self) -> None:
        """Waits for the disk, and for threads that are at what it closes."""
        self.shelf.let_idle_go()
        self.frames.store.let_idle_go()


@asynccontextmanager
async def open_imaging(
    folder: Path,
    vault: Vault,
    store: Store,
    audit: Audit,
    auth: Auth,
    accesses: Accesses,
    *,
    cache_bytes: int = LIMIT_BYTES,
) -> AsyncIterator[Imaging]:
    """Studies can be taken in and read until the block ends; `folder` is for what is unfinished, and `cache_bytes` for
    what was made of their frames.

    Raises ConfigError, BridgeError.
    """
    loop = asyncio.get_running_loop()
    # Each takes memory; a server without studies needs none.
    workers = Workers(waiting=False)
    try:
        archive = await asyncio.to_thread(_open_archive, vault, StoreEntries(store, loop), workers)
        shelf = Shelf(archive)
        reading = Threads("studies", THREADS)
        # One more than there are workers, so that none of them waits for what comes next.
        decoding = Threads("pictures", max(2, os.cpu_count() or 2) + 1, DECODING_LIMIT)
        uploads = Uploads(archive)
        pieces = Pieces(folder, uploads)
        access = Access(auth, archive.catalogue, accesses, audit, reading.run)
        ledger = Ledger(access.record)
        frames = Frames(FrameStore(vault.derived, limit_bytes=cache_bytes), workers)
        imaging = Imaging(
            archive=archive,
            workers=workers,
            access=access,
            ledger=ledger,
            shelf=shelf,
            retriever=Retriever(shelf, workers),
            frames=frames,
            sharpener=Sharpener(shelf, frames),
            uploads=uploads,
            pieces=pieces,
            reading=reading,
            decoding=decoding,
        )
        premaker = Premaker(
            archive.catalogue,
            shelf,
            frames,
            stored=lambda: [ref.id for ref in vault.objects(ObjectKind.STUDY)],
            is_busy=lambda: reading.is_busy or decoding.is_busy,
        )
        if cache_bytes:
            premaker.start()
        try:
            yield imaging
        finally:
            await asyncio.to_thread(premaker.close)
            await pieces.close()
            await uploads.close()
            await _settle(ledger)
            for close in (reading.close, decoding.close, shelf.close, frames.store.close):
                await asyncio.to_thread(close)
    finally:
        await asyncio.to_thread(workers.close)


async def _settle(ledger: Ledger) -> None:
    try:
        await ledger.settle()
    except BridgeError as error:
        _log.error("objects that were kept are not in the audit yet", code=error.code, entries=ledger.owed)


def _open_archive(vault: Vault, entries: StoreEntries, workers: Workers) -> Archive:
    archive = Archive(vault, Catalogue(vault, entries), workers)
    recovered = 0
    try:
        for _ in archive.recover():
            recovered += 1
    except BridgeError as error:
        # What can be read is served nevertheless.
        _log.error("studies not recovered", code=error.code)
    if recovered:
        _log.info("studies recovered", count=recovered)
    if archive.catalogue.all():
        workers.prepare()
    return archive
