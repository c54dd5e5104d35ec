"""The keeping of studies over HTTP: by which rule each is kept, holding, removing, and what jobs say of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge.ids import Role, SessionKind
from bridge.imaging.catalogue import Belonging
from bridge.studyrows import JobKind, StudyRows
from tests.house import House, open_house
from tests.imaging.corpus import ct_slice

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.91", "1.2.826.0.1.3680043.8.498.92"
DAY_MS = 24 * 3600 * 1000


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(tmp_path, study_days_training=10, study_days_advice=0) as house:
        yield house


async def keep(house: House, session: str | None = None, study: str = STUDY) -> str:
    archive = house.server.imaging.archive

    def keep() -> str:
        with archive.arrivals() as arrivals:
            kept = arrivals.keep(ct_slice(1, study, SERIES, side=16)).study
        if session is not None:
            archive.catalogue.assign(kept, Belonging(session))  # type: ignore[arg-type]
        return kept

    return await asyncio.to_thread(keep)


async def test_staff_are_told_by_which_rule_a_study_is_kept(house: House) -> None:
    staff, desk = house.staff_token(), house.server.office.desk
    training = await house.make(kind=SessionKind.TRAINING)
    advice = await house.make(kind=SessionKind.ADVICE)
    study = await keep(house, training.session.id)
    await keep(house, advice.session.id, STUDY + ".1")
    await keep(house, None, STUDY + ".2")

    async def told(uid: str) -> tuple[object, object]:
        status, answer = await house.ask("GET", f"/api/studies/{uid}", staff)
        assert status == 200, answer
        return answer["study"]["rule"], answer["study"]["retainUntil"]

    assert await told(STUDY) == ({"kind": "training", "days": 10}, None)
    assert await told(STUDY + ".1") == ({"kind": "advice", "days": 0}, None)
    assert await told(STUDY + ".2") == (None, None)
    await desk.end_session(training.session.id)
    rule, until_ms = await told(study)
    assert rule == {"kind": "training", "days": 10}
    assert isinstance(until_ms, int)
    assert abs(until_ms - time.time() * 1000 - 10 * DAY_MS) < DAY_MS
    assert [
        each["rule"] is None for each in (await house.ask("GET", "/api/studies", staff))[1]["studies"]
    ].count(True) == 1
    for role in Role:
        token = house.token(training, role)
        assert await house.code("GET", f"/api/studies/{STUDY}", token) == (403, "notAllowed")
    assert await house.code("GET", "/api/studies/1.2.3", staff) == (404, "notFound")


async def test_what_is_held_is_removed_only_after_its_release(house: House) -> None:
    staff = house.staff_token()
    study = await keep(house)
    rows = StudyRows(house.server.office.store)
    job = await rows.add_job(JobKind.SEND, study, "staff", now_ms=2**60, destination="NOBODY")
    path = f"/api/studies/{STUDY}"
    assert (await house.ask("POST", f"{path}/hold", staff, json={"hold": True}))[0] == 204
    assert (await house.ask("GET", path, staff))[1]["study"]["hold"] is True
    assert await house.code("DELETE", path, staff) == (409, "conflict")
    assert (await house.ask("POST", f"{path}/hold", staff, json={"hold": False}))[0] == 204
    told = (await house.ask("GET", f"/api/study-jobs/{job.id}", staff))[1]["job"]
    assert (told["studyInstanceUID"], told["copyInstanceUID"]) == (STUDY, None)
    assert (await house.ask("DELETE", path, staff))[0] == 204
    assert await house.code("GET", path, staff) == (404, "notFound")
    told = (await house.ask("GET", f"/api/study-jobs/{job.id}", staff))[1]["job"]
    assert told["studyInstanceUID"] is None
