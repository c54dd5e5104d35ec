"""Copies for teaching in a server: a study of their own, of another patient, kept like any other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from pydicom.uid import generate_uid

from bridge.app import running
from bridge.ids import Role
from bridge.imaging.catalogue import Belonging
from tests.house import House, settings_for
from tests.imaging.corpus import ct_slice, file_of
from tests.imaging.namedstudy import STUDY, read, secret_slice

WAIT_S = 40.0


@dataclass
class Teacher:
    house: House

    async def keep(self, *objects: bytes, session: str | None = None) -> str:
        archive = self.house.server.imaging.archive

        def keep() -> str:
            with archive.arrivals() as arrivals:
                kept = [arrivals.keep(each) for each in objects]
            archive.catalogue.assign(kept[0].study, Belonging(session))  # type: ignore[arg-type]
            return kept[0].study

        return await asyncio.to_thread(keep)

    async def copy(self, study: str, **wish: Any) -> dict[str, Any]:
        token = self.house.staff_token()
        status, answer = await self.house.ask("POST", f"/api/studies/{study}/deidentify", token, json=wish)
        assert status == 202, answer
        async with asyncio.timeout(WAIT_S):
            while True:
                _, told = await self.house.ask("GET", f"/api/study-jobs/{answer['job']['id']}", token)
                job: dict[str, Any] = told["job"]
                if job["state"] in ("done", "failed"):
                    return job
                await asyncio.sleep(0.05)

    async def files(self, study: str) -> list[bytes]:
        def read_all() -> list[bytes]:
            with self.house.server.imaging.archive.open(study) as reader:
                return [b"".join(reader.iterate(one)) for one in reader.instances()]

        return await asyncio.to_thread(read_all)


async def test_a_copy_is_a_new_study_of_its_own_patient(tmp_path: Path) -> None:
    report = secret_slice(9)
    report.SOPClassUID = report.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    async with running(settings_for(tmp_path)) as server, aiohttp.ClientSession() as client:
        house = House(server, client)
        teacher = Teacher(house)
        made = await house.make("Echo")
        objects = [file_of(secret_slice(number)) for number in (1, 2)]
        study = await teacher.keep(*objects, file_of(report), session=made.session.id)
        first = await teacher.copy(study)
        second = await teacher.copy(study, inSession=True, shiftDates=True)
        assert (first["state"], second["state"]) == ("done", "done"), (first, second)
        assert "Left out were 1 objects" in first["remark"]
        catalogue = server.imaging.archive.catalogue
        copies = [catalogue.get(job["copy"]) for job in (first, second)]
        assert [entry.facts.patient_id for entry in copies] == ["TEACHING-1", "TEACHING-2"]
        assert [entry.instances for entry in copies] == [2, 2]
        assert catalogue.belonging(copies[0].id).session is None
        assert catalogue.belonging(copies[1].id).session == made.session.id
        for entry in copies:
            for content in await teacher.files(entry.id):
                assert b"Hong" not in content
                assert STUDY.encode() not in content
        stored = await asyncio.to_thread(
            lambda: [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
        )
        assert len(stored) > 10
        for word in (b"Hong", b"HN-0042", STUDY.encode(), b"TEACHING"):
            assert not any(word in content for content in stored), word
        hub = house.token(made, Role.HUB)
        assert await house.code("POST", f"/api/studies/{STUDY}/deidentify", hub, json={}) == (
            403,
            "notAllowed",
        )


async def test_pictures_with_a_name_in_them_are_not_copied_unless_somebody_answers_for_it(
    tmp_path: Path,
) -> None:
    dataset = secret_slice(1)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    dataset.Modality = "OT"
    async with running(settings_for(tmp_path)) as server, aiohttp.ClientSession() as client:
        teacher = Teacher(House(server, client))
        study = await teacher.keep(file_of(dataset), ct_slice(2, STUDY, generate_uid(), side=32))
        refused = await teacher.copy(study)
        assert (refused["state"], refused["error"]["code"]) == ("failed", "conflict")
        assert "written into them" in refused["error"]["text"]
        assert len(server.imaging.archive.catalogue.all()) == 1, "nothing was begun"
        without = await teacher.copy(study, leaveOut=True)
        assert (without["state"], without["done"]) == ("done", 1)
        assert "may have a name in them" in without["remark"]
        assert (await teacher.copy(study, looked=True))["state"] == "done"
        blanked = await teacher.copy(study, blankRows=8)
        assert blanked["state"] == "done"
        for content in await teacher.files(blanked["copy"]):
            assert not read(content).pixel_array[:8].any()
