"""The front desk: makes sessions, invites and links. The HTTP interface and the command line both ask here.

It decides what may be made (`docs/protocol.md`, "Tokens and links"), not who may ask; that is checked before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bridge.auth import Auth
from bridge.config import Settings
from bridge.errors import BridgeError, LimitExceeded, NotFound, ProtocolError
from bridge.ids import InviteId, RecordMode, Role, SessionFormat, SessionId, SessionKind, SessionState
from bridge.store import InviteRecord, NewInvite, PointRecord, SessionRecord, Store

TITLE_LIMIT = 200
POINT_LIMIT = 120
INVITES_LIMIT = 2000
"""Invites of one session: every workstation of the region could have its own, and then some."""
LEAST_EXPIRY_S = 60
LONGEST_EXPIRY_S = 366 * 24 * 3600
POINT_EXPIRY_S = 60 * 24 * 3600
AFTER_START_S = 7 * 24 * 3600
"""The links of an event's points are good for so long, and so long after it began."""


@dataclass(frozen=True, slots=True)
class SessionWish:
    """What is asked of a new session; None takes what the settings say. `satellite_points` are display names."""

    title: str
    kind: SessionKind | None = None
    format: SessionFormat | None = None
    capacity: int | None = None
    expires_in_s: int | None = None
    satellite_points: Sequence[str] = ()
    record: RecordMode | None = None
    consent: bool | None = None


@dataclass(frozen=True, slots=True)
class InviteWish:
    """What is asked of a new invite."""

    role: Role
    point: str = ""
    seats: int = 1
    expires_in_s: int | None = None


@dataclass(frozen=True, slots=True)
class MadeSession:
    """A new session with one invite of each role, and one more for each satellite point after the first."""

    session: SessionRecord
    invites: dict[Role, InviteRecord]
    more: list[InviteRecord]


class Desk:
    """Makes and shows what stands in the store."""

    def __init__(
        self, settings: Settings, store: Store, auth: Auth, now_ms: Callable[[], int] | None = None
    ) -> None:
        self._settings = settings
        self._store = store
        self._auth = auth
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)

    def usual(self) -> dict[str, object]:
        """How a session is recorded that is made without saying it."""
        return {"record": self._settings.session_record, "consent": self._settings.session_consent}

    async def create_session(self, wish: SessionWish) -> MadeSession:
        """Raises ProtocolError or LimitExceeded for what cannot be."""
        title = _clean(wish.title, "title", TITLE_LIMIT)
        if not title:
            raise ProtocolError("A session needs a title.")
        points = [_clean(point, "point", POINT_LIMIT) for point in wish.satellite_points] or [""]
        if len(points) > INVITES_LIMIT:
            raise LimitExceeded(f"A session has at most {INVITES_LIMIT} invites.", "tooLarge")
        format = wish.format or SessionFormat(self._settings.session_format)
        capacity = self._capacity(wish.capacity, format)
        expires_at_ms = self._expiry(wish.expires_in_s)
        first = [
            NewInvite(Role.ORGANISER, "", 1, expires_at_ms),
            NewInvite(Role.HUB, "", 1, expires_at_ms),
            NewInvite(Role.VIEWER, "", capacity, expires_at_ms),
            *(NewInvite(Role.SATELLITE, point, 1, expires_at_ms) for point in points),
        ]
        session, made = await self._store.create_session(
            title=title,
            kind=wish.kind or SessionKind(self._settings.session_kind),
            format=format,
            capacity=capacity,
            at_ms=self._now_ms(),
            invites=first,
            record=wish.record or RecordMode(self._settings.session_record),
            consent=self._settings.session_consent if wish.consent is None else wish.consent,
        )
        return MadeSession(session, {invite.role: invite for invite in made[:4]}, made[4:])

    async def create_invite(self, session: SessionId, wish: InviteWish) -> InviteRecord:
        """Raises ProtocolError, LimitExceeded, NotFound, or BridgeError (`sessionEnded`)."""
        record = await self._store.get_session(session)
        if record.state is SessionState.ENDED:
            raise BridgeError("This session is over.", "sessionEnded")
        if not 1 <= wish.seats <= record.capacity:
            raise LimitExceeded(f"An invite has 1 to {record.capacity} seats here.", "tooLarge")
        if len(await self._store.list_invites(session)) >= INVITES_LIMIT:
            raise LimitExceeded(f"A session has at most {INVITES_LIMIT} invites.")
        point = _clean(wish.point, "point", POINT_LIMIT)
        expires_at_ms = self._expiry(wish.expires_in_s)
        starts_at_ms = await self._store.starts_at_ms(session)
        if wish.expires_in_s is None and starts_at_ms is not None:
            expires_at_ms = max(expires_at_ms, self.good_until_ms(starts_at_ms))
        invite = NewInvite(wish.role, point, wish.seats, expires_at_ms)
        return await self._store.create_invite(session, invite, self._now_ms())

    def point_invite(self, point: str, starts_at_ms: int | None) -> NewInvite:
        """What the invite of a point of an event is like: links are sent out long before it begins."""
        lasts_s = max(self._settings.invite_expires_in_s, POINT_EXPIRY_S)
        good_until_ms = self._now_ms() + lasts_s * 1000
        if starts_at_ms is not None:
            good_until_ms = max(good_until_ms, self.good_until_ms(starts_at_ms))
        return NewInvite(Role.SATELLITE, point, 1, good_until_ms)

    def good_until_ms(self, starts_at_ms: int) -> int:
        """Until when the links of an event are good that begins then: no link is made for longer than a year."""
        return min(starts_at_ms + AFTER_START_S * 1000, self._now_ms() + LONGEST_EXPIRY_S * 1000)

    def usual_expiry_ms(self) -> int:
        """How long a link is good that was made without saying it: who made one for less time meant that."""
        return self._settings.invite_expires_in_s * 1000

    async def invite_of(self, session: SessionId, invite: InviteId) -> InviteRecord:
        """The invite, if it is of this session. Raises NotFound."""
        record = await self._store.get_invite(invite)
        if record.session != session:
            raise NotFound("There is no such invite.")
        return record

    async def end_session(self, session: SessionId) -> None:
        """Ends it in the store; who is connected is told by rooms. Raises NotFound."""
        await self._store.end_session(session, self._now_ms())

    async def create_point(self, name: str, organisation: str, province: str) -> PointRecord:
        """Raises ProtocolError, LimitExceeded or Conflict."""
        cleaned = _clean(name, "name", POINT_LIMIT)
        if not cleaned:
            raise ProtocolError("A point needs a name.")
        return await self._store.create_point(
            cleaned,
            _clean(organisation, "organisation", POINT_LIMIT),
            _clean(province, "province", POINT_LIMIT),
            self._now_ms(),
        )

    def token(self, invite: InviteRecord) -> str:
        """The invite's token, always the same."""
        return self._auth.invite_token(invite)

    def link(self, invite: InviteRecord, base: str) -> str:
        """The link that a person opens. The token stands in the fragment, which browsers do not send."""
        return f"{base}/join#{self.token(invite)}"

    def staff_link(self, base: str) -> str:
        """The link for who runs this installation."""
        return f"{base}/#{self._auth.staff_token(self._settings.staff_link_expires_in_s)}"

    def created(self, made: MadeSession, base: str) -> dict[str, object]:
        """What `POST /api/sessions` and `bridge session create --json` answer."""
        return {
            "session": made.session.id,
            "tokens": {role.value: self.token(made.invites[role]) for role in Role},
            "links": {role.value: self.link(made.invites[role], base) for role in Role},
        }

    def _capacity(self, asked: int | None, format: SessionFormat) -> int:
        settings = self._settings
        usual = settings.event_capacity if format is SessionFormat.EVENT else settings.consult_capacity
        capacity = asked if asked is not None else usual
        if not 2 <= capacity <= settings.capacity_limit:
            raise LimitExceeded(f"A session holds 2 to {settings.capacity_limit} people here.", "tooLarge")
        return capacity

    def _expiry(self, asked_s: int | None) -> int:
        expires_in_s = asked_s if asked_s is not None else self._settings.invite_expires_in_s
        if not LEAST_EXPIRY_S <= expires_in_s <= LONGEST_EXPIRY_S:
            raise ProtocolError(f"A link is good for {LEAST_EXPIRY_S} to {LONGEST_EXPIRY_S} seconds.")
        return self._now_ms() + expires_in_s * 1000


def _clean(text: str, field: str, limit: int) -> str:
    cleaned = " ".join(text.split())
    if not cleaned.isprintable():
        raise ProtocolError(f"The {field} holds characters that cannot be shown.")
    if len(cleaned) > limit:
        raise LimitExceeded(f"The {field} has at most {limit} characters.", "tooLarge")
    return cleaned
