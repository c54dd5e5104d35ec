"""Names of people are removed some days after the end of their event, and not before; the audit tells of it."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from bridge import tables
from bridge.app import now_ms
from bridge.audit import AuditError, Entry, Event, Outcome, read_lines
from bridge.client import Participant
from bridge.imaging.catalogue import installation_key
from bridge.launch.forgetting import Forgetting
from bridge.launch.sealing import PURPOSE, Sealer
from tests.launch.conftest import Happening

DAY_MS = 24 * 3600 * 1000
POINT = {"province": "Sơn La", "organisation": "BVĐK", "name": "Hội trường", "contact": "Lò Văn Pánh"}


def forgetting(event: Happening, days: int, later_days: float) -> Forgetting:
    """As it would run so many days from now."""
    server = event.house.server
    sealer = Sealer(installation_key(server.vault, PURPOSE))
    return Forgetting(
        server.office.store, sealer, server.audit.record, days, lambda: now_ms() + int(later_days * DAY_MS)
    )


async def held(event: Happening) -> None:
    """Somebody comes, and it ends."""
    await event.ask("POST", "/points", json=POINT)
    async with Participant(event.house.url, event.organiser, "Bs. Bình", receive=False).taking_part():
        pass
    assert [row["name"] for row in (await event.ask("GET", "/attendance"))["rows"]] == ["Bs. Bình"]


async def rows(event: Happening) -> int:
    async with event.house.server.office.store.reading() as connection:
        return int(await connection.scalar(sa.select(sa.func.count()).select_from(tables.attendance)) or 0)


async def test_after_its_time_nobody_is_named_any_more(event: Happening) -> None:
    await held(event)
    await event.house.server.rooms.end_session(event.made.session.id)
    assert await forgetting(event, 30, 29.9).sweep() == 0
    assert await forgetting(event, 0, 9000).sweep() == 0
    assert await rows(event) == 1
    assert await forgetting(event, 30, 30.1).sweep() == 1
    assert await rows(event) == 0
    for file in ("", ".csv", ".xlsx"):
        path = f"{event.path}/attendance{file}"
        assert await event.house.code("GET", path, event.organiser) == (404, "notFound")
    (point,) = await event.points()
    assert (point["name"], point["contact"]) == ("Hội trường", "")
    audit = event.house.server.audit
    lines = [line.content for line in read_lines(audit.folder, audit.key)]
    told = [(line["outcome"], line["who"]) for line in lines if line["event"] == Event.OBJECT_SHREDDED]
    assert told == [(Outcome.BEGUN, "system"), (Outcome.DONE, "system")]
    assert await forgetting(event, 30, 31).sweep() == 0


async def test_an_event_that_is_not_over_keeps_its_names(event: Happening) -> None:
    await held(event)
    good_for_days = (await event.points())[0]["expiresAt"] / DAY_MS - now_ms() / DAY_MS
    assert await forgetting(event, 1, good_for_days).sweep() == 0
    assert await rows(event) == 1


async def test_an_event_that_nobody_ended_is_over_with_the_last_of_its_links(event: Happening) -> None:
    await held(event)
    token = (await event.points("?links=1"))[0]["link"].partition("#")[2]
    store = event.house.server.office.store
    async with store.writing() as connection:
        kept = {"session": event.made.session.id, "sealed": b"a question"}
        await connection.execute(sa.insert(tables.session_memory).values(kept))
    good_for_days = (await event.points())[0]["expiresAt"] / DAY_MS - now_ms() / DAY_MS
    assert await forgetting(event, 30, good_for_days + 29.9).sweep() == 0
    assert await forgetting(event, 30, good_for_days + 30.1).sweep() == 1
    assert await rows(event) == 0
    assert [point["contact"] for point in await event.points()] == [""]
    assert (await event.ask("GET"))["state"] == "ended"
    async with store.reading() as connection:
        assert (await connection.execute(sa.select(tables.session_memory))).all() == []
    # It was not over by the real clock; who has a link does not come in any more all the same.
    assert await event.house.code("GET", "/api/invite", token) == (410, "sessionEnded")


async def test_nothing_is_removed_that_the_audit_cannot_tell_of(
    event: Happening, monkeypatch: pytest.MonkeyPatch
) -> None:
    await held(event)
    await event.house.server.rooms.end_session(event.made.session.id)

    def refuse(entry: Entry) -> None:
        raise AuditError("The disk is full.")

    swept = forgetting(event, 1, 2)
    monkeypatch.setattr(swept, "_write_audit", refuse)
    assert await swept.sweep() == 0
    assert await rows(event) == 1
