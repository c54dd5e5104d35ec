"""The tables on a real SQLite file: what is kept, what is refused, what survives a killed process."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from bridge.config import ConfigError
from bridge.errors import Conflict, NotFound
from bridge.ids import InviteId, Role, SessionFormat, SessionId, SessionKind, SessionState
from bridge.store import BUSY_TIMEOUT_MS, InviteRecord, NewInvite, SessionRecord, Store, sqlite_url
from bridge.tables import metadata

HUB = NewInvite(Role.HUB, "Hà Nội", 1, 9_000)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(sqlite_url(tmp_path / "bridge.db"))
    yield opened
    await opened.close()


async def make(store: Store, title: str = "Echo", at_ms: int = 1_000) -> tuple[SessionRecord, InviteRecord]:
    session, (invite,) = await store.create_session(
        title=title,
        kind=SessionKind.RADIOLOGY,
        format=SessionFormat.EVENT,
        capacity=600,
        at_ms=at_ms,
        invites=[HUB],
    )
    return session, invite


async def test_a_session_and_its_invites_are_kept_as_made(store: Store) -> None:
    session, invite = await make(store)
    assert await store.get_session(session.id) == session
    assert await store.get_invite(invite.id) == invite
    assert await store.list_invites(session.id) == [invite]
    assert (session.state, session.started_at_ms, session.stage) == (SessionState.OPEN, None, ())
    assert (invite.role, invite.point, invite.revoked) == (Role.HUB, "Hà Nội", False)


async def test_the_stage_is_kept_in_its_order(store: Store) -> None:
    session, _ = await make(store)
    await store.save_stage(session.id, ["b", "a"])
    assert (await store.get_session(session.id)).stage == ("b", "a")


async def test_a_session_starts_and_ends_once(store: Store) -> None:
    session, _ = await make(store)
    for at_ms in (5, 6):
        await store.start_session(session.id, at_ms)
        await store.end_session(session.id, at_ms)
    ended = await store.get_session(session.id)
    assert (ended.started_at_ms, ended.state) == (5, SessionState.ENDED)


async def test_open_sessions_are_listed_first_and_the_newest_first(store: Store) -> None:
    old, _ = await make(store, "old", 1)
    new, _ = await make(store, "new", 2)
    over, _ = await make(store, "over", 3)
    await store.end_session(over.id, 4)
    assert [session.title for session in await store.list_sessions()] == ["new", "old", "over"]
    assert [session.id for session in await store.list_sessions(limit=1)] == [new.id]
    assert old.id != new.id


async def test_what_is_not_there_is_not_found(store: Store) -> None:
    none = SessionId("none")
    for asked in (
        store.get_session(none),
        store.save_stage(none, []),
        store.start_session(none, 1),
        store.end_session(none, 1),
        store.create_invite(none, HUB, 1),
        store.get_invite(InviteId("none")),
        store.revoke_invite(InviteId("none")),
    ):
        with pytest.raises(NotFound):
            await asked


async def test_a_session_ends_together_with_what_was_kept_for_a_restart_or_not_at_all(store: Store) -> None:
    session, _ = await make(store)
    async with store.writing() as connection:
        await connection.execute(sa.text("alter table session_memory rename to away"))
    with pytest.raises(sa.exc.OperationalError):
        await store.end_session(session.id, 2_000)
    assert (await store.get_session(session.id)).state is SessionState.OPEN
    with pytest.raises(NotFound):
        await store.end_session(SessionId("nowhere"), 2_000)


async def test_what_ended_or_was_revoked_is_told_for_the_sessions_asked_for(store: Store) -> None:
    (one, one_invite), (two, two_invite) = await make(store), await make(store)
    await store.revoke_invite(one_invite.id)
    await store.revoke_invite(two_invite.id)
    await store.end_session(two.id, 1)
    closed = await store.closed_among([one.id])
    assert (closed.sessions, closed.invites) == (frozenset(), {one_invite.id})
    closed = await store.closed_among([one.id, two.id])
    assert (closed.sessions, closed.invites) == ({two.id}, {one_invite.id, two_invite.id})
    assert await store.closed_among([]) == await store.closed_among([SessionId("none")])


async def test_a_check_does_not_make_the_next_writer_impatient(store: Store) -> None:
    await store.check_writable()
    async with store.writing() as connection:
        assert (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar() == BUSY_TIMEOUT_MS


async def test_points_have_names_of_their_own(store: Store) -> None:
    son_la = await store.create_point("Sơn La", "Bệnh viện tỉnh", "Sơn La", 1)
    await store.create_point("Điện Biên", "", "Điện Biên", 1)
    with pytest.raises(Conflict):
        await store.create_point("Sơn La", "", "", 2)
    assert son_la in await store.list_points()
    assert len(await store.list_points()) == 2


async def test_text_from_outside_is_never_sql(store: Store) -> None:
    title = "'; DROP TABLE sessions; --"
    session, _ = await make(store, title)
    assert (await store.get_session(session.id)).title == title
    with pytest.raises(NotFound):
        await store.get_session(SessionId("' OR 1=1 --"))


async def test_two_processes_may_open_and_write_at_once(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "bridge.db")
    stores = await asyncio.gather(*(Store.open(url) for _ in range(4)))
    await asyncio.gather(*(make(store, str(number)) for number in range(10) for store in stores))
    assert len(await stores[0].list_sessions()) == 40
    for store in stores:
        await store.close()


async def test_the_migrations_make_the_tables_that_the_code_uses(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    await (await Store.open(sqlite_url(path))).close()
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_nothing_is_acknowledged_before_it_is_on_the_disk(store: Store) -> None:
    async with store._write() as connection:
        assert await connection.scalar(sa.text("PRAGMA synchronous")) == 2
        assert await connection.scalar(sa.text("PRAGMA journal_mode")) == "wal"
        assert await connection.scalar(sa.text("PRAGMA foreign_keys")) == 1


async def test_an_acknowledged_session_survives_a_killed_process(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "bridge.db")
    writer = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, url, stdout=asyncio.subprocess.PIPE
    )
    assert writer.stdout is not None
    acknowledged = [await writer.stdout.readline() for _ in range(20)]
    writer.kill()
    rest = await writer.stdout.read()
    await writer.wait()
    # The last line may have been cut off while it was written.
    acknowledged += rest.splitlines(keepends=True)
    whole = {line.decode().strip() for line in acknowledged if line.endswith(b"\n")}
    store = await Store.open(url)
    kept = {session.id for session in await store.list_sessions(limit=100_000)}
    await store.close()
    assert len(whole) >= 20
    assert whole <= kept


async def test_a_file_that_is_no_database_is_told_and_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    path.write_bytes(b"not a database at all, but something dear to somebody" * 20)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="cannot be opened"):
        await Store.open(sqlite_url(path))
    assert path.read_bytes() == before


async def test_a_database_of_a_newer_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "bridge.db"
    await (await Store.open(sqlite_url(path))).close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    with pytest.raises(ConfigError):
        await Store.open(sqlite_url(path))


@pytest.mark.parametrize("url", ["nonsense", "sqlite+aiosqlite:////proc/none/bridge.db", "oracle+none://x"])
async def test_a_url_that_leads_nowhere_is_told(url: str) -> None:
    with pytest.raises(ConfigError):
        await Store.open(url)


async def test_the_writing_check_sees_a_database_that_is_locked(tmp_path: Path, store: Store) -> None:
    await store.check_writable()
    blocker = sqlite3.connect(tmp_path / "bridge.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(sa.exc.OperationalError, match="locked"):
        await store.check_writable()
    blocker.close()
    await store.check_writable()


_WRITER = """
import asyncio, sys
from bridge.ids import SessionFormat, SessionKind
from bridge.store import Store

async def main():
    store = await Store.open(sys.argv[1])
    while True:
        session, _ = await store.create_session(
            title="x", kind=SessionKind.ADVICE, format=SessionFormat.CONSULT, capacity=2, at_ms=1
        )
        print(session.id, flush=True)

asyncio.run(main())
"""
