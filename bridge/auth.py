"""From a token to what it allows: signs and checks JWTs (RFC 7519), HS256 and nothing else.

A good signature is not enough: the invite behind it must still stand in the store, unrevoked and of a session that is
open. Until when it is good says the store: an event may be moved after its links were sent. Every check raises; nothing
here returns a flag. Knows no HTTP and no rooms.
"""

from __future__ import annotations

import os
import secrets
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jwt

from bridge.config import ConfigError
from bridge.errors import BridgeError, NotAuthorised, NotFound
from bridge.ids import InviteId as InviteId
from bridge.ids import Role as Role
from bridge.ids import SessionId as SessionId
from bridge.ids import SessionState
from bridge.store import InviteRecord, Store

ALGORITHM = "HS256"
KEY_BYTES = 32
"""As long as the hash, which RFC 7518 section 3.2 asks for."""
TOKEN_LIMIT = 4096
"""Longer than any token made here; what is longer is not even parsed."""

_FORGED = "This link is not valid."


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified invite token allows. `point` is a display name and may be empty."""

    invite: InviteId
    session: SessionId
    role: Role
    point: str
    seats: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class StaffGrant:
    """What a verified staff token allows: to make and to moderate every session of the installation."""

    expires_at_ms: int


class ReplayRefused(NotAuthorised):
    """Somebody who is known asked for recordings that it may not see; `who` is for the audit."""

    default_code = "notAllowed"

    def __init__(self, who: str) -> None:
        super().__init__("This link does not open these recordings.")
        self.who = who


@dataclass(frozen=True, slots=True)
class ReplayGrant:
    """Who asks for recordings, proved by a token. `session` None is the staff: every session."""

    who: str
    """`staff` or `invite:ID`, as the audit has it."""
    session: SessionId | None
    role: Role | None
    point: str

    def require(self, session: SessionId | None) -> None:
        """Raises ReplayRefused unless it may replay what was recorded of this session (None: of all)."""
        if self.session is None:
            return
        if self.role not in (Role.ORGANISER, Role.HUB) or self.session != session:
            raise ReplayRefused(self.who)


class Auth:
    """Signs tokens and checks them against the store."""

    def __init__(self, key: bytes, store: Store, now_ms: Callable[[], int] | None = None) -> None:
        if len(key) != KEY_BYTES:
            raise ConfigError(f"The signing key must have {KEY_BYTES} bytes.")
        self._key = key
        self._store = store
        self._now_ms = now_ms or _wall_clock_ms

    def invite_token(self, invite: InviteRecord) -> str:
        """The token of a stored invite: always the same one, so that a link can be shown again."""
        return self._sign(
            {
                "use": "invite",
                "inv": invite.id,
                "ses": invite.session,
                "role": invite.role.value,
                "point": invite.point,
                "iat": invite.created_at_ms // 1000,
                "exp": invite.expires_at_ms // 1000,
            }
        )

    def staff_token(self, expires_in_s: int) -> str:
        """A token for who runs this installation."""
        now_s = self._now_ms() // 1000
        return self._sign({"use": "staff", "iat": now_s, "exp": now_s + expires_in_s})

    async def admit(self, token: str) -> Grant:
        """Checks an invite token.

        Raises NotAuthorised (`notAuthorised`, `tokenExpired`, `inviteRevoked`) or BridgeError (`sessionEnded`).
        """
        invite = await self._invite(self._verify(token, "invite"))
        try:
            session = await self._store.get_session(invite.session)
        except NotFound as error:
            raise NotAuthorised(_FORGED) from error
        if session.state is SessionState.ENDED:
            raise BridgeError("This session is over.", "sessionEnded")
        return Grant(invite.id, invite.session, invite.role, invite.point, invite.seats, invite.expires_at_ms)

    async def replay(self, token: str) -> ReplayGrant:
        """Who asks for recordings; its `require` says of which session. An invite is good after the session too.

        Raises NotAuthorised (`notAuthorised`, `tokenExpired`, `inviteRevoked`).
        """
        claims = self._verify(token, None)
        if claims["use"] == "staff":
            self._require_time(claims["exp"] * 1000)
            return ReplayGrant("staff", None, None, "")
        if claims["use"] != "invite":
            raise NotAuthorised("This link is for something else.")
        invite = await self._invite(claims)
        return ReplayGrant(f"invite:{invite.id}", invite.session, invite.role, invite.point)

    async def staff(self, token: str) -> StaffGrant:
        """Checks a staff token. Raises NotAuthorised (`notAuthorised`, `tokenExpired`)."""
        expires_at_ms = self._verify(token, "staff")["exp"] * 1000
        self._require_time(expires_at_ms)
        return StaffGrant(expires_at_ms)

    def use_of(self, token: str) -> str:
        """`invite` or `staff`, of a token whose signature is good; its time may be over. Raises NotAuthorised."""
        return _text(self._verify(token, None), "use")

    async def _invite(self, claims: dict[str, Any]) -> InviteRecord:
        """The invite behind a good signature, if it stands. Raises NotAuthorised."""
        try:
            invite = await self._store.get_invite(InviteId(_text(claims, "inv")))
        except NotFound as error:
            raise NotAuthorised(_FORGED) from error
        # The point is a name to be shown: a link stays good when it is changed.
        _text(claims, "point")
        if (_text(claims, "ses"), _text(claims, "role")) != (invite.session, invite.role.value):
            raise NotAuthorised(_FORGED)
        self._require_time(invite.expires_at_ms)
        if invite.revoked:
            raise NotAuthorised("This invite was withdrawn.", "inviteRevoked")
        return invite

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm=ALGORITHM)

    def _verify(self, token: str, use: str | None) -> dict[str, Any]:
        """Signature and shape; whether its time is over is asked where it is known."""
        if not token or len(token) > TOKEN_LIMIT or not token.isascii():
            raise NotAuthorised(_FORGED)
        try:
            # Times are checked below against this object's own clock; "iat" guards nothing.
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                options={"verify_exp": False, "verify_iat": False, "require": ["use", "iat", "exp"]},
            )
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise NotAuthorised(_FORGED) from error
        if use is not None and claims["use"] != use:
            raise NotAuthorised("This link is for something else.")
        if type(claims["exp"]) is not int:
            raise NotAuthorised(_FORGED)
        return claims

    def _require_time(self, expires_at_ms: int) -> None:
        """Raises NotAuthorised (`tokenExpired`)."""
        if expires_at_ms <= self._now_ms():
            raise NotAuthorised("This link has expired.", "tokenExpired")


def load_or_create_key(path: Path) -> bytes:
    """The server's signing key, made at the first start.

    Raises ConfigError if the file is not a plain file of the right length that only its owner may read.
    """
    try:
        _create_key(path)
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            key = file.read(KEY_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"The signing key {path} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(status.st_mode) or status.st_mode & 0o077:
        raise ConfigError(f"The signing key {path} may be read by others; run: chmod 600 {path}")
    if len(key) != KEY_BYTES:
        raise ConfigError(
            f"The signing key {path} does not have {KEY_BYTES} bytes; restore it from a backup."
        )
    return key


def _create_key(path: Path) -> None:
    """Puts a whole new key in place unless there is one; another process may do so at the same moment."""
    if path.exists():
        return
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    finally:
        draft.unlink()


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise NotAuthorised(_FORGED)
    return value


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000
