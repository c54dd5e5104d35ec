"""Accesses are in the audit before anything is shown, and do not drown it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.audit import Audit, AuditError, Entry, read_lines
from bridge.recordings.accesses import WINDOW_S, Accesses, Look

LOOK = Look("invite:abc", "recording/xyz", "parts", track=3)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def audit(tmp_path: Path) -> Audit:
    return Audit(tmp_path / "audit")


@pytest.fixture
def accesses(audit: Audit, clock: Clock) -> Accesses:
    async def run(work: Callable[[], None]) -> None:
        await asyncio.to_thread(work)

    return Accesses(audit, run, clock)


def told(audit: Audit) -> list[tuple[int, dict[str, Any]]]:
    lines = [line.content for line in read_lines(audit.folder, audit.key)]
    return [(line["outcome"], line["detail"]) for line in lines if line["event"] == "objectAccessed"]


async def test_many_looks_in_a_minute_are_one_line_and_a_count(
    accesses: Accesses, audit: Audit, clock: Clock
) -> None:
    await asyncio.gather(*(accesses.note(LOOK, part) for part in range(5, 65)))
    assert told(audit) == [(1, {"track": 3, "part": 5})]
    clock.now_s = WINDOW_S
    await accesses.note(LOOK, 65)
    assert told(audit)[1:] == [(0, {"track": 3, "parts": 60, "part": 65})]
    await accesses.note(LOOK, 66)
    clock.now_s = 3 * WINDOW_S
    await accesses.settle()
    assert told(audit)[2:] == [(0, {"track": 3, "parts": 2})]
    await accesses.settle(all=True)
    assert len(told(audit)) == 3


async def test_everybody_and_every_track_has_lines_of_its_own(accesses: Accesses, audit: Audit) -> None:
    for look in (LOOK, Look("staff", LOOK.on, "parts", 3), Look(LOOK.who, LOOK.on, "parts", 4)):
        await accesses.note(look, 1)
    assert len(told(audit)) == 3


async def test_a_refusal_says_so_each_time_it_is_written(
    accesses: Accesses, audit: Audit, clock: Clock
) -> None:
    look = Look("invite:abc", "recording/xyz", "refusals", refused=True)
    await accesses.note(look)
    await accesses.note(look)
    clock.now_s = WINDOW_S
    await accesses.settle()
    assert told(audit) == [(4, {}), (4, {"refusals": 2})]


async def test_nothing_is_shown_while_the_audit_cannot_be_written(
    accesses: Accesses, audit: Audit, tmp_path: Path
) -> None:
    (tmp_path / "audit").rename(tmp_path / "away")
    answers = await asyncio.gather(*(accesses.note(LOOK, 1) for _ in range(3)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [AuditError] * 3
    (tmp_path / "away").rename(tmp_path / "audit")
    await accesses.note(LOOK, 2)
    assert told(audit) == [(1, {"track": 3, "part": 2})]


async def test_counts_are_kept_while_the_audit_cannot_be_written(
    accesses: Accesses, audit: Audit, clock: Clock, tmp_path: Path
) -> None:
    for part in range(3):
        await accesses.note(LOOK, part)
    clock.now_s = WINDOW_S
    (tmp_path / "audit").rename(tmp_path / "away")
    with pytest.raises(AuditError):
        await accesses.settle()
    with pytest.raises(AuditError):
        await accesses.note(LOOK, 7)
    (tmp_path / "away").rename(tmp_path / "audit")
    await accesses.settle()
    assert told(audit)[1:] == [(0, {"track": 3, "parts": 3})]


async def test_what_is_looked_at_while_counts_cannot_be_written_is_counted_too(
    accesses: Accesses, audit: Audit, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accesses.note(LOOK, 0)
    await accesses.note(LOOK, 1)
    clock.now_s = WINDOW_S
    real = audit.record

    def failing(*entries: Entry) -> None:
        monkeypatch.setattr(audit, "record", real)
        raise AuditError("The audit cannot be written.")

    monkeypatch.setattr(audit, "record", failing)
    settling = asyncio.create_task(accesses.settle())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    noting = asyncio.create_task(accesses.note(LOOK, 2))
    with pytest.raises(AuditError):
        await settling
    await noting
    await accesses.settle(all=True)
    assert told(audit)[-1] == (0, {"track": 3, "parts": 3})


async def test_who_breaks_off_takes_the_line_from_nobody(accesses: Accesses, audit: Audit) -> None:
    first = asyncio.create_task(accesses.note(LOOK, 1))
    second = asyncio.create_task(accesses.note(LOOK, 2))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert told(audit) == [(1, {"track": 3, "part": 1})]
