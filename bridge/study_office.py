"""An installation's studies, open in a process of the command line, whether or not a server runs beside it."""

from __future__ import annotations

import asyncio
import fcntl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from bridge.audit import Audit
from bridge.config import Settings
from bridge.errors import BridgeError
from bridge.imaging import gathering
from bridge.imaging.archive import Archive
from bridge.imaging.catalogue import Catalogue, StoreEntries, StudyEntry
from bridge.imaging.upkeep import Upkeep, open_upkeep
from bridge.imaging.workers import Workers
from bridge.office import SERVER_LOCK_FILE, Office, data_folder, open_office
from bridge.terminal import run_to_end
from bridge.vault import Vault
from bridge.vault_cli import open_vault


@dataclass(frozen=True, slots=True)
class StudyOffice:
    """An installation's studies, open in this process."""

    office: Office
    vault: Vault
    audit: Audit
    archive: Archive
    upkeep: Upkeep

    def entry(self, id: str) -> StudyEntry:
        """Raises NotFound."""
        catalogue = self.archive.catalogue
        known = catalogue.known(id)
        return catalogue.get(known.id if known is not None else id.removeprefix("study/"))


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[StudyOffice]:
    """Nothing in it is tried again that fails."""
    vault, audit = open_vault(settings)
    async with open_office(settings) as office:
        loop = asyncio.get_running_loop()
        workers = Workers(waiting=False)
        try:
            entries = StoreEntries(office.store, loop)
            archive = await asyncio.to_thread(lambda: _archive(vault, Catalogue(vault, entries), workers))
            async with open_upkeep(settings, office.store, archive, audit, _now_ms, patient=False) as upkeep:
                yield StudyOffice(office, vault, audit, archive, upkeep)
        finally:
            await asyncio.to_thread(workers.close)


def _archive(vault: Vault, catalogue: Catalogue, workers: Workers) -> Archive:
    """With what a running server has taken in just now, and notes in the index only when it has come whole."""
    archive = Archive(vault, catalogue, workers)
    for entry in catalogue.unsettled():
        with suppress(BridgeError), archive.open(entry.id) as reader:
            known = gathering.entry_of(reader)
            if known is not None:
                catalogue.update(known)
    return archive


@contextmanager
def alone(settings: Settings) -> Iterator[bool]:
    """Whether no server runs; none can start within the block then."""
    with (data_folder(settings) / SERVER_LOCK_FILE).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def named(settings: Settings, id: str) -> str:
    """Our own id of what the command line names. Raises NotFound."""

    async def work() -> str:
        async with opened(settings) as here:
            return here.entry(id).id

    return run_to_end(work())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
