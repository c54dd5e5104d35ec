"""Tokens: what is signed, what is refused, and with which code."""

from __future__ import annotations

import base64
import json
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jwt
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge import tables
from bridge.auth import KEY_BYTES, TOKEN_LIMIT, Auth, Grant, load_or_create_key
from bridge.config import ConfigError
from bridge.errors import BridgeError, NotAuthorised
from bridge.ids import InviteId, Role, SessionFormat, SessionKind
from bridge.store import InviteRecord, NewInvite, SessionRecord, Store, sqlite_url

KEY = bytes(range(KEY_BYTES))
NOW_MS = 1_800_000_000_000
EXPIRES_AT_MS = NOW_MS + 3_600_000


@dataclass
class House:
    store: Store
    auth: Auth
    session: SessionRecord
    invite: InviteRecord
    clock_ms: int = NOW_MS

    @property
    def token(self) -> str:
        return self.auth.invite_token(self.invite)

    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.token, options={"verify_signature": False})


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = await Store.open(sqlite_url(tmp_path / "bridge.db"))
    session, (invite,) = await store.create_session(
        title="Echo",
        kind=SessionKind.CONSULTATION,
        format=SessionFormat.CONSULT,
        capacity=5,
        at_ms=NOW_MS,
        invites=[NewInvite(Role.SATELLITE, "Sơn La", 1, EXPIRES_AT_MS)],
    )
    made = House(store, Auth(KEY, store, lambda: made.clock_ms), session, invite)
    yield made
    await store.close()


async def refusal(auth: Auth, token: str) -> str:
    with pytest.raises(BridgeError) as refused:
        await auth.admit(token)
    return refused.value.code


async def test_a_good_token_admits_to_what_the_invite_says(house: House) -> None:
    assert await house.auth.admit(house.token) == Grant(
        house.invite.id, house.session.id, Role.SATELLITE, "Sơn La", 1, EXPIRES_AT_MS
    )


def test_a_token_is_made_anew_the_same(house: House) -> None:
    assert house.auth.invite_token(house.invite) == house.token
    assert house.claims() == {
        "use": "invite",
        "inv": house.invite.id,
        "ses": house.session.id,
        "role": "satellite",
        "point": "Sơn La",
        "iat": NOW_MS // 1000,
        "exp": EXPIRES_AT_MS // 1000,
    }


async def test_a_token_is_refused_from_the_moment_it_expires(house: House) -> None:
    house.clock_ms = EXPIRES_AT_MS - 1
    await house.auth.admit(house.token)
    house.clock_ms = EXPIRES_AT_MS
    assert await refusal(house.auth, house.token) == "tokenExpired"


async def test_a_link_is_good_for_as_long_as_the_store_says(house: House) -> None:
    """An event was moved after its links were sent."""
    async with house.store.writing() as connection:
        await connection.execute(sa.update(tables.invites).values(expires_at_ms=EXPIRES_AT_MS + 1000))
    house.clock_ms = EXPIRES_AT_MS + 999
    assert (await house.auth.admit(house.token)).expires_at_ms == EXPIRES_AT_MS + 1000
    await house.auth.replay(house.token)
    house.clock_ms = EXPIRES_AT_MS + 1000
    assert await refusal(house.auth, house.token) == "tokenExpired"
    with pytest.raises(NotAuthorised) as refused:
        await house.auth.replay(house.token)
    assert refused.value.code == "tokenExpired"


async def test_a_revoked_invite_is_refused(house: House) -> None:
    await house.store.revoke_invite(house.invite.id)
    assert await refusal(house.auth, house.token) == "inviteRevoked"


async def test_an_ended_session_is_refused(house: House) -> None:
    await house.store.end_session(house.session.id, NOW_MS)
    assert await refusal(house.auth, house.token) == "sessionEnded"


async def test_another_key_is_refused_even_when_expired(house: House) -> None:
    forged = jwt.encode(house.claims() | {"exp": 1}, bytes(KEY_BYTES), algorithm="HS256")
    assert await refusal(house.auth, forged) == "notAuthorised"


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
async def test_another_algorithm_is_refused_although_the_key_is_right(house: House, algorithm: str) -> None:
    assert len(KEY) == KEY_BYTES
    header = _part({"alg": algorithm, "typ": "JWT"})
    body = house.token.split(".")[1]
    signer = jwt.get_algorithm_by_name(algorithm)
    signature = signer.sign(f"{header}.{body}".encode(), KEY)
    forged = f"{header}.{body}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await refusal(house.auth, forged) == "notAuthorised"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "RS256", None, 5])
async def test_a_token_without_signature_is_refused(house: House, algorithm: object) -> None:
    body = house.token.split(".")[1]
    for signature in ("", house.token.split(".")[2]):
        forged = f"{_part({'alg': algorithm, 'typ': 'JWT'})}.{body}.{signature}"
        assert await refusal(house.auth, forged) == "notAuthorised"


@pytest.mark.parametrize(
    "change",
    [{"role": "organiser"}, {"point": "Hà Nội"}, {"ses": "another"}, {"exp": 2**40}, {"use": "staff"}],
)
async def test_altered_claims_are_refused(house: House, change: dict[str, object]) -> None:
    header, _, signature = house.token.split(".")
    forged = f"{header}.{_part(house.claims() | change)}.{signature}"
    assert await refusal(house.auth, forged) == "notAuthorised"


@pytest.mark.parametrize(
    "change",
    [
        {"role": "organiser"},
        {"ses": "another"},
        {"inv": "another"},
        {"inv": 5},
        {"inv": None},
        {"use": "staff"},
        {"use": ["invite"]},
        {"exp": "tomorrow"},
        {"exp": float(2**40)},
        {"exp": True},
        {"exp": None},
    ],
)
async def test_signed_claims_that_do_not_fit_the_store_are_refused(
    house: House, change: dict[str, object]
) -> None:
    odd = jwt.encode(house.claims() | change, KEY, algorithm="HS256")
    assert await refusal(house.auth, odd) == "notAuthorised"


@pytest.mark.parametrize("missing", ["use", "inv", "ses", "role", "point", "exp", "iat"])
async def test_a_missing_claim_is_refused(house: House, missing: str) -> None:
    claims = house.claims()
    del claims[missing]
    assert await refusal(house.auth, jwt.encode(claims, KEY, algorithm="HS256")) == "notAuthorised"


async def test_a_token_of_an_invite_that_is_not_in_the_store_is_refused(house: House) -> None:
    stranger = replace(house.invite, id=InviteId("elsewhere"))
    assert await refusal(house.auth, house.auth.invite_token(stranger)) == "notAuthorised"


async def test_invite_and_staff_tokens_do_not_stand_for_each_other(house: House) -> None:
    assert await refusal(house.auth, house.auth.staff_token(60)) == "notAuthorised"
    with pytest.raises(NotAuthorised) as refused:
        await house.auth.staff(house.token)
    assert refused.value.code == "notAuthorised"


async def test_a_staff_token_expires(house: House) -> None:
    token = house.auth.staff_token(60)
    assert (await house.auth.staff(token)).expires_at_ms == NOW_MS + 60_000
    house.clock_ms += 60_000
    with pytest.raises(NotAuthorised) as refused:
        await house.auth.staff(token)
    assert refused.value.code == "tokenExpired"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "a.b.c", "ą", "x" * (TOKEN_LIMIT + 1), "e30.e30.e30", "\x00"]
)
async def test_what_is_no_token_is_refused(house: House, token: str) -> None:
    assert await refusal(house.auth, token) == "notAuthorised"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=200), at=st.integers(0, 400), put=st.characters())
async def test_no_text_and_no_changed_character_admits(house: House, text: str, at: int, put: str) -> None:
    assert await refusal(house.auth, text) == "notAuthorised"
    token = house.token
    place = at % len(token)
    changed = token[:place] + put + token[place + 1 :]
    # The last character of base64 holds bits that nobody reads.
    if _bytes_of(changed) != _bytes_of(token):
        assert await refusal(house.auth, changed) == "notAuthorised"


def test_the_key_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret.key"
    key = load_or_create_key(path)
    assert len(key) == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_key(path) == key
    assert os.listdir(tmp_path) == ["secret.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret.key"
    load_or_create_key(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        load_or_create_key(path)


@pytest.mark.parametrize("length", [0, KEY_BYTES - 1, KEY_BYTES + 1])
def test_a_key_of_another_length_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "secret.key"
    path.touch(0o600)
    path.write_bytes(bytes(length))
    with pytest.raises(ConfigError, match="bytes"):
        load_or_create_key(path)


def test_a_key_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load_or_create_key(tmp_path / "none" / "secret.key")


def _part(content: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def _bytes_of(token: str) -> list[bytes] | None:
    try:
        return [base64.urlsafe_b64decode(part + "==") for part in token.encode("ascii").decode().split(".")]
    except ValueError:
        return None
