"""What was kept while the audit could not be written is in it nevertheless, and nothing is told as kept before."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest
from pydicom.uid import generate_uid

from bridge.audit import AuditError, Entry, Event
from bridge.dicomweb.ledger import Ledger
from tests.imaging.corpus import ct_slice
from tests.imaging.test_pieces import Sender
from tests.imaging.webclients import Web, staff_token
from tests.serving import Server, running_server


class Book:
    """An audit that can be written or not."""

    def __init__(self) -> None:
        self.written: list[Entry] = []
        self.is_full = False

    async def write(self, *entries: Entry) -> None:
        await asyncio.sleep(0)
        if self.is_full:
            raise AuditError("The audit cannot be written.")
        self.written += entries


def entry(number: int) -> Entry:
    return Entry(Event.OBJECT_IMPORTED, "staff", f"study/{number}", detail={"instances": 1})


async def test_what_could_not_be_written_is_written_once_it_can_be() -> None:
    book = Book()
    ledger = Ledger(book.write)
    book.is_full = True
    for number in range(2):
        with pytest.raises(AuditError):
            await ledger.record(entry(number))
    with pytest.raises(AuditError):
        await ledger.settle()
    assert ledger.owed == 2
    book.is_full = False
    await ledger.record(entry(2))
    await ledger.settle()
    assert book.written == [entry(0), entry(1), entry(2)]
    assert ledger.owed == 0


async def test_many_at_once_are_written_once_each() -> None:
    book = Book()
    ledger = Ledger(book.write)
    await asyncio.gather(*(ledger.record(entry(number)) for number in range(20)))
    assert book.written == [entry(number) for number in range(20)]


async def test_who_breaks_off_is_written_too() -> None:
    book = Book()
    ledger = Ledger(book.write)
    recording = asyncio.create_task(ledger.record(entry(0)))
    await asyncio.sleep(0)
    recording.cancel()
    await asyncio.gather(recording, return_exceptions=True)
    await ledger.settle()
    assert book.written == [entry(0)]


def imported(server: Server) -> list[int]:
    """How many objects each line of the audit says were taken in."""
    lines = [json.loads(line) for line in server.command("audit", "show", "--json").splitlines()]
    return [line["detail"]["instances"] for line in lines if line["event"] == Event.OBJECT_IMPORTED.value]


@pytest.mark.parametrize("way", ["whole", "in pieces"])
def test_an_object_that_is_kept_while_the_audit_fails_is_asked_for_again_and_audited(
    tmp_path: Path, way: str
) -> None:
    content = ct_slice(1, generate_uid(), generate_uid(), side=256)
    with running_server(tmp_path / "data") as server:
        web, sender = Web(server, staff_token(server)), Sender(server, staff_token(server))

        def send() -> int:
            if way == "whole":
                return web.send(content).status_code
            upload = sender.begin(content).json()["upload"]
            offset = sender.offset(upload)
            return sender.piece(upload, offset, content[offset:]).status_code

        # As after a fault of the disk: the folder is not there, and nothing can be made in its place.
        audit, away = tmp_path / "data" / "audit", tmp_path / "away"
        if way == "in pieces":
            upload = sender.begin(content).json()["upload"]
        os.rename(audit, away)
        audit.write_bytes(b"")
        if way == "whole":
            assert send() == 507
        else:
            assert sender.piece(upload, 0, content).status_code == 507
        assert send_is_refused(web)
        assert not any(b"objectImported" in each.read_bytes() for each in away.iterdir())
        audit.unlink()
        os.rename(away, audit)
        assert send() == 200
        assert imported(server) == [1]
        assert send() == 200
        assert imported(server) == [1]


def send_is_refused(web: Web) -> bool:
    """Whether nothing is taken from others either."""
    return web.send(ct_slice(2, generate_uid(), generate_uid(), side=64)).status_code == 507
