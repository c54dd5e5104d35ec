"""The book of events: queries on their points, run of show and line checks. Callers check who may ask.

Beside `bridge.store`, whose connections it uses. What a method returned from is durable; contacts lie sealed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge import tables
from bridge.errors import Conflict, LimitExceeded, NotFound
from bridge.ids import InviteId, Role, SessionId, new_id
from bridge.launch.agenda import Item
from bridge.launch.points import POINTS_LIMIT, Plan, PointFields, Sheet, plan, shown_among
from bridge.launch.sealing import Sealer
from bridge.store import Store
from bridge.tables import InviteRecord, NewInvite

_AT_ONCE = 500
"""Values in one query."""
MakeInvite = Callable[[str], NewInvite]
"""What the desk decides of the invite of a point with this name."""
ChangeFields = Callable[[PointFields], PointFields]


@dataclass(frozen=True, slots=True)
class EventRecord:
    """What is kept of an event besides its session."""

    starts_at_ms: int | None
    points_uploaded_at_ms: int | None
    agenda_version: int
    agenda: tuple[Item, ...]
    attendance_removed_at_ms: int | None = None
    """Its time was over; who was there is not known any more."""


@dataclass(frozen=True, slots=True)
class EventPoint:
    """A point of an event, with its invite."""

    id: str
    fields: PointFields
    invite: InviteRecord
    removed: bool


@dataclass(frozen=True, slots=True)
class Imported:
    """What a sheet changed, or would change, and the points that are missing in it."""

    plan: Plan
    gone: tuple[EventPoint, ...]


class EventBook:
    """For one event loop, as the store is."""

    def __init__(self, store: Store, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    # The event

    async def event(self, session: SessionId) -> EventRecord:
        """As it was never touched, if it was not."""
        query = sa.select(tables.events).where(tables.events.c.session == session)
        async with self._store.reading() as connection:
            row = (await connection.execute(query)).one_or_none()
        if row is None:
            return EventRecord(None, None, 0, ())
        agenda = msgspec.convert(row.agenda, tuple[Item, ...])
        return EventRecord(
            row.starts_at_ms,
            row.points_uploaded_at_ms,
            row.agenda_version,
            agenda,
            row.attendance_removed_at_ms,
        )

    async def set_start(
        self, session: SessionId, starts_at_ms: int | None, links_until_ms: int = 0, made_for_ms: int = 0
    ) -> None:
        """When it is planned to begin. Links that were made for at least `made_for_ms` are good until then at least."""
        invites = tables.invites.c
        async with self._store.writing() as connection:
            await _open(connection, session)
            await _change(connection, session, starts_at_ms=starts_at_ms)
            await connection.execute(
                sa.update(tables.invites)
                .where(
                    invites.session == session,
                    invites.expires_at_ms < links_until_ms,
                    invites.expires_at_ms - invites.created_at_ms >= made_for_ms,
                )
                .values(expires_at_ms=links_until_ms)
            )

    async def set_agenda(self, session: SessionId, version: int, items: Sequence[Item]) -> int:
        """The new version. Raises Conflict if `version` is not the present one."""
        async with self._store.writing() as connection:
            if await _open(connection, session) != version:
                raise Conflict("The run of show was changed by somebody else meanwhile.")
            kept = msgspec.to_builtins(tuple(items))
            await _change(connection, session, agenda_version=version + 1, agenda=kept)
        return version + 1

    # Points

    async def points(self, session: SessionId, *, removed_too: bool = False) -> list[EventPoint]:
        """By province, organisation and name."""
        async with self._store.reading() as connection:
            return await self._points(connection, session, removed_too=removed_too)

    async def point(self, session: SessionId, id: str, *, removed: bool = False) -> EventPoint:
        """Raises NotFound."""
        async with self._store.reading() as connection:
            return await self._point(connection, session, id, removed=removed)

    async def preview(self, session: SessionId, sheet: Sheet) -> Imported:
        """What `import_points` would change."""
        return _planned(await self.points(session), sheet)

    async def import_points(
        self, session: SessionId, sheet: Sheet, make_invite: MakeInvite, at_ms: int, *, remove: bool
    ) -> Imported:
        """Adds, changes and (`remove`) takes away, all or nothing. Raises LimitExceeded."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            known = await self._points(connection, session)
            done = _planned(known, sheet)
            _require_room(len(known) + len(done.plan.added) - (len(done.gone) if remove else 0))
            by_id = {point.id: point for point in known}
            if remove:
                await _withdraw(connection, done.gone)
                for point in done.gone:
                    del by_id[point.id]
            names = {point.invite.point for point in by_id.values()}
            for _, id, fields in done.plan.changed:
                await self._rewrite(connection, by_id[id], fields, names)
            added = [fields for _, fields in done.plan.added]
            await self._add(connection, session, added, names, make_invite, at_ms)
            await _change(connection, session, points_uploaded_at_ms=at_ms)
        return done

    async def add_point(
        self, session: SessionId, fields: PointFields, make_invite: MakeInvite, at_ms: int
    ) -> EventPoint:
        """Raises Conflict if there is one like it, LimitExceeded."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            known = await self._points(connection, session)
            _require_new(known, fields)
            _require_room(len(known) + 1)
            return (await self._add(connection, session, [fields], _names(known), make_invite, at_ms))[0]

    async def change_point(self, session: SessionId, id: str, change: ChangeFields) -> EventPoint:
        """Its link stays. Raises NotFound, Conflict if there is another one like it, and what `change` raises."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            # Read and written in one step: two who change different fields lose nothing.
            point = await self._point(connection, session, id, removed=False)
            fields = change(point.fields)
            known = await self._points(connection, session)
            _require_new([other for other in known if other.id != id], fields)
            shown = await self._rewrite(connection, point, fields, _names(known))
        return replace(point, fields=fields, invite=replace(point.invite, point=shown))

    async def remove_point(self, session: SessionId, id: str) -> InviteId:
        """Its invite, which is withdrawn. Raises NotFound."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            point = await self._point(connection, session, id, removed=False)
            await _withdraw(connection, [point])
        return point.invite.id

    async def restore_point(
        self, session: SessionId, id: str, make_invite: MakeInvite, at_ms: int
    ) -> EventPoint:
        """With a new invite. Raises NotFound, Conflict if there is one like it by now, LimitExceeded."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            point = await self._point(connection, session, id, removed=True)
            known = await self._points(connection, session)
            _require_new(known, point.fields)
            _require_room(len(known) + 1)
            shown = shown_among(point.fields, _names(known))
            return await self._reinvite(connection, point, make_invite(shown), at_ms)

    async def renew_link(
        self, session: SessionId, id: str, make_invite: MakeInvite, at_ms: int
    ) -> tuple[EventPoint, InviteId]:
        """The point with a new invite, and the one before, which is withdrawn. Raises NotFound."""
        async with self._store.writing() as connection:
            await _open(connection, session)
            point = await self._point(connection, session, id, removed=False)
            renewed = await self._reinvite(connection, point, make_invite(point.invite.point), at_ms)
            return renewed, point.invite.id

    # Line checks

    async def keep_check(
        self, session: SessionId, invite: InviteId, at_ms: int, result: Mapping[str, Any]
    ) -> None:
        """The newest of an invite replaces the one before."""
        checks = tables.line_checks
        row = {"session": session, "at_ms": at_ms, "result": dict(result)}
        async with self._store.writing() as connection:
            changed = await connection.execute(sa.update(checks).where(checks.c.invite == invite).values(row))
            if changed.rowcount == 0:
                await connection.execute(sa.insert(checks).values(invite=invite, **row))

    async def checks(self, session: SessionId) -> dict[InviteId, dict[str, Any]]:
        """The newest of each invite that has one."""
        checks = tables.line_checks.c
        query = sa.select(checks.invite, checks.at_ms, checks.result).where(checks.session == session)
        async with self._store.reading() as connection:
            rows = (await connection.execute(query)).all()
        return {InviteId(row.invite): {**row.result, "at": row.at_ms} for row in rows}

    # Rows

    async def _points(
        self,
        connection: AsyncConnection,
        session: SessionId,
        *,
        removed_too: bool = False,
        id: str | None = None,
    ) -> list[EventPoint]:
        points, invites = tables.event_points, tables.invites
        query = (
            sa.select(points, *(column.label(f"invite_{column.name}") for column in invites.c))
            .join(invites, invites.c.id == points.c.invite)
            .where(points.c.session == session)
            .order_by(points.c.province, points.c.organisation, points.c.name, points.c.id)
        )
        if id is not None:
            query = query.where(points.c.id == id)
        if not removed_too:
            query = query.where(points.c.removed.is_(sa.false()))
        return [self._point_of(row._mapping) for row in await connection.execute(query)]

    async def _point(
        self, connection: AsyncConnection, session: SessionId, id: str, *, removed: bool
    ) -> EventPoint:
        for point in await self._points(connection, session, removed_too=True, id=id):
            if point.removed is removed:
                return point
        raise NotFound("There is no such point.")

    def _point_of(self, row: sa.RowMapping) -> EventPoint:
        contact = self._sealer.open(row["contact"], row["id"])
        fields = PointFields(row["province"], row["organisation"], row["name"], contact)
        invite = {name: row[f"invite_{name}"] for name in InviteRecord.__slots__}
        return EventPoint(
            row["id"],
            fields,
            InviteRecord(**invite | {"role": Role(invite["role"])}),
            row["removed"],
        )

    async def _add(
        self,
        connection: AsyncConnection,
        session: SessionId,
        fields: Sequence[PointFields],
        names: set[str],
        make_invite: MakeInvite,
        at_ms: int,
    ) -> list[EventPoint]:
        """`names` are those that others are shown by; these come to them."""
        made: list[EventPoint] = []
        for each in fields:
            shown = shown_among(each, names)
            names.add(shown)
            invite = tables.new_invite(session, make_invite(shown), at_ms)
            made.append(EventPoint(new_id(), each, invite, removed=False))
        if made:
            invites = [tables.invite_row(point.invite) for point in made]
            await connection.execute(sa.insert(tables.invites), invites)
            rows = [
                {"id": point.id, "session": session, "invite": point.invite.id, "removed": False}
                | {"created_at_ms": at_ms}
                | self._written(point.id, point.fields)
                for point in made
            ]
            await connection.execute(sa.insert(tables.event_points), rows)
        return made

    async def _rewrite(
        self, connection: AsyncConnection, point: EventPoint, fields: PointFields, names: set[str]
    ) -> str:
        """What it is shown by now. `names` are those of all, with its own."""
        before = point.invite.point
        names.discard(before)
        shown = shown_among(fields, names)
        names.add(shown)
        points, invites, attendance = tables.event_points, tables.invites, tables.attendance
        written = self._written(point.id, fields)
        await connection.execute(sa.update(points).where(points.c.id == point.id).values(written))
        if shown != before:
            await connection.execute(
                sa.update(invites).where(invites.c.id == point.invite.id).values(point=shown)
            )
            # Who came on links that it had before is known as its people by this name only.
            await connection.execute(
                sa.update(attendance)
                .where(attendance.c.session == point.invite.session, attendance.c.point == before)
                .values(point=shown)
            )
        return shown

    async def _reinvite(
        self, connection: AsyncConnection, point: EventPoint, made: NewInvite, at_ms: int
    ) -> EventPoint:
        await _withdraw(connection, [point])
        invite = tables.new_invite(point.invite.session, made, at_ms)
        await connection.execute(sa.insert(tables.invites).values(tables.invite_row(invite)))
        await connection.execute(
            sa.update(tables.event_points)
            .where(tables.event_points.c.id == point.id)
            .values(invite=invite.id, removed=False)
        )
        checks = tables.line_checks
        await connection.execute(
            sa.update(checks).where(checks.c.invite == point.invite.id).values(invite=invite.id)
        )
        return replace(point, invite=invite, removed=False)

    def _written(self, id: str, fields: PointFields) -> dict[str, Any]:
        return {
            "province": fields.province,
            "organisation": fields.organisation,
            "name": fields.name,
            "contact": self._sealer.seal(fields.contact, id),
        }


def _planned(known: Sequence[EventPoint], sheet: Sheet) -> Imported:
    planned = plan([(point.id, point.fields) for point in known], sheet)
    missing = frozenset(planned.gone)
    return Imported(planned, tuple(point for point in known if point.id in missing))


def _require_new(known: Collection[EventPoint], fields: PointFields) -> None:
    if any(point.fields.key == fields.key for point in known):
        raise Conflict("The event has such a point already.")


def _require_room(points: int) -> None:
    if points > POINTS_LIMIT:
        raise LimitExceeded(f"An event has at most {POINTS_LIMIT} points.", "tooLarge")


def _names(points: Collection[EventPoint]) -> set[str]:
    """What they are shown by."""
    return {point.invite.point for point in points}


async def _open(connection: AsyncConnection, session: SessionId) -> int:
    """The version of its agenda. From here on nobody else changes the event before this transaction ends."""
    events, sessions = tables.events, tables.sessions
    known = await connection.scalar(
        sa.select(sessions.c.id).where(sessions.c.id == session).with_for_update()
    )
    if known is None:
        raise NotFound("There is no such session.")
    version = await connection.scalar(sa.select(events.c.agenda_version).where(events.c.session == session))
    if version is None:
        await connection.execute(sa.insert(events).values(session=session, agenda_version=0, agenda=[]))
    return int(version or 0)


async def _change(connection: AsyncConnection, session: SessionId, **values: Any) -> None:
    await connection.execute(
        sa.update(tables.events).where(tables.events.c.session == session).values(values)
    )


async def _withdraw(connection: AsyncConnection, points: Sequence[EventPoint]) -> None:
    """Takes points away: their rows stay, for who was there."""
    for first in range(0, len(points), _AT_ONCE):
        some = points[first : first + _AT_ONCE]
        await connection.execute(
            sa.update(tables.invites)
            .where(tables.invites.c.id.in_([point.invite.id for point in some]))
            .values(revoked=True)
        )
        await connection.execute(
            sa.update(tables.event_points)
            .where(tables.event_points.c.id.in_([point.id for point in some]))
            .values(removed=True)
        )
